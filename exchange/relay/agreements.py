"""Agreements at the relay: views that all founders signed, and the accessions and notices that follow them.

Everything here proves itself by the signatures of party roots. The relay logs a commitment for what each statement
makes of an agreement and ends the one before in the same append, so that what narrows holds from that entry on.
A change is told to nobody whom the agreement does not concern: to them an agreement that exists and one that does not
are the same. Repeating any call is safe.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed, payload_type, verified_signers
from exchange.crypto.signing import Ed25519Key
from exchange.directory.ceremony import place_after
from exchange.directory.issue import make_agreement_commit
from exchange.directory.state import KeyUse, Status
from exchange.directory.statements import AgreementStatus as Logged
from exchange.errors import BadInput, BadSignature, BadStatement, Conflict, NotAllowed, NotFound
from exchange.limits import CLOCK_AHEAD_MS, FRAME_BYTES
from exchange.names import RELAY, PartyId
from exchange.policy.agreement import AgreementStatus, EnforcementView
from exchange.policy.changes.codec import CHANGE_BYTES
from exchange.policy.changes.course import Course, after, begin
from exchange.policy.changes.model import Accession, Change, NoticeAction
from exchange.policy.changes.verify import open_change
from exchange.policy.codec import decode_view
from exchange.relay.agreement_state import VIEW_BYTES
from exchange.relay.directory import Charge, LiveDirectory, Snapshot
from exchange.relay.quota import StatementQuota
from exchange.relay.store.registry import SqlRegistry
from exchange.relay.store.spent import SqlSpent
from exchange.runtime.database import Database
from exchange.runtime.logs import get_logger

VIEW_TYPE = "enforcement-view"
ANSWER_BYTES = FRAME_BYTES
"""Views and changes of one answer."""

CHANGES_READ = 512
"""Of one agreement at once; an answer of 4 MiB holds about twice as many."""


@dataclass(frozen=True, slots=True)
class Part:
    """An agreement, or what is new of it, for one of its parties."""

    commitment: bytes
    """Of the view as its founders signed it."""
    view: bytes
    """Empty when the caller has it."""
    first: int
    changes: Sequence[bytes]


class Agreements:
    """What changes agreements, and what tells parties of them; one object for the relay."""

    def __init__(
        self,
        database: Database,
        directory: LiveDirectory,
        promise_at: Callable[[int], Ed25519Key],
        clock: Callable[[], int],
        quota: StatementQuota,
    ) -> None:
        """`promise_at` gives the key that signs as of a directory size; `quota` bounds what one party adds."""
        self._quota = quota
        self._database = database
        self._directory = directory
        self._promise_at = promise_at
        self._clock = clock
        self._log = get_logger(__name__)

    async def publish(self, caller: PartyId, data: bytes) -> int:
        """Keep an enforcement view, log its commitment, and return the index of that entry.

        Earlier versions of the agreement end with it, where all their parties are parties of the new one.

        Raises:
            NotAllowed: the caller is no party to it.
            BadSignature: not signed by the root of every founder, and by nobody else.
            RateLimited: the caller has added as many today as it may.
            Conflict: a version as new as this one, or newer, is in force.
        """
        signed = decode_signed(data, limit=VIEW_BYTES, what="an enforcement view")
        view = decode_view(signed.payload)
        if caller not in view.parties:
            raise NotAllowed(f"{caller} is no party to the agreement")
        course = begin(view)
        shown = course.ref.commitment
        number = await self._database.read(lambda connection: SqlRegistry(connection).view_number(shown))
        if number is not None:
            return number
        await self._directory.catch_up()
        check_view(signed, view, self._directory.now, self._clock())

        def make(snapshot: Snapshot) -> list[bytes]:
            if shown in snapshot.agreements.courses:
                raise Conflict("the view came twice at once")
            return self._entries(snapshot, {shown: course.status, **_replaced(snapshot, course, founding=True)})

        try:
            index, *_ = await self._directory.append_made(
                make,
                also=lambda connection, indexes: SqlRegistry(connection).put_view(shown, indexes[0], data),
                charge=self._charge(caller),
            )
        except Conflict:
            # As in `change`.
            number = await self._database.read(lambda connection: SqlRegistry(connection).view_number(shown))
            if number is None:
                raise
            return number
        self._log.info("agreement in force", parties=view.parties, version=view.version, index=index)
        return index

    async def change(self, caller: PartyId, data: bytes) -> int:
        """Apply an accession or a notice of the caller, log what it makes of the agreement, and return that index.

        Raises:
            BadSignature: it is not signed by a root that stands.
            NotAllowed: it speaks for somebody else, or the caller is suspended and it would widen.
            RateLimited: the caller has added as many today as it may.
            NotFound: no such agreement, or none that concerns the caller: the answer is the same.
            Conflict: it is not later than what the caller said last, changes nothing, or a newer version is in force.
        """
        signed = decode_signed(data, limit=CHANGE_BYTES, what="a statement on an agreement")
        await self._directory.catch_up()
        snapshot = self._directory.now
        change = open_change(signed, _roots_of(snapshot, self._clock()), exchange=snapshot.directory.exchange)
        if change.party != caller:
            raise NotAllowed(f"{caller} hands over a statement of {change.party}")
        digest = sha256(signed.payload).digest()
        number = await self._database.read(lambda connection: SqlRegistry(connection).change_number(digest))
        if number is not None:
            return number
        if change.at_ms > self._clock() + CLOCK_AHEAD_MS:
            raise BadInput("the statement is dated ahead of the relay's clock", hint="set the clock and sign anew")

        def make(snapshot: Snapshot) -> list[bytes]:
            before = _course_for(snapshot, change)
            course = after(before, change, signed.payload)
            # What was ends first: at no size of the log do both stand.
            ends = {before.now_ref.commitment: AgreementStatus.TERMINATED}
            replaced = _replaced(snapshot, course, founding=False) if _widens(change) else {}
            return self._entries(snapshot, {**ends, course.now_ref.commitment: course.status, **replaced})

        founded = change.agreement.commitment
        try:
            _, index, *_ = await self._directory.append_made(
                make,
                also=lambda connection, indexes: SqlRegistry(connection).put_change(indexes[1], digest, founded, data),
                charge=self._charge(caller),
            )
        except Conflict:
            # The same statement may have come twice at once.
            number = await self._database.read(lambda connection: SqlRegistry(connection).change_number(digest))
            if number is None:
                raise
            return number
        self._log.info("agreement changed", party=caller, version=change.agreement.version, index=index)
        return index

    async def parts(self, caller: PartyId, known: Mapping[bytes, int]) -> list[Part]:
        """Return what is new to the caller of the agreements that it is or was a party to, as much as fits.

        `known` says how many changes the caller has of each agreement; repeated calls bring all.
        """
        wanted = [
            (commitment, known.get(commitment), told)
            for commitment, course in self._directory.now.agreements.courses.items()
            if (told := course.told_to(caller)) is not None and (commitment not in known or known[commitment] < told)
        ]

        def read(connection: Connection) -> list[Part]:
            registry, found, room = SqlRegistry(connection), [], ANSWER_BYTES
            for commitment, have, told in wanted:
                view = registry.view(commitment) if have is None else b""
                if view is None or len(view) > room:
                    break
                first = have or 0
                limit = min(told - first, CHANGES_READ)
                changes = _that_fit(registry.changes_of(commitment, first=first, limit=limit), room - len(view))
                if not view and not changes:
                    break
                found.append(Part(commitment, view, first, changes))
                room -= len(view) + sum(map(len, changes))
            return found

        return await self._database.read(read)

    def _charge(self, party: PartyId) -> Charge:
        return lambda connection: self._quota.take(SqlSpent(connection), party, self._clock(), root=True)

    def _entries(self, snapshot: Snapshot, statuses: Mapping[bytes, AgreementStatus]) -> list[bytes]:
        """Return the relay's statements on these commitments, in this order, for their place in the log."""
        directory = snapshot.directory
        entries, place = [], directory.next_seq_prev(RELAY)
        for stated, status in statuses.items():
            signed = make_agreement_commit(
                exchange=directory.exchange,
                place=place,
                commitment=stated,
                status=Logged(status),
                now_ms=self._clock(),
                promise_key=self._promise_at(directory.size),
            )
            entries.append(encode_signed(signed))
            place = place_after(signed, place)
        return entries


