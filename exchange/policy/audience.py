"""Step 3 at the sender: whom a release reaches.

Exclusion always wins and an empty release reaches nobody. Communities are judged in communities/route.py; whoever is
addressed in another way needs none.
"""

from collections.abc import Sequence

from exchange.names import PartyId
from exchange.policy.communities.route import Reached, Route
from exchange.policy.decision import Finding, Item, Outcome, Reason, Rules, Step
from exchange.policy.steps import PASSED, Findings, in_force


class Audience:
    """The sender's release, taken apart once."""

    def __init__(self, item: Item, sender: PartyId, rules: Rules, at_ms: int) -> None:
        self.release = item.release
        targets = item.release.to if item.release else ()
        self.excluded = frozenset(item.release.except_ if item.release else ())
        self.named = frozenset(target.partner for target in targets if target.partner is not None)
        self.everyone = any(target.everyone for target in targets)
        communities = [target.community for target in targets if target.community is not None]
        self.by_community = bool(communities)
        self.communities = Reached(communities, item, sender, rules, at_ms)
        ids = {target.agreement for target in targets if target.agreement is not None}
        self.parties: set[PartyId] = set()
        self.suspended: dict[PartyId, bytes] = {}
        for found in rules.agreements.values() if ids else ():
            members = (*found.view.parties, *found.view.suspended)
            if found.ref.id in ids and sender in members:
                against = [finding.reason for finding in in_force(found, rules.exchange, at_ms)]
                if not against and sender in found.view.parties:
                    self.parties.update(found.view.parties)
                if not against or against == [Reason.AGREEMENT_SUSPENDED]:
                    self.suspended.update(dict.fromkeys(members, found.ref.id))

    def reach(self, recipient: PartyId) -> tuple[Sequence[Route], Findings]:
        """Return by way of which communities a recipient is reached, and what step 3 finds.

        Exclusion always wins, and an empty release reaches nobody. Whoever is addressed otherwise needs no community.
        """
        if self.release is None:
            return (), (_fail(Reason.NO_RELEASE),)
        if not self.release.to:
            return (), (_fail(Reason.AUDIENCE_EMPTY),)
        if recipient in self.excluded:
            return (), (_fail(Reason.EXCLUDED),)
        if self._addressed(recipient):
            return (), PASSED[Step.AUDIENCE]
        routes = self.communities.routes(recipient) if self.by_community else ()
        return routes, PASSED[Step.AUDIENCE] if routes else self._unreached(recipient)

    def _unreached(self, recipient: PartyId) -> Findings:
        if recipient in self.suspended:
            # It is addressed again when the agreement is: the sender keeps it until then.
            return (Finding(Step.AUDIENCE, Outcome.FAIL, Reason.AGREEMENT_SUSPENDED, self.suspended[recipient]),)
        if not self.by_community:
            return _NOT_IN_AUDIENCE
        held_up = self.communities.suspended(recipient)
        return held_up or (*_NOT_IN_AUDIENCE, *self.communities.failures(recipient))

    def fellows(self, member: PartyId) -> frozenset[PartyId]:
        """Return who else is reached by way of the communities that reach a member, as far as it may see them.

        Nobody for one that is addressed otherwise: it is not told that the release names a community.
        """
        if self._addressed(member) or member in self.excluded:
            return frozenset()
        return self.communities.fellows(member) - self.excluded - {member}

    def _addressed(self, recipient: PartyId) -> bool:
        return self.everyone or recipient in self.named or recipient in self.parties


def _fail(reason: Reason) -> Finding:
    return Finding(Step.AUDIENCE, Outcome.FAIL, reason)


_NOT_IN_AUDIENCE = (_fail(Reason.NOT_IN_AUDIENCE),)
