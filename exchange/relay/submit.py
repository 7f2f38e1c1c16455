"""What the relay checks of a submission before it accepts it, in order (crypto.md 1.5).

 1-11  exchange/envelope/verify.py: size, parse, sender, key, signature, clock, body, leaves, prekeys, root
 12    decide: every slot is permitted by the agreement that it cites, or is control traffic between members
 13    limits that the council sets: suite, recipients of one envelope
       attachments: all that it names are here; looked at when it is recorded (exchange/relay/accept.py)

Admission is all or nothing. A refusal is signed and final once the header's signature holds: the sender decides and
seals again, and voids the numbers of the refused envelope in its next stream head. It names a clause only of an
agreement to which the sender is a party; an unknown recipient, one without a prekey and one that is not cleared give
the same answer, NOT_DELIVERABLE, after the same work.
Runs in a thread beside the event loop, on one unchanging snapshot.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from exchange.crypto.signed import VerifiedRoots
from exchange.directory.prekeys import day_of
from exchange.directory.state import MEMBERS
from exchange.envelope.binding import envelope_hash
from exchange.envelope.codec import decode_submission
from exchange.envelope.model import EnvelopeKind
from exchange.envelope.verify import RelayChecks, Undeliverable, Verified, VerifiedLeaf, verify_submission
from exchange.errors import BadEnvelope, BadInput
from exchange.names import PartyId
from exchange.policy.decide import Decision, Item, Reason, Slot, decide_slots
from exchange.receipts.model import RelayDecision
from exchange.relay.accept import Frame, Judged, Permitted, Refused
from exchange.relay.directory import Snapshot
from exchange.runtime.tracing import Leg, Tracing

NOT_DELIVERABLE = "NOT_DELIVERABLE"
"""The one reason for every recipient of whom the sender may know no more."""

BAD_ENVELOPE = "BAD_ENVELOPE"

OUTSIDE_LIMITS = "OUTSIDE_LIMITS"
"""Reason for an envelope that keeps to every format, and not to what the council allows."""

STEP_SIGNATURE = 6
STEP_DECIDE = 12
STEP_LIMITS = 13

_RECIPIENT_REASONS = frozenset(
    {
        Reason.SAME_PARTY,
        Reason.RECIPIENT_UNKNOWN,
        Reason.RECIPIENT_NOT_ADMITTED,
        Reason.RECIPIENT_SUSPENDED,
        Reason.RECIPIENT_EXPELLED,
    }
)
_SENDER_REASONS = frozenset(
    {Reason.SENDER_UNKNOWN, Reason.SENDER_NOT_ADMITTED, Reason.SENDER_SUSPENDED, Reason.SENDER_EXPELLED}
)


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges frames. `prekey_id` gives the key id of a party's published prekey for a time in ms."""

    prekey_id: Callable[[Snapshot, PartyId, int], bytes | None]
    seen: VerifiedRoots
    tracing: Tracing = field(default_factory=Tracing)

    def frame(self, submissions: Sequence[bytes], *, sender: PartyId, snapshot: Snapshot, now_ms: int) -> Frame:
        """Return the frame with every submission permitted or refused; `sender` is who the channel proved."""
        prekeys: dict[tuple[PartyId, int], bytes | None] = {}

        def prekey_id(party: PartyId, at_ms: int) -> bytes | None:
            # All envelopes of a frame are judged by one snapshot, and most go to the same recipients.
            wanted = party, day_of(at_ms)
            if wanted not in prekeys:
                prekeys[wanted] = self.prekey_id(snapshot, party, at_ms)
            return prekeys[wanted]

        checks = RelayChecks(
            exchange=snapshot.directory.exchange,
            peer=sender,
            now_ms=now_ms,
            envelope_key=lambda party, key_id: snapshot.directory.envelope_key(
                party, key_id, at_size=snapshot.size, at_ms=now_ms
            ),
            directory_size=snapshot.size,
            prekey_ids=prekey_id,
            seen=self.seen,
        )
        judged = tuple(_judge(submission, checks, snapshot, self.tracing) for submission in submissions)
        return Frame(sender, snapshot.size, judged)


