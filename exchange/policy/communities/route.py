"""Step 3 of the decision for communities: whom one reaches, by way of which epoch, and who may say so.

The sender reaches members of the epoch that is in force, by its own replay of the directory. A newer epoch that it has
heard of and that the directory does not show yet takes away at once and gives nothing: a relay that holds back an epoch
keeps nobody in. A report names the epoch under which it was written; who came later is let in by the history rule.
The recipient judges the one epoch that its slot names; the relay knows no more than which epochs are in force.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exchange.names import PartyId
from exchange.policy.communities.model import EpochInForce, HeldEpoch, History, parse_via, via_text
from exchange.policy.communities.verify import sees_roster
from exchange.policy.decision import Finding, Item, Membership, Outcome, Reason, Rules, Slot, Step
from exchange.policy.model import CommunityTarget
from exchange.policy.terms import AgreementStatus


@dataclass(frozen=True, slots=True)
class Route:
    """One way to a recipient: the epoch that its slot names, and the agreement that the slot must cite."""

    via: str
    agreement_id: bytes


class Reached:
    """The communities that a release names, judged once for a sender."""

    def __init__(
        self, targets: Iterable[CommunityTarget], item: Item, sender: PartyId, rules: Rules, at_ms: int
    ) -> None:
        self._authored_ms = item.authored_ms
        self._usable: list[_Usable] = []
        self._failed: list[Finding] = []
        for target in targets:
            judged = _usable(target, item, sender, rules, at_ms)
            if isinstance(judged, _Usable):
                self._usable.append(judged)
            else:
                self._failed.append(judged)

    def routes(self, recipient: PartyId) -> tuple[Route, ...]:
        """Return the ways to a recipient, in order of the release; none when no community reaches it."""
        return tuple([each.route for each in self._reaching(recipient) if not each.suspended])

    def suspended(self, recipient: PartyId) -> tuple[Finding, ...]:
        """Return the communities that would reach a recipient if their owners were not suspended."""
        suspended = [each.active.head for each in self._reaching(recipient) if each.suspended]
        return tuple([_fail(Reason.COMMUNITY_SUSPENDED, head.community_id.hex()) for head in suspended])

    def failures(self, recipient: PartyId) -> tuple[Finding, ...]:
        """Return why communities do not reach a recipient; that it is no member is not said again."""
        late = [
            _fail(Reason.COMMUNITY_HISTORY, each.active.head.community_id.hex())
            for each in self._usable
            if each.has(recipient) and not each.lets_in(recipient, self._authored_ms)
        ]
        return (*self._failed, *late)

    def fellows(self, member: PartyId) -> frozenset[PartyId]:
        """Return who is reached by way of a community that reaches `member` and in which it may see who that is."""
        return frozenset(
            party
            for each in self._reaching(member)
            if not each.suspended and sees_roster(each.active.head, each.active.members[member])
            for party in each.active.members
            if each.has(party) and each.lets_in(party, self._authored_ms)
        )

    def _reaching(self, recipient: PartyId) -> "list[_Usable]":
        return [each for each in self._usable if each.has(recipient) and each.lets_in(recipient, self._authored_ms)]


@dataclass(frozen=True, slots=True)
class _Usable:
    """A community that the sender may address now."""

    named: int
    """Epoch that the release names."""
    active: HeldEpoch
    route: Route
    newer: Sequence[HeldEpoch]
    """Epochs that the owner has announced and the directory does not show yet."""
    suspended: bool
    """Its owner is: what waits goes when the suspension is lifted."""

    def has(self, recipient: PartyId) -> bool:
        return recipient in self.active.members and all(recipient in each.members for each in self.newer)

    def lets_in(self, recipient: PartyId, authored_ms: int) -> bool:
        """Say whether the history rule lets a member have it; what nobody dated is older than every date."""
        terms = self.active.head.terms
        if self.active.members[recipient].since_epoch <= self.named or terms.history is History.FROM_START:
            return True
        return terms.history is History.FROM_DATE and authored_ms >= terms.history_from_ms


def _usable(target: CommunityTarget, item: Item, sender: PartyId, rules: Rules, at_ms: int) -> _Usable | Finding:
    name, known = target.id.hex(), rules.communities.get(target.id, ())
    active = _in_force(target, known)
    if isinstance(active, Reason):
        return _fail(active, name)
    newer = [each.held for each in known if each.held is not None and each.epoch > active.head.epoch]
    over = _over(active, rules, at_ms)
    if over is Reason.COMMUNITY_ENDED:
        return _fail(over, name)
    if not _publishes(sender, active, newer):
        return _fail(Reason.NOT_A_PUBLISHER, name)
    if item.label is None or not active.head.terms.covers(item.label):
        return _fail(Reason.COMMUNITY_SCOPE, name)
    route = Route(via_text(active.head.community_id, active.head.epoch), active.head.terms.agreement_id)
    return _Usable(target.epoch, active, route, newer, suspended=over is Reason.COMMUNITY_SUSPENDED)


def publishable(rules: Rules, sender: PartyId, at_ms: int) -> dict[bytes, HeldEpoch]:
    """Return the communities that a sender may address now, by id, each with the epoch in force."""
    found = {}
    for name, known in rules.communities.items():
        active = _active(known)
        newer = [each.held for each in known if active and each.held and each.epoch > active.head.epoch]
        if active is not None and not _over(active, rules, at_ms) and _publishes(sender, active, newer):
            found[name] = active
    return found


def _publishes(sender: PartyId, active: HeldEpoch, newer: Sequence[HeldEpoch]) -> bool:
    return all(sender in each.head.publishers for each in (active, *newer))


def _active(known: Sequence[EpochInForce]) -> HeldEpoch | None:
    return next((each.held for each in reversed(known) if each.status is AgreementStatus.ACTIVE), None)


def _in_force(target: CommunityTarget, known: Sequence[EpochInForce]) -> HeldEpoch | Reason:
    """Return the epoch in force of a community that is known here at the epoch that the target names, or why none."""
    if all(each.epoch != target.epoch for each in known):
        return Reason.COMMUNITY_UNKNOWN
    active = _active(known)
    if active is not None:
        return active if target.epoch <= active.head.epoch else Reason.COMMUNITY_NOT_YET
    ended = any(each.status is not None for each in known)
    return Reason.COMMUNITY_ENDED if ended else Reason.COMMUNITY_NOT_YET


def judge_via(
    slot: Slot, item: Item, *, sender: PartyId, recipient: PartyId, rules: Rules, at_ms: int
) -> tuple[Route | None, tuple[Finding, ...]]:
    """Return what the epoch that a recipient's slot names comes to: its route if it is in force, and what is wrong."""
    found = [each for each in _named(slot.via, rules) if each.held is not None]
    if not found:
        return None, (_fail(Reason.COMMUNITY_UNKNOWN, slot.via),)
    held = next((each.held for each in found if each.status is AgreementStatus.ACTIVE), None)
    if held is None:
        ended = any(each.status is not None for each in found)
        return None, (_fail(Reason.COMMUNITY_ENDED if ended else Reason.COMMUNITY_NOT_YET, slot.via),)
    over = _over(held, rules, at_ms)
    wrong = [over] if over is not None else []
    if sender not in held.head.publishers:
        wrong.append(Reason.NOT_A_PUBLISHER)
    if recipient not in held.members:
        wrong.append(Reason.NOT_IN_AUDIENCE)
    if item.label is None or not held.head.terms.covers(item.label):
        wrong.append(Reason.COMMUNITY_SCOPE)
    return Route(slot.via, held.head.terms.agreement_id), tuple(_fail(reason, slot.via) for reason in wrong)


