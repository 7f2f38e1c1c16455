"""Joining, statements and prekeys: what enters the directory, and who may bring it.

Everything here proves itself by signatures; the directory's own rules judge it (exchange/directory/rules.py). What is
added: a partner brings only its own statements or the council's, so many a day of its own, and a bundle comes with the
statement that names it.
Agreements are in agreements.py. Repeating any call is safe.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import Signed
from exchange.directory.ceremony import check_join_request
from exchange.directory.codec import decode, decode_as, encode_join_request, statement_name
from exchange.directory.prekeys import open_bundle
from exchange.directory.state import MEMBERS, Reason, Status
from exchange.directory.statements import (
    JoinRequest,
    NodeCert,
    PrekeyBundleHash,
    RelayKeys,
    RelayKeySet,
    Statement,
    TransportKey,
)
from exchange.errors import BadStatement, NotAllowed
from exchange.limits import FRAME_BYTES, STATEMENT_BYTES
from exchange.names import COUNCIL, PartyId
from exchange.relay.directory import Charge, LiveDirectory
from exchange.relay.quota import StatementQuota
from exchange.relay.store.registry import SqlRegistry
from exchange.relay.store.spent import SqlSpent
from exchange.runtime.armour import write_armour
from exchange.runtime.database import Database
from exchange.runtime.logs import get_logger
from exchange.runtime.secrets import write_private

JOIN_REQUEST = "JOIN REQUEST"
"""Kind of the armoured file that the council judges."""

FETCH_BUNDLES = 256
ANSWER_BYTES = FRAME_BYTES
"""Bundles of one answer."""

_COMMITTED = frozenset({"party-root", "prekey-bundle-hash", "agreement-commit", "genesis"})
"""Statements that have their own way in."""

_BY_NODE = frozenset({"transport-key", "prekey-bundle-hash"})
"""Statements that a node's own key signs; all others of a party need its root."""


