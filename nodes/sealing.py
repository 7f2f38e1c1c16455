"""Seal what waits: decide again, choose prekeys, take numbers, seal. Runs in a thread, on one unchanging snapshot.

For each item: recipients that are permitted now and have a valid prekey share one envelope (or get one each, after a
refusal that named nobody); a recipient without a prekey waits and gets its own envelope later, and so does one that is
denied by what may yet change; one that is no longer permitted is denied. A report with files that the relay does not
have yet waits too: they are uploaded first, once somebody is permitted to get it (nodes/uploading.py).
Nothing is stored here: nodes/sender.py stores envelopes, numbers and changes in one transaction,
and only then sends.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from exchange.approvals.model import ApprovalProof
from exchange.crypto.codec import encode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed, sign
from exchange.crypto.signing import CompositeKey, Ed25519Key
from exchange.crypto.xwing import WrapAll, wrap_each
from exchange.directory.state import MEMBERS
from exchange.envelope.model import CONTROL_LABEL, BlobKey, BlobRef, Body, EnvelopeKind, Lane
from exchange.envelope.seal import Prepared, Recipient, prepare, seal_all
from exchange.errors import BadInput
from exchange.limits import BATCH_STATEMENTS, ENVELOPE_LIFE_MS
from exchange.names import ExchangeName, PartyId
from exchange.policy.binding import relay_label
from exchange.policy.consent import Consent
from exchange.policy.decide import decide_for
from exchange.policy.decision import Decision, Item, Role, Rules
from exchange.policy.model import Label, OnExpiry, RelayLabel, Release
from exchange.policy.question import Question
from exchange.policy.steps import DAY_MS
from nodes.compared import Uncompared
from nodes.decisions import Stage, by_sender, seal_decisions
from nodes.standing import against_control
from nodes.store.rows import Addressee, DecisionRow, Event, Outgoing, Reach, TakenSlot
from nodes.trust import Snapshot
from nodes.waiting import after_denial, told, until_change

STALE = "no quorum of witnesses has vouched for the directory for a day"
OVERRIDES = 2
"""Operators other than the author who must approve a flash report that is to go all the same."""

NO_PREKEY = "waiting: no prekey"
UPLOADING = "waiting: its attachments are on their way"
UPLOAD_WAIT_MS = 60 * 60 * 1000
"""A recipient that waits for files is looked at again after this, or as soon as the relay has them."""

NO_PREKEY_WAIT_MS = 60_000
"""A recipient without a prekey is looked at again after this, or as soon as it has published."""


@dataclass(frozen=True, slots=True)
class Job:
    """One item and the recipients that are due."""

    item: bytes
    kind: EnvelopeKind
    lane: Lane
    statement: Signed = field(repr=False)
    due: Sequence[Addressee]
    own: bool = True
    """This party signed the statement."""
    label: Label | None = None
    """None for control statements, as what is below."""
    key: bytes = field(default=b"", repr=False)
    """Of the report, as it is stored."""
    label_bytes: bytes = field(default=b"", repr=False)
    release: Release | None = None
    open_release: bytes = field(default=b"", repr=False)
    """What recipients see of the audience: Release bytes where the roster is open."""
    withdrawn: bool = False
    authored_ms: int = 0
    consents: tuple[Consent, ...] = ()
    """Verified grants to this party, where others originated it."""
    grants: Mapping[bytes, Signed] = field(default_factory=dict, repr=False)
    """Their statements, by the hash that names them."""
    approvals: tuple[ApprovalProof, ...] = ()
    """Those that count."""
    approvals_kept: frozenset[tuple[bytes, int]] = frozenset()
    """Marks of all that were kept when this was read: a round that one overtook is made again."""
    approved: Sequence[tuple[str, int]] = ()
    """Which of this node's operators have approved it, and when."""
    refused: frozenset[str] = frozenset()
    """Of those that get it once more, who has refused what it was sent."""
    blobs: Sequence[tuple[BlobRef, BlobKey]] = field(default=(), repr=False)
    """Its files, once the relay has all of them."""
    uploaded: bool = True
    """The relay has its files, if it has any."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What all jobs of one round are sealed under."""

    snapshot: Snapshot
    rules: Rules
    me: PartyId
    exchange: ExchangeName
    key: Ed25519Key = field(repr=False)
    statement_key: CompositeKey = field(repr=False)
    stream: int
    now_ms: int
    uncompared: Uncompared
    """Partners whose fingerprint nobody here has compared."""
    stale_since_ms: int = 0
    """Since when the directory is too old to send reports under; 0 while it is not."""
    wrap_all: WrapAll = wrap_each


