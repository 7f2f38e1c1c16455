"""Joining, statements, prekeys and agreements: what enters the directory, and who may bring it.

Everything here proves itself by signatures; the directory's own rules judge it (exchange/directory/rules.py). What is
added: a partner brings only its own statements or the council's, a bundle comes with the statement that names it, and
an agreement's view is signed by the root of every party. Repeating any call is safe.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import Signed, payload_type, verified_signers
from exchange.crypto.signing import Ed25519Key
from exchange.directory.ceremony import JoinClaims, check_join_request, place_after
from exchange.directory.codec import decode, encode_join_request, statement_name
from exchange.directory.issue import make_agreement_commit
from exchange.directory.prekeys import open_bundle
from exchange.directory.state import Reason, Status
from exchange.directory.statements import AgreementStatus, JoinRequest, PrekeyBundleHash, Statement
from exchange.errors import BadSignature, BadStatement, Conflict, NotAllowed, NotFound
from exchange.limits import FRAME_BYTES, MIB, STATEMENT_BYTES
from exchange.names import COUNCIL, RELAY, PartyId
from exchange.policy.agreement import EnforcementView, commitment
from exchange.policy.codec import decode_view
from exchange.relay.directory import LiveDirectory, Snapshot
from exchange.relay.store.registry import SqlRegistry
from exchange.runtime.armour import write_armour
from exchange.runtime.database import Database
from exchange.runtime.logs import get_logger
from exchange.runtime.secrets import write_private

VIEW_BYTES = 2 * MIB
"""Signed bytes of a view: the signatures of the parties of the largest agreement."""

VIEW_TYPE = "enforcement-view"
JOIN_REQUEST = "JOIN REQUEST"
"""Kind of the armoured file that the council judges."""

FETCH_BUNDLES = 256
ANSWER_BYTES = FRAME_BYTES
"""Bundles or views of one answer."""

_COMMITTED = frozenset({"party-root", "prekey-bundle-hash", "agreement-commit", "genesis"})
"""Statements that have their own way in."""


class Enrolment:
    """What changes the directory; one object for the relay."""

    def __init__(
        self,
        database: Database,
        directory: LiveDirectory,
        promise_key: Ed25519Key,
        requests: Path,
        clock: Callable[[], int],
    ) -> None:
        """`requests` is the folder in which the council finds who asks to join."""
        self._database = database
        self._directory = directory
        self._promise_key = promise_key
        self._requests = requests
        self._clock = clock
        self._log = get_logger(__name__)

    async def join(self, request: JoinRequest) -> bool:
        """Log a request to join and return whether the party is admitted already.

        Raises:
            BadStatement: it does not hold, or the invitation is spent by another request.
        """
        data, now_ms = encode_join_request(request), self._clock()
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
        self._write_request(claims, request)
        return self._directory.now.status(claims.party) in (Status.ADMITTED, Status.SUSPENDED)

    async def admit(self, admission: bytes) -> int:
        """Log the council's admission of a party that has asked to join, and return its index."""
        signed, statement = _read(admission)
        if statement_name(signed.payload_type) != "admission":
            raise BadStatement("this is not an admission")
        (index,) = await self._directory.append([encode_signed(signed)])
        self._log.info("a party is admitted", index=index, issuer=statement.common.issuer)
        return index

    async def publish(self, caller: PartyId, entry: bytes) -> int:
        """Log a statement that the caller's keys or the council signed, and return its index.

        Raises:
            NotAllowed: another party's statement, or one that has its own way in.
            BadStatement: it would be ignored by everybody.
        """
        signed, statement = _read(entry)
        name = statement_name(signed.payload_type)
        if name in _COMMITTED:
            raise NotAllowed(f"a {name} statement is not published this way")
        if statement.common.issuer not in (caller, COUNCIL):
            raise NotAllowed(f"{caller} publishes a statement of {statement.common.issuer}")
        (index,) = await self._directory.append([entry])
        self._log.info("statement published", kind=name, issuer=statement.common.issuer, by=caller, index=index)
        return index

    async def publish_prekeys(self, caller: PartyId, bundle: bytes, entry: bytes) -> int:
        """Log the statement that names a bundle of prekeys, keep the bundle, and return the statement's index.

        Raises:
            NotAllowed: another party's.
            BadStatement, BadSignature: the two do not belong together, or the statement would be ignored.
        """
        signed, statement = _read(entry)
        if not isinstance(statement, PrekeyBundleHash):
            raise BadStatement("this does not name a bundle of prekeys")
        if statement.common.issuer != caller:
            raise NotAllowed(f"{caller} publishes prekeys of {statement.common.issuer}")
        trial = self._directory.now.directory.fork()
        if trial.index_of(sha256(signed.payload).digest()) is None:
            trial.check(entry, self._clock())
            trial.apply(entry, trial.size)
        open_bundle(bundle, trial, caller)
        kept = [record.statement.bundle_sha256 for record in trial.bundles(caller)]

        def keep(connection: Connection, _: Sequence[int]) -> None:
            registry = SqlRegistry(connection)
            registry.put_bundle(statement.bundle_sha256, caller, bundle)
            registry.drop_bundles(caller, kept)

        (index,) = await self._directory.append([entry], also=keep)
        return index

    async def bundles(self, hashes: Sequence[bytes]) -> list[bytes]:
        """Return the signed bundles of these payload hashes in their order, as many as fit in one answer.

        One that is unknown is left out.
        """
        found = await self._database.read(lambda connection: SqlRegistry(connection).bundles(hashes))
        return _that_fit(found[hash_] for hash_ in hashes if hash_ in found)

    async def publish_agreement(self, caller: PartyId, data: bytes) -> int:
        """Keep an enforcement view, log its commitment, and return the index of that entry.

        Earlier versions of the agreement end with it, where all their parties have signed the new one.

        Raises:
            NotAllowed: the caller is no party to it.
            BadSignature: not signed by the root of every party, and by nobody else.
            Conflict: a version as new as this one, or newer, is in force.
        """
        signed = decode_signed(data, limit=VIEW_BYTES, what="an enforcement view")
        view = decode_view(signed.payload)
        if caller not in view.parties:
            raise NotAllowed(f"{caller} is no party to the agreement")
        shown = commitment(signed.payload, view.salt)
        number = await self._database.read(lambda connection: SqlRegistry(connection).view_number(shown))
        if number is not None:
            return number
        check_view(signed, view, self._directory.now)

        def make(snapshot: Snapshot) -> list[bytes]:
            return self._commits(snapshot, view, shown)

        index, *_ = await self._directory.append_made(
            make, also=lambda connection, indexes: SqlRegistry(connection).put_view(shown, indexes[0], data)
        )
        self._log.info("agreement in force", parties=view.parties, version=view.version, index=index)
        return index

    async def agreements(self, caller: PartyId, known: Collection[bytes]) -> list[bytes]:
        """Return signed views of agreements to which the caller is a party, as many as fit in one answer.

        Those whose commitments are among `known` are left out, so that repeated calls bring all.
        """
        mine = [
            shown for shown, view in self._directory.now.views.items() if caller in view.parties and shown not in known
        ]

        def read(connection: Connection) -> list[bytes]:
            registry = SqlRegistry(connection)
            return _that_fit(view for shown in mine if (view := registry.view(shown)) is not None)

        return await self._database.read(read)

    def _commits(self, snapshot: Snapshot, view: EnforcementView, shown: bytes) -> list[bytes]:
        """Return the statement on the new version, then one on each version that it replaces."""
        directory = snapshot.directory
        statuses = {shown: AgreementStatus.ACTIVE}
        for before, other in snapshot.views.items():
            status = directory.agreement_status(before, at_size=directory.size)
            if other.agreement_id != view.agreement_id or status is AgreementStatus.TERMINATED:
                continue
            ours, theirs = set(view.parties), set(other.parties)
            # One party alone could otherwise take a high version under another alliance's id, with an accomplice.
            if other.version >= view.version and (theirs <= ours or ours <= theirs):
                raise Conflict(f"version {other.version} of this agreement is in force")
            if other.version < view.version and theirs <= ours:
                statuses[before] = AgreementStatus.TERMINATED
        entries, place = [], directory.next_seq_prev(RELAY)
        for stated, status in statuses.items():
            signed = make_agreement_commit(
                exchange=directory.exchange,
                place=place,
                commitment=stated,
                status=status,
                now_ms=self._clock(),
                promise_key=self._promise_key,
            )
            entries.append(encode_signed(signed))
            place = place_after(signed, place)
        return entries

    def _alarm_if_spent(self, error: BadStatement) -> None:
        if str(error).startswith(f"{Reason.INVITATION_SPENT}:"):
            # Somebody else holds the one-time key: the council must know before it admits anybody under it.
            self._log.error("ALARM: a second request came under a spent invitation", detail=str(error))

    def _write_request(self, claims: JoinClaims, request: JoinRequest) -> None:
        path = self._requests / f"{claims.party}.join"
        text = write_armour(JOIN_REQUEST, encode_join_request(request)).encode()
        if not path.exists() or path.read_bytes() != text:
            write_private(path, text)


def check_view(signed: Signed, view: EnforcementView, snapshot: Snapshot) -> None:
    """Check that a view is of this exchange and signed by the root of each of its parties, all of them members.

    Raises:
        BadStatement: another exchange's.
        NotFound: a party is not admitted.
        BadSignature: a root is missing, or one too many signed.
    """
    directory = snapshot.directory
    if view.exchange != directory.exchange:
        raise BadStatement("the agreement is for another exchange")
    if view.changes_sha256:
        raise BadStatement("what accessions and notices make of an agreement is derived, not signed")
    roots = {}
    for party in view.parties:
        record = directory.party(party)
        if record is None or snapshot.status(party) is not Status.ADMITTED:
            raise NotFound(f"{party} is not admitted")
        root = directory.root_key(party, record.root.key_id, at_size=directory.size)
        if root is None:
            raise BadSignature(f"the root of {party} does not stand")
        roots[root.key_id] = root
    signers = verified_signers(signed, roots.get, expected_type=payload_type(VIEW_TYPE), context=directory.exchange)
    if signers != roots.keys():
        raise BadSignature(f"{len(roots) - len(signers)} of {len(roots)} parties have not signed")


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
