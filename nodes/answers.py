"""What the relay answered: verify a promise or a refusal, and what each means for the envelope's recipients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import VerifiedRoots, payload_type
from exchange.directory.fold import Directory
from exchange.directory.state import Status
from exchange.envelope.codec import decode_core, decode_header
from exchange.envelope.model import EnvelopeKind
from exchange.errors import VerificationFailed
from exchange.limits import KIB
from exchange.policy.decision import WAITS, Reason
from exchange.receipts.model import DecisionRecord, Promise, Refusal
from exchange.receipts.verify import PROMISE, REFUSAL, check_decisions, check_promise_for
from nodes.receipted import STEP_PREKEY
from nodes.refusals import encode_refused, kept_of
from nodes.relay_port import Outcome
from nodes.relay_word import opened_promise, opened_refusal
from nodes.resending import NOT_KEPT
from nodes.standing import FROM_SUSPENDED
from nodes.store import blobs, missing, reports, sending
from nodes.store.rows import UNSEALED, Addressee, Event, KeptPromise, Outgoing, Reach, SlotState
from nodes.waiting import until_change

TRIES_MOST = 8
"""Refusals for a recipient's sake after which it is shown as refused."""

STEP_DECIDE = 12
"""From this step on the relay refuses for a recipient's sake; before it, for the envelope's: that is never final."""

ATTACHMENT_MISSING = "ATTACHMENT_MISSING"
"""The relay's reason for an envelope of which it has not every file."""

STEP_PREKEYS = 10
"""The relay looks at the recipients' prekeys, and does not say whose it refuses."""

HELD_TRIES = 4
"""Refusals for the envelope's sake that count as tries; a recipient keeps some for what is about itself."""

HELD_MOST_MS = 4 * 60 * 1000
"""What was refused for the envelope's sake is sent again at the latest after this."""

UNKNOWN_WAIT_MS = 60 * 1000
"""What was taken under a directory that is not known here is looked at again after this, or when that grows."""

RESEAL_MOST_MS = 60 * 60 * 1000
HEADER_BYTES = 32 * KIB
CONTROL_BYTES = 128 * KIB
"""A control body has at most 64 KiB."""


@dataclass(frozen=True, slots=True)
class Promised:
    """The relay holds the envelope."""

    envelope: Outgoing
    promise: Promise
    decided: DecisionRecord
    statement: bytes
    decisions: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The relay will never accept these bytes."""

    envelope: Outgoing
    refusal: Refusal
    statement: bytes


Answer = Promised | Refused

Standing = Callable[[int], Status | None]
"""Where this party stands as of a directory size; None when this node has not replayed so far."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What stored answers tell the operator."""

    wrong: Sequence[str]
    """What is wrong with promises."""
    held: str = ""
    """Why the relay keeps refusing what this node sends, for no recipient's sake; empty when it does not."""
    waits: bool = False
    """Something is to be sealed again, now or later."""


def read_answer(
    envelope: Outgoing, outcome: Outcome, *, directory: Directory, exchange: str, seen: VerifiedRoots
) -> Answer:
    """Return what the relay answered for this envelope.

    Raises:
        EndedKey: signed with a key that the relay does not have as of the directory size in it.
        NotReplayed: the key is not known here yet.
        VerificationFailed, BadInput: not signed by the relay, or about another envelope.
    """
    statement = encode_signed(outcome.answer)
    if outcome.answer.payload_type == payload_type(PROMISE):
        promise = opened_promise(outcome.answer, directory, exchange, seen)
        check_promise_for(promise, envelope.envelope)
        decided = check_decisions(promise, outcome.decisions)
        if {each.leaf_index for each in decided.decisions} != {slot.place for slot in envelope.slots}:
            raise VerificationFailed("the relay decided for other slots than the envelope has")
        return Promised(envelope, promise, decided, statement, outcome.decisions)
    if outcome.answer.payload_type == payload_type(REFUSAL):
        refusal = opened_refusal(outcome.answer, directory, exchange, seen)
        if refusal.envelope_hash != envelope.envelope:
            raise VerificationFailed("the refusal is about another envelope")
        return Refused(envelope, refusal, statement)
    raise VerificationFailed("the relay answered neither a promise nor a refusal")


