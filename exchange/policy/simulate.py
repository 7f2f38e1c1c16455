"""What a draft would change: which partners would newly get a report of before, and which would get it no more.

Pure: the caller brings reports one at a time, and the rules in force. Both decisions are made by decide(), as at the
time when the report was written, under agreements as if all of them had been in their dates then: what differs is what
the text says. Approvals are taken as given: whether people approve is theirs to say.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from exchange.names import PartyId
from exchange.policy.decide import who_gets
from exchange.policy.decision import AgreementInForce, Decision, Item, Rules
from exchange.policy.model import Label, Release
from exchange.policy.terms import AgreementRef, AgreementStatus, EnforcementView

APPROVED = 255
"""More approvals than any label or term asks for."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One partner for whom a draft makes a difference to one report."""

    recipient: PartyId
    before: Decision
    after: Decision

    @property
    def newly(self) -> bool:
        """Whether it would newly flow; otherwise it would stop."""
        return self.after.permit


def draft_view(terms: EnforcementView, replaced: Iterable[EnforcementView]) -> EnforcementView:
    """Return a draft's view as if everybody had joined who is in force under what it replaces and may join it."""
    may = {party for old in replaced for party in old.parties if terms.anyone_may_accede or party in terms.may_accede}
    return replace(terms, parties=tuple(sorted({*terms.parties, *may})))


def with_draft(rules: Rules, draft: EnforcementView) -> Rules:
    """Return the rules with a draft in the place of every version of the same agreement, as if it were in force."""
    others = [found for found in rules.agreements.values() if found.ref.id != draft.agreement_id]
    began = replace(draft, valid_from_ms=1, valid_until_ms=0)
    made = AgreementInForce(AgreementRef(draft.agreement_id, draft.version, bytes(32)), began, AgreementStatus.ACTIVE)
    return Rules.of(
        rules.exchange,
        [*others, made],
        rules.standings,
        as_of_ms=rules.as_of_ms,
        communities=rules.communities,
    )


def changes(
    label: Label, release: Release, *, sender: PartyId, now: Rules, draft: Rules, authored_ms: int
) -> tuple[Flow, ...]:
    """Return the partners for whom the draft makes a difference to a report of `sender`, by id."""
    item = Item.to_send(label, release, approvals=APPROVED, authored_ms=authored_ms)
    before = dict(who_gets(item, sender=sender, rules=now, now_ms=authored_ms))
    after = who_gets(item, sender=sender, rules=draft, now_ms=authored_ms)
    return tuple(
        Flow(party, before[party], decision)
        for party, decision in after
        if party in before and before[party].permit is not decision.permit
    )
