"""The part of NodeService that is about keys: those of this node, and those of partners as the directory shows them."""

from collections.abc import Iterator
from hashlib import sha256

from exchange.crypto.keys import KeyAlgorithm
from exchange.crypto.x509 import ca_key_hash, validity
from exchange.directory.fold import Directory
from exchange.directory.state import KeyRecord, KeyUse
from exchange.errors import NotFound
from exchange.names import PartyId, party_id
from nodes.core import Core
from nodes.prekeys import DAY_MS, KEEP_MS
from nodes.relay_client import RelayClient
from nodes.v1 import node_service_pb2 as pb

EXPIRES_SOON_MS = 60 * DAY_MS
"""A key that ends sooner is `expiring`: time to rotate, so that 30 days of overlap are left (nodes/reminders.py)."""

_WORDS = {
    KeyUse.ROOT: "root",
    KeyUse.STATEMENT: "statement",
    KeyUse.ENVELOPE: "envelope",
    KeyUse.TRANSPORT: "transport-ca",
}
_ALGORITHMS = {
    KeyAlgorithm.COMPOSITE_65: "ML-DSA-65 + Ed25519",
    KeyAlgorithm.ED25519: "Ed25519",
}
_ECDSA = "ECDSA P-256"
_PREKEY = "ML-KEM-768 + X25519"


class KeyMethods:
    """Keys, as NodeService has them; never a secret."""

    def __init__(self, core: Core, relay: RelayClient) -> None:
        """`relay` has the certificate of the moment."""
        self._core = core
        self._relay = relay

    async def list_(self, request: pb.ListKeysRequest) -> pb.ListKeysResponse:
        """List the keys of this node, or of a partner as the directory shows them."""
        core, directory = self._core, self._core.trust.now.directory
        party = party_id(request.party) if request.party else core.me
        if party != core.me and directory.party(party) is None:
            raise NotFound(f"no partner {party[:80]!r}", hint="concord partner list")
        keys = list(self._certified(directory, party))
        if party == core.me:
            keys += [*self._waiting(directory), *self._transport()]
            keys += [self._prekey(day, key_id) for day, key_id in await core.keybox.prekey_days()]
        else:
            keys += _bundles(directory, party, core.clock() // DAY_MS)
        return pb.ListKeysResponse(keys=keys)

    def _certified(self, directory: Directory, party: PartyId) -> Iterator[pb.Key]:
        """Yield what the directory shows, by use, newest last."""
        records = [record for record in directory.all_keys() if record.party == party]
        now_ms = self._core.clock()
        counting = (each for each in records if each.counts_from_ms <= now_ms and _stands(directory, each))
        newest = {record.use: record.key_id for record in counting}
        for use in KeyUse:
            for record in records:
                if record.use is use:
                    yield pb.Key(
                        use=_WORDS[use],
                        id=record.key_id.hex(),
                        algorithm=_ALGORITHMS.get(record.public.algorithm, "") if record.public else _ECDSA,
                        not_before_ms=record.not_before_ms,
                        not_after_ms=_end(record),
                        status=self._status(directory, record, newest=newest.get(use) == record.key_id),
                        revoked_for=record.revoked_for.name.lower() if record.revoked_for else "",
                        suspect_since_ms=record.compromised_since_ms,
                    )

    def _status(self, directory: Directory, record: KeyRecord, *, newest: bool) -> str:
        now_ms, end_ms = self._core.clock(), _end(record)
        states = (
            (record.revoked_for is not None, "revoked"),
            (record.retired_index is not None, "followed"),
            (not _stands(directory, record), "fallen"),
            (bool(end_ms) and now_ms >= end_ms, "ended"),
            (record.counts_from_ms > now_ms, "pending"),
            (not newest, "overlapping"),
            (bool(end_ms) and end_ms - now_ms < EXPIRES_SOON_MS, "expiring"),
        )
        return next((word for holds, word in states if holds), "active")

    def _waiting(self, directory: Directory) -> Iterator[pb.Key]:
        """Yield keys that are made and not certified, or not entered, yet."""
        keyring = self._core.keyring
        for keys in keyring.signing:
            for use, public in ((KeyUse.STATEMENT, keys.statement.public), (KeyUse.ENVELOPE, keys.envelope.public)):
                if directory.key_record(public.key_id) is None:
                    algorithm = _ALGORITHMS[public.algorithm]
                    yield pb.Key(use=_WORDS[use], id=public.key_id.hex(), algorithm=algorithm, status="next")
        for authority in keyring.authorities:
            id_ = ca_key_hash(authority.certificate)
            if directory.key_record(id_) is None:
                begin, end = validity(authority.certificate)
                yield pb.Key(
                    use=_WORDS[KeyUse.TRANSPORT],
                    id=id_.hex(),
                    algorithm=_ECDSA,
                    not_before_ms=begin,
                    not_after_ms=end,
                    status="next",
                )

    def _transport(self) -> Iterator[pb.Key]:
        leaf = self._relay.leaf
        if leaf is None:
            return
        begin, end = validity(leaf)
        yield pb.Key(
            use="transport",
            id=sha256(leaf).hexdigest(),
            algorithm=_ECDSA,
            not_before_ms=begin,
            not_after_ms=end,
            status="active",
        )

    def _prekey(self, day: int, key_id: bytes) -> pb.Key:
        today = self._core.clock() // DAY_MS
        status = "draining" if day < today else "active" if day == today else "published"
        return pb.Key(
            use="prekey",
            id=key_id.hex(),
            algorithm=_PREKEY,
            not_before_ms=day * DAY_MS,
            not_after_ms=(day + 1) * DAY_MS + KEEP_MS,
            status=status,
        )


def _stands(directory: Directory, record: KeyRecord) -> bool:
    return record in directory.keys_of(record.party, record.use)


def _end(record: KeyRecord) -> int:
    """Return when a key ends: a transport CA by its certificate."""
    return validity(record.certificate)[1] if record.certificate else record.until_ms


def _bundles(directory: Directory, party: PartyId, today: int) -> list[pb.Key]:
    """Return a partner's bundles of prekeys that still cover a day; its prekeys themselves are known by the bundle."""
    return [
        pb.Key(
            use="prekeys",
            id=record.statement.bundle_sha256.hex(),
            algorithm=_PREKEY,
            not_before_ms=record.statement.first_day * DAY_MS,
            not_after_ms=(record.statement.first_day + record.statement.days) * DAY_MS,
            status="published",
        )
        for record in directory.bundles(party)
        if record.statement.first_day + record.statement.days > today
    ]