class Enrolment:
    """What changes the directory; one object for the relay."""

    def __init__(
        self,
        database: Database,
        directory: LiveDirectory,
        requests: Path,
        clock: Callable[[], int],
        quota: StatementQuota,
        *,
        check_held: Callable[[RelayKeys], None],
    ) -> None:
        """`requests` is the folder in which the council finds who asks to join; `quota` bounds each party's entries.

        `check_held` raises for keys that the relay could not go on with.
        """
        self._check_held = check_held
        self._quota = quota
        self._database = database
        self._directory = directory
        self._requests = requests
        self._clock = clock
        self._log = get_logger(__name__)

    async def join(self, request: JoinRequest) -> bool:
        """Log a request to join and return whether the party is admitted already.

        Raises:
            BadStatement: it does not hold, or the invitation is spent by another request.
        """
        data, now_ms = encode_join_request(request), self._clock()
        await self._directory.catch_up()
        try:
            claims = check_join_request(request, self._directory.now.directory, now_ms)
            if claims.entries:
                await self._directory.append(
                    claims.entries,
                    also=lambda connection, _: SqlRegistry(connection).put_join(claims.party, data, now_ms),
                )
                self._log.info("a party asks to join", party=claims.party, fingerprint=claims.fingerprint)
        except BadStatement as error:
            self._alarm_if_spent(error)
            raise
        self._write_request(claims.party, data)
        return self._directory.now.status(claims.party) in (Status.ADMITTED, Status.SUSPENDED)

    async def write_requests(self) -> None:
        """Write the file of each party that asks to join, also of those that asked another process."""
        for record in self._directory.now.directory.parties():
            if record.status is Status.JOINING and not self._request_path(record.party).exists():
                asked = await self._database.read(partial(_request_of, party=record.party))
                if asked is not None:
                    self._write_request(record.party, asked)

    async def admit(self, admission: bytes) -> int:
        """Log the council's admission of a party that has asked to join, and return its index."""
        signed, statement = _read(admission)
        if statement_name(signed.payload_type) != "admission":
            raise BadStatement("this is not an admission")
        (index,) = await self._directory.append([encode_signed(signed)])
        self._log.info("a party is admitted", index=index, issuer=statement.common.issuer)
        return index

    async def rekey(self, cert: Signed, transport: Signed) -> int:
        """Log a member's certificate for new node keys, and the transport CA that these signed, all or nothing.

        Raises:
            BadStatement: they do not belong together, the party is no member, or one would be ignored by everybody.
        """
        certified, entered = decode_as(NodeCert, cert.payload), decode_as(TransportKey, transport.payload)
        party = PartyId(certified.common.issuer)
        await self._directory.catch_up()
        if entered.common.issuer != party:
            raise BadStatement("certificate and transport key are not of one party")
        if self._directory.now.status(party) not in MEMBERS:
            raise BadStatement(f"{party} is no member")
        if [each.key_id for each in transport.signatures] != [certified.statement_key.key_id]:
            raise BadStatement("the new statement key has not signed the transport key")
        index, _ = await self._directory.append([encode_signed(cert), encode_signed(transport)])
        self._log.info("a member's node has new keys", party=party, index=index)
        return index

    async def publish(self, caller: PartyId, entry: bytes) -> int:
        """Log a statement that the caller's keys or the council signed, and return its index.

        Raises:
            NotAllowed: another party's statement, one that has its own way in, or one that names keys which the relay
                does not hold.
            RateLimited: the caller has added as many today as it may; the council's statements are not counted.
            BadStatement: it would be ignored by everybody.
        """
        signed, statement = _read(entry)
        name = statement_name(signed.payload_type)
        if name in _COMMITTED:
            raise NotAllowed(f"a {name} statement is not published this way")
        if statement.common.issuer not in (caller, COUNCIL):
            raise NotAllowed(f"{caller} publishes a statement of {statement.common.issuer}")
        await self._directory.catch_up()
        if isinstance(statement, RelayKeySet):
            self._check_held(statement.keys)
        charge = None if statement.common.issuer == COUNCIL else self._charge(caller, root=name not in _BY_NODE)
        (index,) = await self._directory.append([entry], charge=charge)
        self._log.info("statement published", kind=name, issuer=statement.common.issuer, by=caller, index=index)
        return index

    async def publish_prekeys(self, caller: PartyId, bundle: bytes, entry: bytes) -> int:
        """Log the statement that names a bundle of prekeys, keep the bundle, and return the statement's index.

        Raises:
            NotAllowed: another party's.
            RateLimited: the caller has added as many statements today as it may.
            BadStatement, BadSignature: the two do not belong together, or the statement would be ignored.
        """
        signed, statement = _read(entry)
        if not isinstance(statement, PrekeyBundleHash):
            raise BadStatement("this does not name a bundle of prekeys")
        if statement.common.issuer != caller:
            raise NotAllowed(f"{caller} publishes prekeys of {statement.common.issuer}")
        await self._directory.catch_up()
        trial = self._directory.now.directory.fork()
        if not self._stands(signed):
            trial.check(entry, self._clock())
            trial.apply(entry, trial.size)
        open_bundle(bundle, trial, caller)
        kept = [record.statement.bundle_sha256 for record in trial.bundles(caller)]

        def keep(connection: Connection, _: Sequence[int]) -> None:
            registry = SqlRegistry(connection)
            registry.put_bundle(statement.bundle_sha256, caller, bundle)
            registry.drop_bundles(caller, kept)

        (index,) = await self._directory.append([entry], also=keep, charge=self._charge(caller, root=False))
        return index

    async def bundles(self, hashes: Sequence[bytes]) -> list[bytes]:
        """Return the signed bundles of these payload hashes in their order, as many as fit in one answer.

        One that is unknown is left out.
        """
        found = await self._database.read(lambda connection: SqlRegistry(connection).bundles(hashes))
        return _that_fit(found[hash_] for hash_ in hashes if hash_ in found)

    def _charge(self, party: PartyId, *, root: bool) -> Charge:
        return lambda connection: self._quota.take(SqlSpent(connection), party, self._clock(), root=root)

    def _stands(self, signed: Signed) -> bool:
        """Say whether a statement is in the directory already: bringing it again adds nothing."""
        return self._directory.now.directory.index_of(sha256(signed.payload).digest()) is not None

    def _alarm_if_spent(self, error: BadStatement) -> None:
        if str(error).startswith(f"{Reason.INVITATION_SPENT}:"):
            # Somebody else holds the one-time key: the council must know before it admits anybody under it.
            self._log.error("ALARM: a second request came under a spent invitation", detail=str(error))

    def _request_path(self, party: PartyId) -> Path:
        return self._requests / f"{party}.join"

    def _write_request(self, party: PartyId, request: bytes) -> None:
        path = self._request_path(party)
        text = write_armour(JOIN_REQUEST, request).encode()
        if not path.exists() or path.read_bytes() != text:
            write_private(path, text)


def _request_of(connection: Connection, party: PartyId) -> bytes | None:
    return SqlRegistry(connection).join(party)


def _read(entry: bytes) -> tuple[Signed, Statement]:
    signed = decode_signed(entry, limit=STATEMENT_BYTES, what="a directory statement")
    return signed, decode(statement_name(signed.payload_type), signed.payload)


def _that_fit(values: Iterable[bytes]) -> list[bytes]:
    fitting, size = [], 0
    for value in values:
        size += len(value)
        if size > ANSWER_BYTES:
            break
        fitting.append(value)
    return fitting
