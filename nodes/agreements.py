"""Agreements of this party: verify what partners and the relay hand over, keep it, publish it when it is complete.

A view counts once the root of every founder has signed it and its commitment stands in the directory. What accessions
and notices make of it is derived here, one after the other (exchange/policy/changes): each must be signed by the root
of the party that it speaks for, and the directory must show the commitment that this node comes to. The text is kept
beside it for people; that the view follows from the text is checked whenever a text is taken in.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed, verified_signers
from exchange.directory.fold import Directory
from exchange.directory.state import KeyUse
from exchange.errors import BadAgreement, ExchangeError, NotAllowed, Unavailable, VerificationFailed
from exchange.limits import MIB
from exchange.names import PartyId
from exchange.policy.agreement import commitment
from exchange.policy.changes.codec import CHANGE_BYTES, decode_notice
from exchange.policy.changes.course import Course, after, begin
from exchange.policy.changes.model import AgreementNotice, Change
from exchange.policy.changes.verify import open_change
from exchange.policy.codec import decode_view
from exchange.receipts.codec import decode_agreement_text, encode_agreement_text
from exchange.receipts.model import AgreementText
from exchange.runtime.database import Database
from exchange.runtime.logs import get_logger
from nodes import alarms
from nodes.agreement_file import AgreementFile, understood
from nodes.alarms import Alarms
from nodes.kept_changes import kept_change, needs_acknowledgement, notice_alarm, notice_subject
from nodes.relay_port import AgreementPart, Relay
from nodes.store import agreements as store
from nodes.store.rows import ANNOUNCED, KeptAgreement, KeptChange
from nodes.trust import Trust

VIEW_BYTES = 2 * MIB
"""Of a signed view: 64 terms and 256 signatures."""

VIEW_TYPE = "enforcement-view"
AGREEMENT_TYPE = "agreement"


@dataclass(frozen=True, slots=True)
class Taken:
    """An agreement as it stands after a file was taken in."""

    kept: KeptAgreement
    file: AgreementFile
    missing: tuple[PartyId, ...]
    """Founders whose root has not signed."""


@dataclass(frozen=True, slots=True)
class _Step:
    """An agreement as signed, or as one more change left it."""

    course: Course
    change: Change | None = None
    statement: bytes = b""
    payload: bytes = b""
    before: bytes = b""
    """Commitment that the change replaced."""
    since: int = 0
    """Index of the directory entry that shows what the change made of it."""


class Agreements:
    """Agreements of one node. For one event loop."""

    def __init__(
        self,
        database: Database,
        trust: Trust,
        alarms_: Alarms,
        *,
        me: PartyId,
        clock: Callable[[], int],
        on_text: Callable[[], None],
    ) -> None:
        """Keep them in `database`; verified views go into `trust`. `on_text` is called when a text was taken in."""
        self._database = database
        self._trust = trust
        self._alarms = alarms_
        self._me = me
        self._clock = clock
        self._on_text = on_text
        self._courses: dict[bytes, Course] = {}
        self._log = get_logger(__name__)

    @property
    def courses(self) -> Mapping[bytes, Course]:
        """Agreements that the directory shows, by commitment of the view as its founders signed it."""
        return self._courses

    async def load(self) -> None:
        """Take up the complete ones that are stored, with their changes."""
        kept = await self._database.read(store.agreements)
        changes: dict[bytes, list[bytes]] = {}
        open_: set[bytes] = set()
        for change in await self._database.read(store.changes):
            if change.place != ANNOUNCED:
                changes.setdefault(change.commitment, []).append(change.statement)
            if needs_acknowledgement(change, self._me):
                open_.add(change.hash)
                if change.place == ANNOUNCED:
                    await self._tell_announced(change)
        for each in kept:
            part = AgreementPart(each.commitment, each.view, 0, changes.get(each.commitment, []))
            steps, error = self._follow(part)
            if error is not None:
                self._log.debug("agreement.not-yet", reason=error.reason)
            self._believe(steps)
            await self._tell(steps, open_)
        # A crash may have come between an acknowledgement and the end of its alarm.
        await self._alarms.close_others(alarms.NOTICE, [notice_subject(hash_) for hash_ in open_])

    async def fetch(self, relay: Relay) -> None:
        """Ask the relay for what is new of agreements; what does not hold raises an alarm."""
        while parts := await relay.fetch_agreements({each: held.count for each, held in self._courses.items()}):
            news = [await self._take_part(part) for part in parts]
            if not any(news):
                return

    async def _take_part(self, part: AgreementPart) -> bool:
        """Keep what holds of a part; say whether it brought anything."""
        steps, error = self._follow(part)
        # One whose commitment is a directory entry that comes next is no error.
        if error is not None and not isinstance(error, Unavailable):
            await self._alarms.raise_(alarms.AGREEMENT, "relay", f"the relay's view of an agreement: {error}")
        if steps:
            new = await self._database.write(lambda connection: self._keep(connection, part, steps))
            self._believe(steps)
            await self._tell(steps, new)
        return bool(steps)

    async def _tell(self, steps: Sequence[_Step], new: Collection[bytes]) -> None:
        """Open an alarm for each of these notices of other parties that was given while we were a party."""
        for step in steps:
            hash_ = sha256(step.payload).digest()
            ours = self._me in step.course.members
            if isinstance(step.change, AgreementNotice) and hash_ in new and ours and step.change.party != self._me:
                await self._alarms.raise_(*notice_alarm(step.change, hash_))

    async def _tell_announced(self, kept: KeptChange) -> None:
        """Open the alarm of a notice that came from its party: a crash may have come between the two."""
        signed = decode_signed(kept.statement, limit=CHANGE_BYTES, what="a stored notice")
        await self._alarms.raise_(*notice_alarm(decode_notice(signed.payload), kept.hash))

    def _follow(self, part: AgreementPart) -> tuple[list[_Step], ExchangeError | None]:
        """Return what is new and holds, in order, and what stopped it."""
        steps: list[_Step] = []
        try:
            for step in self._steps(part):
                steps.append(step)  # noqa: PERF402 - what came before an error counts
        except ExchangeError as error:
            return steps, error
        return steps, None

    def _steps(self, part: AgreementPart) -> Iterator[_Step]:
        course = self._courses.get(part.commitment)
        if course is None:
            course = self._begun(part)
            yield _Step(course)
        for number, data in enumerate(part.changes, part.first):
            if number > course.count:
                raise BadAgreement("accessions or notices are missing")
            if number == course.count:
                step = self._changed(course, data)
                course = step.course
                yield step

    def _begun(self, part: AgreementPart) -> Course:
        """Return an agreement that every founder has signed, and that the directory commits to."""
        signed = decode_signed(part.view, limit=VIEW_BYTES, what="an enforcement view")
        course = begin(decode_view(signed.payload))
        directory = self._trust.now.directory
        if course.signed.exchange != directory.exchange or course.ref.commitment != part.commitment:
            raise BadAgreement("a view of another exchange, or another one than was named")
        if not course.concerns(self._me):
            raise BadAgreement("a view of other parties")
        # Signed under the roots of that time: a party that is expelled later ends it for nobody else.
        since = directory.agreement_since(part.commitment)
        if missing(signed, course.signed.parties, directory, at_size=since):
            raise VerificationFailed("a view that not every party has signed")
        if since is None:
            raise Unavailable("the directory shows no commitment to this view yet")
        return course

    def _changed(self, course: Course, data: bytes) -> _Step:
        """Return what a change makes of an agreement, when the directory commits to just that."""
        directory = self._trust.now.directory
        signed = decode_signed(data, limit=CHANGE_BYTES, what="an accession or a notice")
        change = open_change(signed, roots_of(directory), exchange=directory.exchange)
        changed = after(course, change, signed.payload)
        since = directory.agreement_since(changed.now_ref.commitment)
        if since is None:
            raise Unavailable("the directory shows no commitment to this change yet")
        if directory.root_key(change.party, signed.signatures[0].key_id, at_size=since) is None:
            raise VerificationFailed(f"the root of {change.party} did not stand when its statement was logged")
        return _Step(changed, change, data, signed.payload, course.now_ref.commitment, since)

    def _keep(self, connection: Connection, part: AgreementPart, steps: Sequence[_Step]) -> frozenset[bytes]:
        """Store a view that is new here, and changes at their places; return the hashes of those new here."""
        now_ms, changes = self._clock(), []
        for step in steps:
            if step.change is None:
                ref, kept = step.course.ref, store.agreement_of(connection, part.commitment)
                fresh = KeptAgreement(ref.commitment, ref.id, ref.version, b"", part.view, now_ms, published=True)
                merged = replace(kept, view=part.view, published=True) if kept else fresh
                store.put_agreement(connection, merged)
            else:
                place = step.course.count - 1
                changes.append(kept_change(step.change, step.statement, step.payload, place=place, now_ms=now_ms))
        return frozenset(each.hash for each in store.place_changes(connection, changes))

    def _believe(self, steps: Sequence[_Step]) -> None:
        """Give what holds to the decisions."""
        views, replaced = {}, {}
        for step in steps:
            self._courses[step.course.ref.commitment] = step.course
            if step.before:
                replaced[step.before] = step.since
            if step.course.now.knows(self._me):
                views[step.course.now_ref.commitment] = step.course.now
        if views:
            self._trust.add_views(views, replaced)

    async def take(self, text: AgreementText) -> Taken:
        """Take in an agreement with the signatures that it has, joined with those known here.

        Raises:
            BadAgreement: the view does not follow from the text.
            NotAllowed: this party is none of its parties, and may not accede.
            VerificationFailed: a signature does not hold, or is by nobody who is a party.
        """
        file = understood(text)
        if not begin(file.view).concerns(self._me):
            raise NotAllowed(f"{self._me} is not a party of this agreement, and may not accede to it")
        for signed, name in ((text.agreement, AGREEMENT_TYPE), (text.view, VIEW_TYPE)):
            strangers = signers(signed, name, self._trust.now.directory) - set(file.view.parties)
            if strangers:
                raise VerificationFailed(f"signed by {', '.join(sorted(strangers))}, who are no parties of it")
        digest = commitment(text.view.payload, file.view.salt)
        taken = await self._database.write(partial(self._merge, digest=digest, file=file))
        self._on_text()
        return taken

    async def published(self, digest: bytes) -> None:
        """Note that the relay has taken a view."""

        await self._database.write(partial(store.set_published, commitment=digest))

    async def all(self) -> Sequence[KeptAgreement]:
        """Return every agreement that is known here."""
        return await self._database.read(store.agreements)

    def missing(self, signed: Signed, parties: Sequence[PartyId]) -> tuple[PartyId, ...]:
        """Return the parties that have not signed."""
        return missing(signed, parties, self._trust.now.directory)

    def _merge(self, connection: Connection, digest: bytes, file: AgreementFile) -> Taken:
        kept = store.agreement_of(connection, digest)
        text = file.signed
        # Joined with itself where nothing else is known: one order of the signatures, however often it came.
        known = decode_agreement_text(kept.text).agreement if kept and kept.text else text.agreement
        view = decode_signed(kept.view, limit=VIEW_BYTES, what="a stored view") if kept else text.view
        text = AgreementText(joined(known, text.agreement), joined(view, text.view))
        encoded = encode_agreement_text(text)
        merged = KeptAgreement(
            commitment=digest,
            agreement_id=file.view.agreement_id,
            version=file.view.version,
            text=encoded,
            view=encode_signed(text.view),
            stored_ms=self._clock(),
            published=kept.published if kept else False,
        )
        if kept is None or kept.text != encoded:
            store.put_agreement(connection, merged)
        whole = AgreementFile(file.agreement, file.view, text)
        lacking = self.missing(text.view, file.view.parties) or self.missing(text.agreement, file.view.parties)
        return Taken(merged, whole, lacking)


def roots_of(directory: Directory) -> Callable[[bytes], tuple[PartyId, PublicKey] | None]:
    """Return the lookup of party roots that the directory ever showed; when one stood is for the caller to judge."""

    def root_of(key_id: bytes) -> tuple[PartyId, PublicKey] | None:
        record = directory.key_record(key_id)
        if record is None or record.use is not KeyUse.ROOT or record.public is None:
            return None
        return record.party, record.public

    return root_of


def signers(signed: Signed, name: str, directory: Directory, *, at_size: int | None = None) -> frozenset[PartyId]:
    """Return the parties whose roots signed; VerificationFailed when a signature does not hold or is by no root.

    Roots are those that stood at directory size `at_size`; those that stand now when it is None.
    """
    size = directory.size if at_size is None else at_size
    found: dict[bytes, PartyId] = {}

    def lookup(key_id: bytes) -> PublicKey | None:
        record = directory.key_record(key_id)
        if record is None:
            return None
        found[key_id] = record.party
        return directory.root_key(record.party, key_id, at_size=size)

    ids = verified_signers(signed, lookup, expected_type=name, context=directory.exchange)
    return frozenset(found[key_id] for key_id in ids)


def missing(
    signed: Signed, parties: Sequence[PartyId], directory: Directory, *, at_size: int | None = None
) -> tuple[PartyId, ...]:
    """Return those of `parties` whose root has not signed; `at_size` as for `signers`.

    A signature by a root that does not stand then counts for nothing: its party has to sign again.
    """
    size = directory.size if at_size is None else at_size
    records = ((each, directory.key_record(each.key_id)) for each in signed.signatures)
    standing = tuple(
        each
        for each, record in records
        if record is not None and directory.root_key(record.party, each.key_id, at_size=size) is not None
    )
    if not standing:
        return tuple(parties)
    name = signed.payload_type.removeprefix("application/vnd.concord.").removesuffix(".v1+protobuf")
    have = signers(replace(signed, signatures=standing), name, directory, at_size=size)
    return tuple(party for party in parties if party not in have)


def joined(known: Signed, more: Signed) -> Signed:
    """Return a statement with the signatures of both copies, by key id; the payloads are the same."""
    if known.payload != more.payload:
        raise BadAgreement("two texts under one commitment")
    both = {signature.key_id: signature for signature in (*known.signatures, *more.signatures)}
    return replace(known, signatures=tuple(both[key_id] for key_id in sorted(both)))
