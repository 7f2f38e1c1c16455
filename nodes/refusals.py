"""Hold the relay to its refusals: would the rules, as of the directory size that it names, refuse as well? Pure.

A refusal is signed, so a relay that refuses what the rules permit has signed the proof. What proves it is kept beside
each refusal at the decision: the signed header, whose hash the refusal names, and the slots that it is about, each with
its path to the header's root. `judge` decides them again as the relay must have.
A refusal of NOT_DELIVERABLE may also mean a prekey that changed, which no rule shows: it is called unexplained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from exchange.envelope import binding
from exchange.envelope.codec import decode_core, decode_header, decode_leaf, decode_submission
from exchange.envelope.model import EnvelopeCore
from exchange.errors import VerificationFailed
from exchange.limits import MIB
from exchange.merkle import leaf_hash
from exchange.names import PartyId
from exchange.policy.decision import Decision, Item, Reason, Role, Rules, Slot
from exchange.policy.question import Question, relevant
from exchange.policy.strict_json import read_json, write_json
from exchange.receipts.model import Refusal
from nodes.shown import ShownEnvelope, ShownSlot, check_slots, plain_shown, read_shown

NOT_DELIVERABLE = "NOT_DELIVERABLE"

SIGNING_MS = 60_000
"""The longest that may pass between a decision and the refusal that says when it was signed."""

EVIDENCE_BYTES = MIB


class Verdict(StrEnum):
    """What a refusal is worth; stable words."""

    HOLDS = "holds"
    """The rules refuse as well."""
    UNEXPLAINED = "unexplained"
    """The rules permit every slot; a prekey that changed at that moment would explain it."""
    WRONG = "wrong"
    """The rules do not refuse, or not for this reason."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A refusal judged: the verdict, and what the rules say of each slot."""

    verdict: Verdict
    answers: tuple[tuple[Question, Decision], ...]


def kept_of(submission: bytes, recipient: str) -> ShownEnvelope:
    """Return what is kept of a refused submission: the slot of the recipient that is named, or all when none is."""
    sent = decode_submission(submission)
    tree = binding.slot_tree({leaf.index: leaf_hash(leaf.leaf) for leaf in sent.leaves}, sent.dummy_seed)
    slots = [ShownSlot(leaf.index, leaf.leaf, tree.path(leaf.index)) for leaf in sent.leaves]
    named = [slot for slot in slots if decode_leaf(slot.leaf).recipient == recipient]
    return ShownEnvelope(sent.header, tuple(named or slots))


def judge(refusal: Refusal, refused: ShownEnvelope, rules: Rules) -> Judged:
    """Return what a verified refusal is worth; `rules` are those as of its directory size.

    Raises:
        VerificationFailed, BadInput: the evidence is about another envelope, or does not hang together.
    """
    core = core_of(refusal, refused)
    check_slots(refused)
    answers = []
    for slot in refused.slots:
        question = _question(core, slot, rules, _decided_ms(refusal))
        answers.append((question, question.answer()))
    return Judged(_verdict(refusal, [decision for _, decision in answers]), tuple(answers))


def _decided_ms(refusal: Refusal) -> int:
    """Return when the relay decided: a moment before it signed. Of all that it finds, time alone mends one thing."""
    return refusal.refused_ms - (SIGNING_MS if refusal.reason == Reason.AGREEMENT_NOT_YET else 0)


def core_of(refusal: Refusal, refused: ShownEnvelope) -> EnvelopeCore:
    """Return what the relay could read of the refused envelope; VerificationFailed when it is another one."""
    if binding.envelope_hash(refused.header.payload) != refusal.envelope_hash:
        raise VerificationFailed("the refusal is about another envelope than the header that is kept with it")
    return decode_core(decode_header(refused.header.payload).core)


def _question(core: EnvelopeCore, slot: ShownSlot, rules: Rules, at_ms: int) -> Question:
    leaf = decode_leaf(slot.leaf)
    item = Item.in_transit(core.label, Slot(leaf.basis, leaf.via, leaf.display_only), grant_hashes=len(core.grants))
    return relevant(Question(Role.RELAY, core.sender, PartyId(leaf.recipient), at_ms, item, rules))


def _verdict(refusal: Refusal, decisions: Sequence[Decision]) -> Verdict:
    denied = [decision for decision in decisions if not decision.permit]
    if refusal.reason == NOT_DELIVERABLE:
        return Verdict.HOLDS if denied else Verdict.UNEXPLAINED
    if refusal.reason not in set(Reason):
        return Verdict.HOLDS  # not a matter of the rules
    return Verdict.HOLDS if any(refusal.reason in decision.reasons for decision in denied) else Verdict.WRONG


def encode_refused(refused: ShownEnvelope) -> bytes:
    """Return the bytes that stand beside a stored refusal."""
    return write_json(plain_shown(refused))


def decode_refused(data: bytes) -> ShownEnvelope:
    """Return what encode_refused wrote."""
    return read_shown(read_json(data, limit=EVIDENCE_BYTES, what="a kept refusal"))
