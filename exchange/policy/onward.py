"""Step 8 on the full label: who is not the only originator needs the consent of every other one. Pure.

A grant counts when it is by that originator, for this item or for one that it derives from, to this sender, for this
recipient; when it has not ended; when it lies within the hops that label and term allow; and when it shares a purpose
with them. Purposes narrow to those that every originator allows, in one of its grants or another.
Where the label lets nothing be passed on, no grant helps.
The relay sees only whether the header names grants: decide.py.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from exchange.names import PartyId
from exchange.policy.consent import Consent
from exchange.policy.decision import Finding, Item, Outcome, Reason, Step
from exchange.policy.model import Label, OnwardRule, Purpose
from exchange.policy.steps import PASSED, Findings, shared_purposes
from exchange.policy.terms import Term


@dataclass(frozen=True, slots=True)
class Passage:
    """What step 8 comes to for one recipient under one term."""

    findings: Findings
    """A pass, or what fails."""
    purposes: frozenset[Purpose]
    """What label, term and every originator allow; empty when the step fails."""
    grants: tuple[bytes, ...]
    """Hashes of grants that are enough for these purposes, ascending; empty when the step fails."""

    @property
    def failures(self) -> int:
        """How many of the findings fail."""
        return sum(finding.outcome is Outcome.FAIL for finding in self.findings)


def passage(item: Item, label: Label, *, sender: PartyId, recipient: PartyId, term: Term | None, at_ms: int) -> Passage:
    """Return what the grants of an item permit; without a term, what they permit as far as the label says."""
    if label.onward is OnwardRule.NONE:
        return _denied(Reason.ONWARD_FORBIDDEN)
    others = [party for party in label.originators if party != sender]
    if not others:
        return _denied(Reason.CONSENT_MISSING, NOBODY)
    purposes = frozenset(label.purposes if term is None else shared_purposes(label, term.purposes) or label.purposes)
    holds = _conditions(recipient, purposes, hops_most(label, term), at_ms)
    applying: list[Sequence[Consent]] = []
    failing: list[Finding] = []
    for party in others:
        found = _applying(_given(item, label, sender, party), holds)
        if isinstance(found, Reason):
            failing.append(_fail(found, party))
        else:
            applying.append(found)
            purposes &= {purpose for consent in found for purpose in consent.purposes}
    if failing:
        return Passage(tuple(failing), frozenset(), ())
    if not purposes:
        return _denied(Reason.CONSENT_PURPOSE_NOT_SHARED, ", ".join(others))
    grants = {consent.grant for found in applying for consent in _enough(found, purposes)}
    return Passage(PASSED[Step.ONWARD], purposes, tuple(sorted(grants)))


def named_by_grant(item: Item, label: Label, *, sender: PartyId, recipient: PartyId) -> bool:
    """Say whether a grant of an originator names this recipient, whatever else may be against it (step 3)."""
    return any(
        consent.recipient == recipient for party in label.originators for consent in _given(item, label, sender, party)
    )


def hops_most(label: Label, term: Term | None) -> int:
    """Return how often an item may be passed on: the least of what label and term say."""
    return min(label.max_hops, term.onward_hops) if term is not None and term.onward_hops else label.max_hops


def _given(item: Item, label: Label, sender: PartyId, originator: PartyId) -> Iterator[Consent]:
    """Return the grants of one originator to the sender that are about this item."""
    items = {item.item_hash, *label.derived_from}
    for consent in item.consents:
        if (consent.originator, consent.holder) == (originator, sender) and consent.item in items:
            yield consent


_Conditions = tuple[tuple[Reason, Callable[[Consent], bool]], ...]


def _conditions(recipient: PartyId, purposes: frozenset[Purpose], hops: int, at_ms: int) -> _Conditions:
    """Return what a grant to the sender must meet, with the reason that is told when none does."""
    return (
        (Reason.CONSENT_NOT_FOR_RECIPIENT, lambda consent: consent.recipient == recipient),
        (Reason.CONSENT_EXPIRED, lambda consent: at_ms < consent.until_ms),
        (Reason.TOO_MANY_HOPS, lambda consent: 1 <= consent.hop <= hops),
        (Reason.CONSENT_PURPOSE_NOT_SHARED, lambda consent: not purposes.isdisjoint(consent.purposes)),
    )


def _applying(given: Iterable[Consent], conditions: _Conditions) -> Sequence[Consent] | Reason:
    """Return the grants that apply, or why the one that comes nearest does not."""
    left = list(given)
    if not left:
        return Reason.CONSENT_MISSING
    for reason, holds in conditions:
        left = [consent for consent in left if holds(consent)]
        if not left:
            return reason
    return left


def _enough(applying: Sequence[Consent], purposes: frozenset[Purpose]) -> Iterator[Consent]:
    """Return as few of one originator's grants as it takes: an envelope carries no more than it needs."""
    missing = set(purposes)
    for consent in sorted(applying, key=lambda each: (-len(purposes.intersection(each.purposes)), each.grant)):
        if not missing.isdisjoint(consent.purposes):
            missing.difference_update(consent.purposes)
            yield consent


def _denied(reason: Reason, what: str = "") -> Passage:
    return Passage((_fail(reason, what),), frozenset(), ())


def _fail(reason: Reason, what: str) -> Finding:
    return Finding(Step.ONWARD, Outcome.FAIL, reason, what=what)


NOBODY = "an originator"
"""Told where it is not known whose consent is missing."""
