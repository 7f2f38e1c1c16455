"""Rotate the keys of a node while it runs; docs/guides/rotate-a-key.md.

1. draft: the next statement and envelope keys are made, durable in keys.db, and a certificate for them is drafted
2. the party's root signs the draft, on its own machine
3. finish: the certificate is published. A node that the relay does not let in any more, because its transport CA fell
   with a revoked key, hands certificate and transport CA to the join port, where they prove themselves
4. once this node's own directory shows the new keys they are used; a transport CA and a bundle of prekeys of theirs
   follow (look_after, and nodes/prekeys.py)
5. when the overlap is over, what later keys followed is destroyed
Every step may be repeated; between any two of them the old keys or the new ones work.
"""

import asyncio
from collections.abc import Iterable, Sequence
from hashlib import sha256

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.crypto.signing import CompositeKey, Ed25519Key
from exchange.crypto.x509 import ca_key_hash, new_ca, validity
from exchange.directory.ceremony import ANY_PLACE, make_transport_key
from exchange.directory.codec import decode_as
from exchange.directory.issue import draft_node_cert
from exchange.directory.state import MEMBERS
from exchange.directory.statements import NodeCert
from exchange.errors import BadInput, ExchangeError, NotAuthenticated, Unavailable
from exchange.limits import STATEMENT_BYTES
from exchange.runtime.logs import get_logger
from exchange.runtime.relay_info import RelayInfo
from nodes.core import Core
from nodes.hsm import Device
from nodes.joining import CERTIFIED_DAYS
from nodes.keyring import Authority, SigningKeys
from nodes.keystore import (
    TRANSPORT_CA_DAYS,
    envelope_entry,
    new_envelope_key,
    new_statement_key,
    read_envelope_key,
    read_statement_key,
    statement_entry,
)
from nodes.relay_port import Relay
from nodes.store.keys import StoredNodeKey

DAY_MS = 24 * 60 * 60 * 1000
SIGNING = "signing"
TRANSPORT = "transport"

AUTHORITY_LEAST_MS = 60 * DAY_MS
"""A transport CA that ends sooner than this is followed by another one."""


def read_stored(stored: Iterable[StoredNodeKey], device: Device | None) -> tuple[list[SigningKeys], list[Authority]]:
    """Return what keys.db holds as keys; ConfigurationError when some lie in a device that is not there."""
    signing, authorities = [], []
    for each in stored:
        if each.use == SIGNING:
            signing.append(_signing(each, device))
        else:
            authorities.append(Authority(each.number, each.made_ms, each.public, each.secret, each.statement))
    return signing, authorities


def _secret(statement: CompositeKey, envelope: Ed25519Key) -> bytes:
    entry = statement_entry(statement)
    return len(entry).to_bytes(2, "big") + entry + envelope_entry(envelope)


def _signing(stored: StoredNodeKey, device: Device | None) -> SigningKeys:
    end = 2 + int.from_bytes(stored.secret[:2], "big")
    statement = read_statement_key(stored.secret[2:end], device)
    return SigningKeys(stored.number, stored.made_ms, statement, read_envelope_key(stored.secret[end:], device))