def judge_via_at_relay(slot: Slot, rules: Rules) -> tuple[Finding, ...]:
    """Return what the relay has against a slot's epoch: that it is not in force, or that its owner is suspended."""
    active = [each for each in _named(slot.via, rules) if each.status is AgreementStatus.ACTIVE]
    against = _owner(active[0].owner, rules) if active else Reason.COMMUNITY_ENDED
    return (_fail(against, slot.via),) if against is not None else ()


def _named(via: str, rules: Rules) -> list[EpochInForce]:
    parsed = parse_via(via)
    if parsed is None:
        return []
    return [each for each in rules.communities.get(parsed[0], ()) if each.epoch == parsed[1]]


def _over(held: HeldEpoch, rules: Rules, at_ms: int) -> Reason | None:
    """Return why nothing goes by way of a community now: its date is past, or nobody may decide who is in it."""
    if 0 < held.head.terms.valid_until_ms <= at_ms:
        return Reason.COMMUNITY_ENDED
    return _owner(held.head.owner, rules)


def _owner(owner: PartyId, rules: Rules) -> Reason | None:
    standing = rules.standings.get(owner)
    if standing is None or standing.membership not in {Membership.ADMITTED, Membership.SUSPENDED}:
        return Reason.COMMUNITY_ENDED
    return Reason.COMMUNITY_SUSPENDED if standing.membership is Membership.SUSPENDED else None


def _fail(reason: Reason, what: str) -> Finding:
    return Finding(Step.AUDIENCE, Outcome.FAIL, reason, what=what)
