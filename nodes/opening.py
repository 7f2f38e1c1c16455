"""Judge one delivery: steps 1 to 10 of the recipient's checks. Runs in a thread, on one unchanging snapshot.

 1-8  exchange/envelope/open.py: parse, promise, signatures, my slot, hashes, decryption, the statement inside
 9    verify the consent grants that came with it, and decide again, under the agreement that the slot cites; keys and
      rules are those of the promise's directory size and time; of a suspended sender only receipts are taken
      and no control statement under a key that this node knows, by any entry, to be in other hands
10    the directory head in the header is one that this node's own replay has; of a sender that was shown another
      directory only stream heads are heard, because they carry what proves that
Step 11 (number, repetition) needs the store: nodes/inbox.py. A control statement is read as well (nodes/controls.py),
so that what it says has one form from here on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from exchange.consent.verify import open_consents, report_signers
from exchange.crypto.signed import KeyLookup, Signed, VerifiedRoots
from exchange.crypto.xwing import XWingKey
from exchange.envelope.binding import envelope_hash
from exchange.envelope.codec import decode_core, decode_delivery, decode_header
from exchange.envelope.model import EnvelopeKind
from exchange.envelope.open import OpenChecks, Opened, PromiseFacts, open_envelope
from exchange.envelope.statement import Signing
from exchange.errors import BadEnvelope, BadInput, ExchangeError, VerificationFailed
from exchange.names import ExchangeName, PartyId
from exchange.policy.consent import Consent
from exchange.policy.decision import Item, Reason, Role, Rules, Slot
from exchange.policy.question import Question
from exchange.receipts.model import Promise, StreamHead
from exchange.receipts.verify import check_promise_for
from nodes.controls import Control, Said, read_control
from nodes.decisions import Decided
from nodes.relay_port import Waiting
from nodes.relay_word import EndedKey, NotReplayed, opened_promise
from nodes.standing import against_control
from nodes.trust import Snapshot
from nodes.waiting import words

STEP_AUTHENTIC = 2
"""Once this step has passed, the sender is known."""

STEP_STATEMENT = 8
STEP_DECIDE = 9
STEP_HEAD = 10

BELOW_SENDER = "DIRECTORY_BELOW_SENDER"
"""The relay judged under an older directory than the one that the sender names: its own contradiction."""

KEY_STOLEN = "KEY_STOLEN"


@dataclass(frozen=True, slots=True)
class Ground:
    """What a frame of deliveries is judged under."""

    snapshot: Snapshot
    rules_at: Callable[[int], Rules]
    """Rules as of a directory size that is replayed; from any thread."""
    me: PartyId
    exchange: ExchangeName
    prekey: Callable[[bytes], XWingKey | None] = field(repr=False)
    seen: VerifiedRoots
    now_ms: int


@dataclass(frozen=True, slots=True)
class Good:
    """A delivery that passed steps 1 to 10."""

    waiting: Waiting
    opened: Opened
    promise: Promise
    decided: Decided | None
    """None in a control envelope."""
    control: Control | None
    """None in an envelope with a report."""
    differs: str = ""
    """Of a stream head: how the directory that its sender has verified differs from this node's own."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A delivery that failed a step."""

    waiting: Waiting
    step: int
    reason: str
    detail: str
    sender: str = ""
    """Empty when nothing proves it, or when no receipt is due."""
    envelope: bytes = b""
    item: bytes = b""
    split_view: bool = False
    """The sender has verified another directory than this node: the relay shows two."""
    decided: Decided | None = None
    """What step 9 found, when that is what failed."""
    opened: Opened | None = None
    """What opened and failed a later step: its number is not missing."""
    ended: Signed | None = None
    """The relay's promise, when it signed that with a key that it has no more."""


@dataclass(frozen=True, slots=True)
class Behind:
    """This node has not replayed enough of the directory, or lacks a view or a membership, to judge it."""

    waiting: Waiting
    size: int
    agreement: bool = False
    stranger: Bad | None = None
    """What it comes to when no membership makes its community known."""

    @property
    def only_stranger(self) -> bool:
        """Whether nothing but a membership is missing."""
        return self.stranger is not None and not self.agreement