class Rotation:
    """Node keys that follow each other. For one event loop."""

    def __init__(self, core: Core, relay: Relay, info: RelayInfo) -> None:
        """`info` says where the join port is, for a node that the relay does not know by its certificate any more."""
        self._core = core
        self._relay = relay
        self._info = info
        self._lock = asyncio.Lock()
        self._log = get_logger(__name__)

    # -- 1 -------------------------------------------------------------------------------------------------------------

    async def draft(self, *, days: int = CERTIFIED_DAYS) -> NodeCert:
        """Return a certificate for this node's next keys, for the party's root to sign; they are made when needed."""
        core = self._core
        async with self._lock:
            keys = self._next() or await self._make()
        now_ms = core.clock()
        return draft_node_cert(
            exchange=core.exchange,
            party=core.me,
            statement_key=keys.statement.public,
            envelope_key=keys.envelope.public,
            now_ms=now_ms,
            not_after_ms=now_ms + days * DAY_MS,
        )

    def _next(self) -> SigningKeys | None:
        """Return keys that wait for their certificate."""
        newest, directory = self._core.keyring.signing[-1], self._core.trust.now.directory
        waits = newest.number and directory.key_record(newest.statement.public.key_id) is None
        return newest if waits else None

    async def _make(self) -> SigningKeys:
        core, now_ms = self._core, self._core.clock()
        place = core.keyring.first.device
        device = place.open() if place else None
        secret = _secret(new_statement_key(device), new_envelope_key(device))
        keys = _signing(await core.keybox.add_node_key(SIGNING, secret, made_ms=now_ms), device)
        core.keyring.add(signing=[keys])
        self._log.info("keys.next", statement_key=keys.statement.public.key_id.hex())
        return keys

    # -- 3 -------------------------------------------------------------------------------------------------------------

    async def finish(self, signed: Signed) -> int:
        """Publish the certificate of keys that this node holds, and return where it stands; repeating it is safe.

        Raises:
            BadInput: it is for other keys than this node's.
            BadStatement: the directory would not take it.
        """
        core, cert = self._core, decode_as(NodeCert, signed.payload)
        keys = next((each for each in core.keyring.signing if each.statement.public == cert.statement_key), None)
        if keys is None or keys.envelope.public != cert.envelope_key:
            raise BadInput("the root certified other keys than this node holds", hint="concord key rotate --out FILE")
        entry = encode_signed(signed)
        if core.trust.now.directory.index_of(sha256(signed.payload).digest()) is None:
            core.trust.now.directory.check(entry, core.clock())
        try:
            return await self._relay.publish_statement(entry)
        except (NotAuthenticated, Unavailable) as error:
            self._log.info("keys.by-the-join-port", reason=error.reason)
        async with self._lock:
            authority = await self._authority_of(keys)
        # Loaded here: it opens a connection of its own, which is rarely needed.
        from nodes.join_client import rekey  # noqa: PLC0415

        transport = decode_signed(authority.statement, limit=STATEMENT_BYTES, what="an own transport key")
        return await asyncio.to_thread(rekey, self._info, signed, transport)

    # -- 4 and 5 -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look after the keys now and then, and whenever the directory changes, until cancelled."""
        while True:
            changed = asyncio.create_task(self._core.trust.changed())
            try:
                await self._look_after()
                await asyncio.wait({changed}, timeout=self._core.timing.prekeys_s)
            finally:
                changed.cancel()

    async def _look_after(self) -> None:
        try:
            await self.look_after()
        except ExchangeError as error:
            self._log.info("keys.later", reason=error.reason, detail=str(error))

    async def look_after(self) -> None:
        """Let a transport CA of the keys in use be known, and destroy signing keys that have served."""
        core = self._core
        if core.trust.now.status(core.me) in MEMBERS and self._authority_is_due():
            async with self._lock:
                authority = await self._authority_of(self._in_use())
            index = await self._relay.publish_statement(authority.statement)
            self._log.info("keys.transport-ca", directory_index=index)
        await self._destroy_served()

    def _in_use(self) -> SigningKeys:
        wanted = self._core.keys.statement.public
        return next(each for each in self._core.keyring.signing if each.statement.public == wanted)

    def _authority_is_due(self) -> bool:
        """Say whether the CA in use ends soon, or does not rest on the statement key in use."""
        core, keys = self._core, self._core.keys
        directory, key_id = core.trust.now.directory, keys.statement.public.key_id
        size, now_ms = directory.size, core.clock()
        if directory.statement_key(core.me, key_id, at_size=size, at_ms=now_ms) is None:
            return False
        record = directory.key_record(ca_key_hash(keys.transport_ca))
        rests = record is not None and record.certified_by == key_id
        return not rests or validity(keys.transport_ca)[1] - now_ms < AUTHORITY_LEAST_MS

    async def _authority_of(self, keys: SigningKeys) -> Authority:
        """Return the newest CA that rests on these keys and lasts, made and durable if there is none yet."""
        core, now_ms = self._core, self._core.clock()
        for each in reversed(core.keyring.authorities):
            lasts = validity(each.certificate)[1] - now_ms >= AUTHORITY_LEAST_MS
            if each.statement and lasts and _signer(each.statement) == keys.statement.public.key_id:
                return each
        certificate, secret = new_ca(f"node-{random_bytes(8).hex()}", now_ms=now_ms, days=TRANSPORT_CA_DAYS)
        signed = make_transport_key(
            exchange=core.exchange,
            party=core.me,
            place=ANY_PLACE,
            ca_certificate=certificate,
            now_ms=now_ms,
            statement_key=keys.statement,
        )
        statement = encode_signed(signed)
        stored = await core.keybox.add_node_key(
            TRANSPORT, secret, made_ms=now_ms, public=certificate, statement=statement
        )
        authority = Authority(stored.number, now_ms, certificate, secret, statement)
        core.keyring.add(authorities=[authority])
        return authority

    async def _destroy_served(self) -> None:
        """Destroy signing keys whose overlap is over; those of node.keys stay in their file and sign nothing more."""
        core = self._core
        gone = served(core.keyring.signing, core)
        if gone:
            await core.keybox.destroy_node_keys(gone)
            core.keyring.forget(gone)
            self._log.info("keys.destroyed", count=len(gone))


def served(held: Sequence[SigningKeys], core: Core) -> list[int]:
    """Return the numbers of stored signing keys that nothing can come of any more."""
    directory, now_ms = core.trust.now.directory, core.clock()
    records = {each.number: directory.key_record(each.statement.public.key_id) for each in held if each.number}
    return [
        number
        for number, record in records.items()
        if record is not None and record.followed_index is not None and now_ms >= record.followed_until_ms
    ]


def _signer(statement: bytes) -> bytes:
    return decode_signed(statement, limit=STATEMENT_BYTES, what="an own statement").signatures[0].key_id