def record(
    connection: Connection, *, answers: Sequence[Answer], standing: Standing, now_ms: int, reseal_first_ms: int
) -> Recorded:
    """Store answers and what they mean for each recipient; return what an alarm is due for."""
    promised = [answer for answer in answers if isinstance(answer, Promised)]
    wrong, changed = _promised(connection, promised, standing, now_ms) if promised else ([], [])
    held = ""
    for answer in answers:
        if isinstance(answer, Refused):
            why, rows = _refused(connection, answer, now_ms, reseal_first_ms)
            held, changed = why or held, [*changed, *rows]
    return Recorded(wrong, held, waits=any(row.state in UNSEALED for row in changed))


def _promised(
    connection: Connection, answers: Sequence[Promised], standing: Standing, now_ms: int
) -> tuple[list[str], list[Addressee]]:
    """Store promises; return what is wrong with them, and the rows that are sealed again."""
    sending.answered(connection, [answer.envelope.envelope for answer in answers], SlotState.PROMISED)
    sending.add_promises(connection, [_kept(answer) for answer in answers])
    of_reports = [answer for answer in answers if answer.envelope.kind == EnvelopeKind.REPORT]
    items = sorted({answer.envelope.item for answer in of_reports})
    if of_reports:
        reports.promised(connection, [(answer.envelope.item, answer.envelope.envelope) for answer in of_reports])
    cited = reports.cited(connection, items) if of_reports else {}
    wrong: list[str] = []
    changed: list[Addressee] = []
    events: list[Event] = []
    for answer in answers:
        envelope = answer.envelope
        if answer.promise.directory_size < (named := _sealed_at(envelope)):
            below = f"under {answer.promise.directory_size} entries of the directory, and it names {named}"
            wrong.append(f"the relay promised an envelope {below}")
        if envelope.kind == EnvelopeKind.CONTROL:
            changed += _settle_control(connection, answer, standing, now_ms)
            continue
        wrong += _compare_decisions(answer, cited)
        detail, position = f"{len(envelope.slots)} recipients", answer.promise.log_index + 1
        events.append(Event(envelope.item, now_ms, "promised", "", detail, envelope.envelope, position))
    reports.replace_addressees(connection, changed)
    reports.add_events(connection, events)
    return wrong, changed


def _settle_control(connection: Connection, answer: Promised, standing: Standing, now_ms: int) -> list[Addressee]:
    """Forget a control statement that its recipients take; return rows that wait where they do not.

    They judge who sent it as of the directory under which the relay took it, which may show a suspension that this node
    did not know when it sealed. Then they set it aside (nodes/opening.py): it is sealed again once that is lifted. When
    this node has not seen that directory yet, it is sealed again in any case: taken twice it counts once.
    """
    envelope, size = answer.envelope, answer.promise.directory_size
    status = standing(size)
    against = f"taken under directory size {size}, which is not known here" if status is None else ""
    if status is Status.SUSPENDED:
        against = Reason.SENDER_SUSPENDED
    control = sending.control_of(connection, envelope.item) if against else None
    if control is None or _type_of(control.statement) in FROM_SUSPENDED:
        missing.keep_control(connection, envelope.item, now_ms, but=NOT_KEPT)
        sending.drop_control(connection, envelope.item, [slot.recipient for slot in envelope.slots])
        return []
    waiting = [
        replace(until_change(row, against), state=Reach.WAITING, envelope=b"")
        for row in _rows(connection, envelope)
        if row.state is Reach.SEALED
    ]
    return waiting if status is not None else [replace(row, due_ms=now_ms + UNKNOWN_WAIT_MS) for row in waiting]