@dataclass(slots=True)
class Round:
    """What a round came to: envelopes to store, rows that change, lines of the story."""

    outgoing: list[Outgoing] = field(default_factory=list)
    changed: list[Addressee] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    approvals: dict[bytes, frozenset[tuple[bytes, int]]] = field(default_factory=dict)
    """By item, the marks of the approvals that were kept when this was decided."""
    decided: list[DecisionRow] = field(default_factory=list)
    wanted: list[bytes] = field(default_factory=list)
    """Items whose files the relay must have before they can be sealed."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A recipient that gets it now."""

    row: Addressee
    decision: Decision | None
    kem: PublicKey
    display_only: bool


@dataclass(frozen=True, slots=True)
class _Draft:
    """An envelope without its signature, and whom it is for."""

    job: Job
    prepared: Prepared
    chosen: Sequence[_Chosen]
    numbers: Mapping[str, int]


def seal_round(jobs: Sequence[Job], ground: Ground, numbers: Mapping[tuple[str, int], int]) -> Round:
    """Return the round; `numbers` holds the last number used, by recipient and lane."""
    jobs = [_in_force(job, ground) for job in jobs]
    made = Round(approvals={job.item: job.approvals_kept for job in jobs if job.kind is EnvelopeKind.REPORT})
    last = dict(numbers)
    drafts: list[_Draft] = []
    for job in jobs:
        for chosen in _envelopes(_choose(job, ground, made), ground.snapshot.directory.limits.recipients):
            try:
                drafts.append(_draft(job, chosen, ground, last))
            except BadInput as error:
                # An item that cannot be sealed must not hold up the others.
                why = f"cannot be sealed: {error}"
                made.changed += [replace(each.row, state=Reach.REFUSED, why=why) for each in chosen]
    for at in range(0, len(drafts), BATCH_STATEMENTS):
        _finish(drafts[at : at + BATCH_STATEMENTS], ground, made)
    return made


def _choose(job: Job, ground: Ground, made: Round) -> list[_Chosen]:
    chosen = []
    counted: list[tuple[PartyId, Decision]] = []
    decisions = {} if job.kind is EnvelopeKind.CONTROL else _decide(job, ground)
    for row in job.due:
        party = PartyId(row.recipient)
        if job.kind is EnvelopeKind.CONTROL:
            decision, held = None, _held_control(job, row, ground)
        else:
            decision = decisions[party]
            held = _held_by_age(job, row, ground) if decision.permit else after_denial(row, decision, job.label)
        if held is not None:
            if row.state is Reach.AGAIN:
                held = _as_it_stood(row, held, refused=party in job.refused)
            made.changed.append(held)
            if decision is not None and held.state is Reach.DENIED:
                counted.append((party, decision))
            if job.kind is EnvelopeKind.REPORT and held.why != row.why:
                story = "denied" if held.state is Reach.DENIED else "waiting"
                made.events.append(Event(job.item, ground.now_ms, story, party, told(held.why)))
            continue
        kem = ground.snapshot.prekey(party, ground.now_ms)
        if kem is None or not job.uploaded:
            _wait(job, row, ground, made, NO_PREKEY if kem is None else UPLOADING)
            continue
        shown = job.release is not None and party in job.release.display_only
        chosen.append(_Chosen(row, decision, kem, shown))
        if decision is not None:
            counted.append((party, decision))
            if ground.stale_since_ms:
                by = " and ".join(overriding(job.approved, ground.stale_since_ms))
                made.events.append(Event(job.item, ground.now_ms, "overridden", party, f"{STALE}; sent by {by}"))
    if counted:
        made.decided.append(_written(job, counted, ground))
    return chosen


def _wait(job: Job, row: Addressee, ground: Ground, made: Round, why: str) -> None:
    """Let a recipient wait for its prekey, or for the relay to have the files."""
    uploads = why == UPLOADING
    wait_ms = UPLOAD_WAIT_MS if uploads else NO_PREKEY_WAIT_MS
    made.changed.append(replace(row, why=why, due_ms=ground.now_ms + wait_ms, on_change=False))
    if uploads:
        made.wanted = list(dict.fromkeys([*made.wanted, job.item]))
    if row.why != why:
        made.events.append(Event(job.item, ground.now_ms, "waiting", row.recipient, why.removeprefix("waiting: ")))