def check_view(signed: Signed, view: EnforcementView, snapshot: Snapshot, now_ms: int) -> None:
    """Check that a view is of this exchange and signed by the root of each of its founders, all of them members.

    Raises:
        BadStatement: another exchange's.
        NotFound: a founder is not admitted.
        BadSignature: a root is missing, or one too many signed.
    """
    directory = snapshot.directory
    if view.exchange != directory.exchange:
        raise BadStatement("the agreement is for another exchange")
    roots = {}
    for party in view.parties:
        record = directory.party(party)
        if record is None or snapshot.status(party) is not Status.ADMITTED:
            raise NotFound(f"{party} is not admitted")
        root = directory.root_key(party, record.root.key_id, at_size=directory.size, at_ms=now_ms)
        if root is None:
            raise BadSignature(f"the root of {party} does not stand")
        roots[root.key_id] = root
    signers = verified_signers(signed, roots.get, expected_type=payload_type(VIEW_TYPE), context=directory.exchange)
    if signers != roots.keys():
        raise BadSignature(f"{len(roots) - len(signers)} of {len(roots)} parties have not signed")


def _roots_of(snapshot: Snapshot, now_ms: int) -> Callable[[bytes], tuple[PartyId, PublicKey] | None]:
    directory = snapshot.directory

    def root_of(key_id: bytes) -> tuple[PartyId, PublicKey] | None:
        record = directory.key_record(key_id)
        if record is None or record.use is not KeyUse.ROOT:
            return None
        root = directory.root_key(record.party, key_id, at_size=directory.size, at_ms=now_ms)
        return None if root is None else (record.party, root)

    return root_of