class _TooFewEntries(Exception):
    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def judge(waiting: Waiting, ground: Ground) -> Good | Bad | Behind:
    """Return what a delivery comes to; never raises on what it is."""
    kept: dict[str, Promise] = {}
    ended: list[Signed] = []
    try:
        opened = open_envelope(waiting.delivery, context=_checks(ground, kept, ended))
    except _TooFewEntries as error:
        return Behind(waiting, error.size)
    except BadEnvelope as error:
        return replace(_bad(waiting, error), ended=ended[0] if ended else None)
    promise = kept["promise"]
    step = STEP_STATEMENT
    try:
        control = _control(opened, ground)
        step = STEP_DECIDE
        question = _question(opened, promise, ground) if control is None else None
    except (BadInput, VerificationFailed) as error:
        return _bad_opened(waiting, opened, step, error.reason, str(error))
    decided = Decided(question, question.answer(), promise.directory_size) if question is not None else None
    if decided is not None and not decided.decision.permit:
        return _denied(waiting, opened, decided)
    if control is not None and (against := _against_control(opened, promise, ground)) is not None:
        return _bad_opened(waiting, opened, STEP_DECIDE, *against)
    return _under_head(Good(waiting, opened, promise, decided, control), ground)


def _under_head(good: Good, ground: Ground) -> Good | Bad:
    wrong = _wrong_head(good.waiting, good.opened, good.promise, ground)
    if wrong is not None and wrong.split_view and isinstance(good.control, StreamHead):
        return replace(good, differs=wrong.detail)
    return wrong or good


def _denied(waiting: Waiting, opened: Opened, decided: Decided) -> Bad | Behind:
    decision = decided.decision
    bad = _bad_opened(waiting, opened, STEP_DECIDE, str(decision.reasons[0]), words(decision))
    bad = replace(bad, decided=decided)
    unknown = {Reason.AGREEMENT_UNKNOWN, Reason.COMMUNITY_UNKNOWN}.intersection(decision.reasons)
    if not unknown:
        return bad
    stranger = bad if Reason.COMMUNITY_UNKNOWN in unknown else None
    return Behind(waiting, decided.directory_size, Reason.AGREEMENT_UNKNOWN in unknown, stranger)


def _wrong_head(waiting: Waiting, opened: Opened, promise: Promise, ground: Ground) -> Bad | None:
    head = opened.core.directory
    if head.size > promise.directory_size:
        return _bad_opened(waiting, opened, STEP_HEAD, BELOW_SENDER, "the promise is under an older one")
    if ground.snapshot.roots[head.size] != head.root:
        bad = _bad_opened(
            waiting, opened, STEP_HEAD, "DIRECTORY_DIFFERS", f"the sender has another root at {head.size}"
        )
        return replace(bad, split_view=True)
    return None


def denied_for_good(behind: Behind) -> Bad:
    """Return what a delivery comes to whose directory entries, agreement or membership did not arrive in time."""
    if behind.agreement:
        return Bad(behind.waiting, STEP_DECIDE, "AGREEMENT_UNKNOWN", "no view of the cited agreement is held here")
    if behind.stranger is not None:
        return behind.stranger
    detail = f"the promise names directory size {behind.size}, which the relay has not shown"
    return Bad(behind.waiting, STEP_HEAD, "DIRECTORY_NOT_SHOWN", detail, split_view=True)


def _checks(ground: Ground, kept: dict[str, Promise], ended: list[Signed]) -> OpenChecks:
    directory = ground.snapshot.directory

    def verify_promise(signed: Signed, envelope_hash: bytes) -> PromiseFacts:
        try:
            promise = opened_promise(signed, directory, ground.exchange, ground.seen)
        except NotReplayed as error:
            raise _TooFewEntries(error.size) from error
        except EndedKey:
            ended.append(signed)
            raise
        check_promise_for(promise, envelope_hash)
        if promise.directory_size > ground.snapshot.size:
            raise _TooFewEntries(promise.directory_size)
        kept["promise"] = promise
        return PromiseFacts(promise.directory_size, promise.received_ms)

    return OpenChecks(
        exchange=ground.exchange,
        me=ground.me,
        verify_promise=verify_promise,
        envelope_key=directory.envelope_key,
        statement_key=directory.statement_key,
        report_keys=partial(_report_keys, ground=ground),
        xwing_key=ground.prekey,
        seen=ground.seen,
    )