def _as_it_stood(row: Addressee, held: Addressee, *, refused: bool) -> Addressee:
    """Return the row of a recipient that was to get an item once more and is denied it now: nothing has changed.

    It has confirmed it, or has refused it by its signed word, or the relay has promised to deliver it. What only waits
    goes on waiting.
    """
    if held.state is not Reach.DENIED:
        return held
    stood = Reach.RECEIPTED if row.receipted_ms else Reach.REFUSED if refused else Reach.PROMISED
    return replace(row, state=stood, why=f"asked for again, and not sent: {told(held.why)}", due_ms=0, on_change=False)


def _written(job: Job, counted: Sequence[tuple[PartyId, Decision]], ground: Ground) -> DecisionRow:
    """Return decisions that a recipient was sealed for, or denied by; while it waits none of them counts."""
    question = Question(Role.SENDER, ground.me, ground.me, ground.now_ms, _item(job, ground), ground.rules)
    return seal_decisions(job.key, job.item, by_sender(Stage.SEALED, question, ground.snapshot.size, counted))


def _item(job: Job, ground: Ground) -> Item:
    return Item(
        label=job.label,
        release=job.release,
        intact=True,
        retracted=job.withdrawn,
        authored_ms=job.authored_ms,
        item_hash=job.item,
        consents=job.consents,
        approvals=len(job.approvals),
        uncompared=ground.uncompared.at(job.label.tlp) if job.label is not None else frozenset(),
    )


def _decide(job: Job, ground: Ground) -> dict[PartyId, Decision]:
    """Return the decision for each recipient of a report that is due."""
    due = [PartyId(row.recipient) for row in job.due]
    return dict(decide_for(_item(job, ground), due, sender=ground.me, rules=ground.rules, now_ms=ground.now_ms))


def _held_control(job: Job, row: Addressee, ground: Ground) -> Addressee | None:
    """Return where a recipient of a control statement stands that does not get it now; None when it does."""
    status, recipient = ground.snapshot.status, PartyId(row.recipient)
    if status(recipient) not in MEMBERS:
        return replace(row, state=Reach.REFUSED, why="not a member")
    against = against_control(job.statement.payload_type, sender=status(ground.me), recipient=status(recipient))
    return None if against is None else until_change(row, str(against))


def _held_by_age(job: Job, row: Addressee, ground: Ground) -> Addressee | None:
    """Return where a recipient stands that gets nothing while the directory is too old; None when it gets it.

    A flash report goes all the same once two operators have approved it since (nodes/freshness.py).
    """
    since_ms = ground.stale_since_ms
    if not since_ms or (job.lane is Lane.FLASH and len(overriding(job.approved, since_ms)) >= OVERRIDES):
        return None
    return until_change(row, STALE)


def overriding(approved: Sequence[tuple[str, int]], since_ms: int) -> list[str]:
    """Return who has approved a report since the directory became too old to send under."""
    return [name for name, at_ms in approved if at_ms >= since_ms]


def _envelopes(chosen: Sequence[_Chosen], most: int) -> Iterator[Sequence[_Chosen]]:
    together = [each for each in chosen if not each.row.alone]
    for at in range(0, len(together), most):
        yield together[at : at + most]
    for each in chosen:
        if each.row.alone:
            yield [each]


def _draft(job: Job, chosen: Sequence[_Chosen], ground: Ground, last: dict[tuple[str, int], int]) -> _Draft:
    label, expires_ms = _label(job, ground)
    numbers = {each.row.recipient: last.get((each.row.recipient, int(job.lane)), 0) + 1 for each in chosen}
    prepared = prepare(
        exchange=ground.exchange,
        sender=ground.me,
        sender_key=ground.key.public.key_id,
        created_ms=ground.now_ms,
        expires_ms=expires_ms,
        lane=job.lane,
        kind=job.kind,
        label=label,
        directory=ground.snapshot.head,
        body=Body(
            _statement(job, ground),
            grants=_grants(job, chosen),
            approvals=_approvals(job, ground),
            release=job.open_release,
            blobs=tuple(key for _, key in job.blobs),
        ),
        blobs=[ref for ref, _ in job.blobs],
        recipients=[
            Recipient(
                party=PartyId(each.row.recipient),
                kem=each.kem,
                stream=ground.stream,
                pair_seq=numbers[each.row.recipient],
                basis=each.decision.basis if each.decision else None,
                via=each.decision.via if each.decision else "",
                display_only=each.display_only,
            )
            for each in chosen
        ],
        wrap_all=ground.wrap_all,
    )
    # Numbers are taken only by what was prepared.
    last.update({(recipient, int(job.lane)): seq for recipient, seq in numbers.items()})
    return _Draft(job, prepared, chosen, numbers)