def _judge(submission: bytes, checks: RelayChecks, snapshot: Snapshot, tracing: Tracing) -> Judged:
    # 1 to 11
    since = tracing.begin()
    try:
        verified = verify_submission(submission, context=checks)
    except Undeliverable as error:
        # Decided all the same: the time that it takes tells an unknown recipient from no other.
        _deny(error.verified, snapshot, checks.now_ms)
        return _not_deliverable(error.verified, str(error))
    except BadEnvelope as error:
        return _refused_by_step(submission, error)
    tracing.end(Leg.VERIFY, since, _traced(verified))
    # 12
    since = tracing.begin()
    denied = _deny(verified, snapshot, checks.now_ms)
    tracing.end(Leg.DECIDE, since, _traced(verified, denied))
    if denied is not None:
        return denied
    # 13
    limits = snapshot.directory.limits
    if verified.core.suite < limits.min_suite or len(verified.leaves) > limits.recipients:
        detail = f"suite {verified.core.suite}, {len(verified.leaves)} recipients"
        return Refused(verified.envelope_hash, OUTSIDE_LIMITS, STEP_LIMITS, final=True, detail=detail)
    decisions = (
        RelayDecision(leaf.index, leaf.leaf.basis.commitment if leaf.leaf.basis else b"") for leaf in verified.leaves
    )
    return Permitted(verified, tuple(decisions))


def _traced(verified: Verified, denied: Refused | None = None) -> Iterator[tuple[bytes, str]]:
    """Yield a report, and why it was denied, as traces take it; nothing of control traffic."""
    if verified.core.kind is EnvelopeKind.REPORT:
        yield verified.envelope_hash, denied.reason if denied is not None else ""


def _refused_by_step(submission: bytes, error: BadEnvelope) -> Refused:
    try:
        hash_ = envelope_hash(decode_submission(submission).header.payload)
    except BadInput:
        hash_ = sha256(submission).digest()
    return Refused(hash_, BAD_ENVELOPE, error.step, final=error.step > STEP_SIGNATURE, detail=str(error))


def _deny(verified: Verified, snapshot: Snapshot, now_ms: int) -> Refused | None:
    if verified.core.kind is EnvelopeKind.CONTROL:
        return _deny_control(verified, snapshot)
    return _deny_report(verified, snapshot, now_ms)


def _deny_control(verified: Verified, snapshot: Snapshot) -> Refused | None:
    """Return why control traffic may not pass: both ends must be members, suspended ones too, and not the same."""
    sender = verified.core.sender
    if snapshot.status(sender) not in MEMBERS:
        return Refused(verified.envelope_hash, Reason.SENDER_NOT_ADMITTED, STEP_DECIDE, final=True)
    for leaf in verified.leaves:
        recipient = leaf.leaf.recipient
        if recipient == sender or snapshot.status(recipient) not in MEMBERS:
            return _not_deliverable(verified, f"control traffic to {recipient}")
    return None


def _deny_report(verified: Verified, snapshot: Snapshot, now_ms: int) -> Refused | None:
    core = verified.core
    decisions = decide_slots(
        Item.in_transit(core.label, grant_hashes=len(core.grants)),
        [
            (leaf.leaf.recipient, Slot(leaf.leaf.basis, leaf.leaf.via, leaf.leaf.display_only))
            for leaf in verified.leaves
        ],
        sender=core.sender,
        rules=snapshot.rules,
        now_ms=now_ms,
    )
    for leaf, decision in zip(verified.leaves, decisions, strict=True):
        if not decision.permit:
            return _denied(verified, leaf, decision, snapshot)
    return None


def _denied(verified: Verified, leaf: VerifiedLeaf, decision: Decision, snapshot: Snapshot) -> Refused:
    """Return the refusal for one denied slot: it says no more than the sender may know."""
    reasons, sender = decision.reasons, verified.core.sender
    detail = f"slot {leaf.index} to {leaf.leaf.recipient}: {', '.join(reasons)}"
    about_sender = [reason for reason in reasons if reason in _SENDER_REASONS]
    if about_sender:
        return Refused(verified.envelope_hash, about_sender[0], STEP_DECIDE, final=True, detail=detail)
    view = snapshot.agreements.views.get(leaf.leaf.basis.commitment) if leaf.leaf.basis else None
    if view is None or sender not in view.parties or not reasons or _RECIPIENT_REASONS.intersection(reasons):
        return _not_deliverable(verified, detail)
    return Refused(
        verified.envelope_hash,
        reasons[0],
        STEP_DECIDE,
        clause=decision.clause,
        recipient=leaf.leaf.recipient,
        final=True,
        detail=detail,
    )


def _not_deliverable(verified: Verified, detail: str) -> Refused:
    return Refused(verified.envelope_hash, NOT_DELIVERABLE, STEP_DECIDE, final=True, detail=detail)