def _type_of(statement: bytes) -> str:
    return decode_signed(statement, limit=CONTROL_BYTES, what="a stored control statement").payload_type


def _kept(answer: Promised) -> KeptPromise:
    envelope, promise = answer.envelope, answer.promise
    return KeptPromise(
        envelope=envelope.envelope,
        item=envelope.item,
        log_index=promise.log_index,
        directory_size=promise.directory_size,
        received_ms=promise.received_ms,
        ours=True,
        promise=answer.statement,
        header=envelope.header,
        decisions=answer.decisions,
    )


def _compare_decisions(answer: Promised, cited: Mapping[tuple[bytes, str], bytes]) -> list[str]:
    """Say where the relay decided under another agreement than the slot cites: it changed the rules."""
    wrong = []
    recipients = {slot.place: slot.recipient for slot in answer.envelope.slots}
    for decision in answer.decided.decisions:
        recipient = recipients[decision.leaf_index]
        if not decision.commitment or decision.commitment != cited[answer.envelope.item, recipient]:
            wrong.append(f"the relay decided for {recipient} under another agreement than was cited")
    return wrong


def _refused(
    connection: Connection, answer: Refused, now_ms: int, reseal_first_ms: int
) -> tuple[str, Sequence[Addressee]]:
    """Store a refusal; return why recipients are held up, and the rows that it changed."""
    envelope, refusal = answer.envelope, answer.refusal
    sending.add_refusal(
        connection,
        envelope=envelope.envelope,
        item=envelope.item,
        reason=refusal.reason,
        step=refusal.step,
        recipient=refusal.recipient,
        refused_ms=refusal.refused_ms,
        statement=answer.statement,
        directory_size=refusal.directory_size,
        evidence=_evidence(answer),
    )
    rows = _rows(connection, envelope)
    sending.answered(connection, [envelope.envelope], SlotState.VOIDED)
    if refusal.reason == ATTACHMENT_MISSING:
        blobs.upload_again(connection, envelope.item)
    sealed = [row for row in rows if row.state is Reach.SEALED]
    if refusal.recipient not in {row.recipient for row in rows}:
        refusal = replace(refusal, recipient="")
    stale = refusal.directory_size > _sealed_at(envelope)
    changed = [_after_refusal(row, refusal, len(rows), now_ms, reseal_first_ms, stale=stale) for row in sealed]
    if envelope.kind == EnvelopeKind.REPORT:
        changed = _sent_before(connection, changed)
    reports.replace_addressees(connection, changed)
    sending.drop_given_up(connection, changed)
    told = refusal.step < STEP_DECIDE and bool(sealed) and all(row.tries >= HELD_TRIES for row in sealed)
    if envelope.kind == EnvelopeKind.REPORT and not told:
        detail = f"by the relay: {refusal.reason}" + (f", {refusal.clause}" if refusal.clause else "")
        reports.add_events(
            connection, [Event(envelope.item, now_ms, "refused", refusal.recipient, detail, envelope.envelope)]
        )
    return _why_held(refusal, sealed, stale=stale), changed


def _why_held(refusal: Refusal, sealed: Sequence[Addressee], *, stale: bool) -> str:
    """Say why recipients are held up, once they are refused again for no sake of theirs."""
    if refusal.step < STEP_DECIDE and any(row.tries for row in sealed):
        return f"the relay refuses what this node sends, at step {refusal.step}: {refusal.reason}"
    if stale and any(row.tries >= TRIES_MOST - 1 for row in sealed):
        return f"the relay refuses under directory size {refusal.directory_size}, and does not show it"
    return ""