def _statement(job: Job, ground: Ground) -> Signed:
    return _standing(job.statement, ground) if job.own else job.statement


def _in_force(job: Job, ground: Ground) -> Job:
    """Leave out what others have signed with keys that have ended since: its recipients would refuse all of it.

    Another's report may go all the same: the grants that are left vouch for it (docs/spec/envelope.md, "Keys that have
    ended").
    """
    if not (job.grants or job.consents or job.approvals):
        return job
    grants = {hash_: signed for hash_, signed in job.grants.items() if _stands(signed, ground)}
    consents = tuple(each for each in job.consents if each.grant in grants)
    approvals = job.approvals if job.own else tuple(each for each in job.approvals if _stands(each.cert, ground))
    return replace(job, grants=grants, consents=consents, approvals=approvals)


def _approvals(job: Job, ground: Ground) -> tuple[ApprovalProof, ...]:
    if not job.own:
        return job.approvals
    return tuple(replace(each, cert=_standing(each.cert, ground)) for each in job.approvals)


def _standing(signed: Signed, ground: Ground) -> Signed:
    """Return an own statement under a key that stands: signed anew when the one that signed it has ended meanwhile.

    It stays the same item, which is the hash of its payload.
    """
    if _stands(signed, ground):
        return signed
    return sign(ground.statement_key, signed.payload_type, signed.payload, context=ground.exchange)


def _stands(signed: Signed, ground: Ground) -> bool:
    """Say whether the key that signed a statement is in force now, of whichever party it is."""
    directory, key_id = ground.snapshot.directory, signed.signatures[0].key_id
    record = directory.key_record(key_id)
    if record is None:
        return False
    return directory.statement_key(record.party, key_id, at_size=directory.size, at_ms=ground.now_ms) is not None


def _grants(job: Job, chosen: Sequence[_Chosen]) -> tuple[Signed, ...]:
    """Return the grants that the recipients' decisions rest on."""
    used = {hash_ for each in chosen if each.decision for hash_ in each.decision.grants}
    return tuple(job.grants[hash_] for hash_ in sorted(used))


def _label(job: Job, ground: Ground) -> tuple[RelayLabel, int]:
    most = ground.now_ms + ENVELOPE_LIFE_MS
    if job.label is None:
        return CONTROL_LABEL, most
    label = relay_label(job.label, job.label_bytes, sender=ground.me, expires_ms=most)
    return label, label.expires_ms


def _finish(drafts: Sequence[_Draft], ground: Ground, made: Round) -> None:
    if not drafts:
        return
    sealed = seal_all([draft.prepared for draft in drafts], ground.key)
    for draft, each in zip(drafts, sealed, strict=True):
        job = draft.job
        places = {party: place for place, party in each.slots}
        slots = tuple(
            TakenSlot(recipient, places[PartyId(recipient)], ground.stream, seq)
            for recipient, seq in draft.numbers.items()
        )
        header = encode_signed(each.header)
        made.outgoing.append(
            Outgoing(
                envelope=each.envelope_hash,
                item=job.item,
                kind=int(job.kind),
                lane=int(job.lane),
                sealed_ms=ground.now_ms,
                header=header,
                submission=each.submission_bytes,
                slots=slots,
                directory_size=draft.prepared.core.directory.size,
            )
        )
        made.changed += [_sealed(chosen, job, each.envelope_hash) for chosen in draft.chosen]
        if job.kind is EnvelopeKind.REPORT:
            detail = f"for {len(slots)} recipients"
            made.events.append(Event(job.item, ground.now_ms, "sealed", detail=detail, envelope=each.envelope_hash))


def _sealed(chosen: _Chosen, job: Job, envelope: bytes) -> Addressee:
    """Return where a recipient of a sealed envelope stands, and until when its node may keep what is in it."""
    decision, label = chosen.decision, job.label
    must = decision.obligations if decision else None
    return replace(
        chosen.row,
        state=Reach.SEALED,
        why="",
        on_change=False,
        envelope=envelope,
        basis=decision.basis if decision else None,
        clause=decision.clause if decision else "",
        purge_by_ms=label.expires_ms if label is not None and label.on_expiry is OnExpiry.PURGE else 0,
        keep_ms=must.retention_days * DAY_MS if must is not None else 0,
    )