def _report_keys(signing: Signing, facts: PromiseFacts, *, ground: Ground) -> KeyLookup:
    """Return which keys may have signed a report: docs/spec/envelope.md, "Keys that have ended"."""
    directory = ground.snapshot.directory
    return report_signers(
        signing.originator,
        signing.item,
        signing.grants,
        holder=signing.sender,
        in_force=partial(directory.statement_key, at_size=facts.directory_size, at_ms=facts.received_ms),
        once_stood=partial(directory.statement_key_once, at_size=facts.directory_size),
        exchange=ground.exchange,
        seen=ground.seen,
    )


def _question(opened: Opened, promise: Promise, ground: Ground) -> Question:
    if opened.label is None:
        raise VerificationFailed("a report without a label")
    leaf = opened.leaf
    item = Item.received(
        opened.label,
        Slot(leaf.basis, leaf.via, leaf.display_only),
        intact=True,
        approvals=len(opened.approvals),
        item_hash=opened.item_hash,
        consents=_consents(opened, promise, ground),
    )
    return Question(
        role=Role.RECIPIENT,
        sender=opened.core.sender,
        recipient=ground.me,
        now_ms=max(ground.now_ms, promise.received_ms),
        item=item,
        rules=replace(ground.rules_at(promise.directory_size), as_of_ms=promise.received_ms),
    )


def _consents(opened: Opened, promise: Promise, ground: Ground) -> tuple[Consent, ...]:
    statement_key = partial(
        ground.snapshot.directory.statement_key, at_size=promise.directory_size, at_ms=promise.received_ms
    )
    return open_consents(opened.body.grants, statement_key, exchange=ground.exchange, seen=ground.seen)


def _control(opened: Opened, ground: Ground) -> Control | None:
    if opened.core.kind is not EnvelopeKind.CONTROL:
        return None
    return read_control(Said(opened, ground.me, ground.exchange, ground.snapshot.directory, ground.seen))


def _against_control(opened: Opened, promise: Promise, ground: Ground) -> tuple[str, str] | None:
    """Return why this control statement does not count, as reason and words; None where it does.

    Whether it may reach us is the sender's to keep.
    """
    sender = ground.snapshot.directory.standing(opened.core.sender, at_size=promise.directory_size)
    against = against_control(opened.statement.payload_type, sender=sender, recipient=None)
    if against is not None:
        return str(against), "a suspended party may send receipts only"
    if _stolen(opened, promise, ground):
        return KEY_STOLEN, "it came after its key was known to be stolen"
    return None


def _stolen(opened: Opened, promise: Promise, ground: Ground) -> bool:
    """Say whether one of its keys is known to be in other hands, wherever in the log that was said.

    When it was logged is the relay's word; that this node knew before it came is not. A report is stored all the same,
    for people to look at (nodes/suspects.py); what a control statement does, nobody would look at first.
    """
    directory, now_ms = ground.snapshot.directory, max(ground.now_ms, promise.received_ms)
    keys = (opened.core.sender_key, *(signature.key_id for signature in opened.statement.signatures))
    return any(directory.in_other_hands(key_id, at_ms=now_ms) for key_id in keys)


def _bad(waiting: Waiting, error: BadEnvelope) -> Bad:
    """Say what failed; whom to tell only when the header's signature has held."""
    if error.step <= STEP_AUTHENTIC:
        return Bad(waiting, error.step, error.reason, str(error))
    try:
        delivery = decode_delivery(waiting.delivery)
        core = decode_core(decode_header(delivery.header.payload).core)
    except ExchangeError:
        return Bad(waiting, error.step, error.reason, str(error))
    sender = "" if core.kind is EnvelopeKind.CONTROL else core.sender
    return Bad(waiting, error.step, error.reason, str(error), sender, envelope_hash(delivery.header.payload))


def _bad_opened(waiting: Waiting, opened: Opened, step: int, reason: str, detail: str) -> Bad:
    sender = "" if opened.core.kind is EnvelopeKind.CONTROL else opened.core.sender
    return Bad(waiting, step, reason, detail, sender, opened.envelope_hash, opened.item_hash, opened=opened)