def _sent_before(connection: Connection, changed: Sequence[Addressee]) -> list[Addressee]:
    """Return these rows, those that wait and were sent before as such: they may hold the report all the same.

    Not who could not open what it was sent: that one has nothing, and waits as for the first time.
    """
    if not any(row.state is Reach.WAITING for row in changed):
        return list(changed)
    before = missing.promised_to(connection, changed[0].item, but_step=STEP_PREKEY)
    return [
        replace(row, state=Reach.AGAIN, envelope=before[row.recipient])
        if row.state is Reach.WAITING and row.recipient in before
        else row
        for row in changed
    ]


def _evidence(answer: Refused) -> bytes:
    """Return what a refusal by the rules is judged by; nothing of others."""
    if answer.refusal.step != STEP_DECIDE or answer.envelope.kind != EnvelopeKind.REPORT:
        return b""
    return encode_refused(kept_of(answer.envelope.submission, answer.refusal.recipient))


def _sealed_at(envelope: Outgoing) -> int:
    """Return the directory size that an envelope was sealed under."""
    if envelope.directory_size:
        return envelope.directory_size
    header = decode_signed(envelope.header, limit=HEADER_BYTES, what="a stored header")
    return decode_core(decode_header(header.payload).core).directory.size


def _after_refusal(
    row: Addressee, refusal: Refusal, recipients: int, now_ms: int, first_ms: int, *, stale: bool = False
) -> Addressee:
    """Return a recipient's row after its envelope was refused.

    The recipient that the refusal names is refused. Others are decided on again at once, and this is no try of theirs:
    with each such refusal there is one recipient fewer. When the refusal names nobody and is about a recipient, each
    gets an envelope of its own, so that one denied slot holds up nobody else for long.

    When the relay judged under a newer directory than the envelope was sealed under (`stale`), or when what it found is
    of the kind that waits (nodes/waiting.py), nothing is final: a recipient is decided on again later, alone, and as
    soon as this node's own directory changes; what that says then holds.

    A refusal for the envelope's sake (a wrong clock, a certificate that has run out) is never final: when its cause is
    gone, everything that waits goes.
    """
    why = f"refused by the relay: {refusal.reason}" + (f", {refusal.clause}" if refusal.clause else "")
    if refusal.step < STEP_DECIDE or refusal.reason == ATTACHMENT_MISSING:
        return _held(row, refusal, why, now_ms, first_ms)
    named = refusal.recipient == row.recipient
    innocent = bool(refusal.recipient) and not named
    tries = row.tries if innocent else row.tries + 1
    waits = stale or refusal.reason in WAITS
    if waits:
        tries = min(tries, TRIES_MOST - 1)
    elif named or tries >= TRIES_MOST:
        return replace(row, state=Reach.REFUSED, why=why, tries=tries)
    parts = not innocent and refusal.reason != Reason.SENDER_SUSPENDED
    wait_ms = min(first_ms << row.tries, RESEAL_MOST_MS)
    if innocent or (parts and recipients > 1 and not named):
        wait_ms = 0
    return replace(
        row,
        state=Reach.WAITING,
        why=why,
        tries=tries,
        due_ms=now_ms + wait_ms,
        on_change=waits and not innocent,
        alone=row.alone or parts,
        envelope=b"",
    )


def _held(row: Addressee, refusal: Refusal, why: str, now_ms: int, first_ms: int) -> Addressee:
    """Return a recipient's row after a refusal that is about none of them: it waits, each time longer at first."""
    wait_ms = min(first_ms << 2 * min(row.tries, HELD_TRIES), HELD_MOST_MS)
    return replace(
        row,
        state=Reach.WAITING,
        why=why,
        tries=max(row.tries, min(row.tries + 1, HELD_TRIES)),
        due_ms=now_ms + wait_ms,
        # One recipient's prekey must not hold up the others for ever.
        alone=row.alone or (refusal.step == STEP_PREKEYS and row.tries >= HELD_TRIES),
        envelope=b"",
    )


def _rows(connection: Connection, envelope: Outgoing) -> list[Addressee]:
    named = {slot.recipient for slot in envelope.slots}
    return [row for row in reports.addressees_of(connection, envelope.item) if row.recipient in named]