def _course_for(snapshot: Snapshot, change: Change) -> Course:
    """Return the agreement that a change is about, if it concerns the party and can still change."""
    course = snapshot.agreements.courses.get(change.agreement.commitment)
    if course is None or course.ref != change.agreement or not course.concerns(change.party):
        raise NotFound("no such agreement, or none that concerns the caller")
    if _ended(snapshot, course):
        raise Conflict("the agreement has ended, or a newer version has replaced it")
    if _widens(change):
        if snapshot.status(change.party) is not Status.ADMITTED:
            raise NotAllowed(f"{change.party} is suspended")
        founders = set(course.signed.parties)
        for other in _versions(snapshot, course):
            if other.ref.version > course.ref.version and founders <= set(other.signed.parties):
                raise Conflict(f"version {other.ref.version} of the agreement is in force", hint="join that one")
    return course


def _widens(change: Change) -> bool:
    return isinstance(change, Accession) or change.action is NoticeAction.RESUME


def _replaced(snapshot: Snapshot, course: Course, *, founding: bool) -> dict[bytes, AgreementStatus]:
    """Return the end of each earlier version of which every party is a party of this one.

    Raises:
        Conflict: `founding`, and a version as new as this one, or newer, is in force between parties of this one.
    """
    ends = {}
    for other in _versions(snapshot, course):
        ours, theirs = course.members, other.members
        # One party alone could otherwise take a high version under another alliance's id, with an accomplice.
        if founding and other.ref.version >= course.ref.version and (theirs <= ours or ours <= theirs):
            raise Conflict(f"version {other.ref.version} of this agreement is in force")
        if other.ref.version < course.ref.version and theirs <= ours:
            ends[other.now_ref.commitment] = AgreementStatus.TERMINATED
    return ends


def _versions(snapshot: Snapshot, course: Course) -> Iterable[Course]:
    """Return the other agreements under the same id that have not ended."""
    for other in snapshot.agreements.courses.values():
        if other.ref.id == course.ref.id and other.ref != course.ref and not _ended(snapshot, other):
            yield other


def _ended(snapshot: Snapshot, course: Course) -> bool:
    directory = snapshot.directory
    status = directory.agreement_status(course.now_ref.commitment, at_size=directory.size)
    return status is Logged.TERMINATED


def _that_fit(values: Iterable[bytes], room: int) -> list[bytes]:
    fitting: list[bytes] = []
    for value in values:
        room -= len(value)
        if room < 0:
            break
        fitting.append(value)
    return fitting
