"""Months of an exchange: partners join and fall out, agreements change and lapse, members come and go, reports are
written, passed on and taken back. Beside it stands a model that says in plain words who may have what.

After every step the decision about every report, from everyone who holds it to everyone else, must be the model's, and
relay and recipient must permit what the sender may send, and nothing that has ended by then.
"""

from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exchange.names import PartyId
from exchange.policy.agreement import AgreementStatus
from exchange.policy.binding import relay_label
from exchange.policy.codec import encode_label
from exchange.policy.communities.model import community_id
from exchange.policy.consent import Consent
from exchange.policy.decide import AgreementInForce, Decision, Item, Membership, Role, Rules, Slot, Standing, decide
from exchange.policy.model import Category, CommunityTarget, Label, OnExpiry, OnwardRule, Purpose, Release, Target, Tlp
from tests.support.communities import ORIGIN, an_epoch
from tests.support.policy_builders import DAY, EXCHANGE, NOW, XA, XB, XC, XD, a_label, a_term, an_agreement

XE = PartyId("XE")
PARTIES = (XA, XB, XC, XD, XE)
CATEGORIES = (Category.TERROR_ATTACK, Category.TRAVEL, Category.ALERT)
PURPOSES = (Purpose.PROTECT_LIFE, Purpose.CONSULAR, Purpose.TRAINING)
LIGHTS = (Tlp.GREEN, Tlp.AMBER, Tlp.RED)
PARTY = st.sampled_from(PARTIES)
HOPS = 2
NEVER = 1 << 30
TERMINATED = AgreementStatus.TERMINATED
# More often well than ill: what is denied for five reasons at once shows nothing of any of them.
MEMBERSHIPS = st.sampled_from(
    [*[Membership.ADMITTED] * 4, Membership.SUSPENDED, Membership.JOINING, Membership.EXPELLED]
)
V = TypeVar("V")

CLUB = community_id(ORIGIN, XA)
CLUB_PACT = 1


def some(values: tuple[V, ...], least: int = 1) -> st.SearchStrategy[frozenset[V]]:
    """Sets of these values."""
    return st.frozensets(st.sampled_from(values), min_size=least)


@dataclass
class Pact:
    """An agreement, as the model knows it."""

    number: int
    parties: frozenset[PartyId]
    categories: frozenset[Category]
    purposes: frozenset[Purpose]
    ceiling: Tlp
    until_ms: int
    status: AgreementStatus = AgreementStatus.ACTIVE

    def in_force(self) -> AgreementInForce:
        term = a_term(
            categories=tuple(sorted(self.categories)),
            purposes=tuple(sorted(self.purposes)),
            ceiling=self.ceiling,
            about=(),
            about_any=True,
            onward_default=OnwardRule.FREE,
        )
        return an_agreement(
            term,
            number=self.number,
            status=self.status,
            parties=tuple(sorted(self.parties)),
            valid_from_ms=0,
            valid_until_ms=self.until_ms,
        )


@dataclass(frozen=True)
class Draft:
    """What an author chooses."""

    light: Tlp
    categories: frozenset[Category]
    purposes: frozenset[Purpose]
    named: frozenset[PartyId]
    excluded: frozenset[PartyId]
    everyone: bool
    club: bool
    onward: OnwardRule
    embargo_days: int
    expiry_days: int


DRAFTS = st.builds(
    Draft,
    light=st.sampled_from([Tlp.GREEN, *LIGHTS]),
    categories=some(CATEGORIES),
    purposes=some(PURPOSES),
    named=st.just(frozenset()) | some(PARTIES),
    everyone=st.sampled_from([False, False, True]),
    club=st.sampled_from([True, True, False]),
    excluded=st.just(frozenset()) | some(PARTIES),
    onward=st.sampled_from([OnwardRule.NONE, OnwardRule.CONSENT, OnwardRule.CONSENT]),
    embargo_days=st.sampled_from([0, 0, 10]),
    expiry_days=st.sampled_from([0, 0, 60]),
)


@dataclass
class Story:
    """A report, as the model knows it."""

    number: int
    label: Label
    author: PartyId
    draft: Draft
    club_epoch: int
    """0 when it does not name the community."""
    authored_ms: int
    withdrawn: bool = False
    holders: dict[PartyId, int] = field(default_factory=dict)
    """Who has it, and how far from the author."""

    @property
    def item(self) -> bytes:
        return self.number.to_bytes(32, "big")


class Months(RuleBasedStateMachine):
    """The exchange and its model."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = NOW
        self.standing = dict.fromkeys(PARTIES, Membership.ADMITTED)
        self.ceiling = dict.fromkeys(PARTIES, Tlp.RED)
        self.pacts: list[Pact] = []
        self.club: list[dict[PartyId, int]] = []
        """Members of each epoch, each with the epoch since which it is one."""
        self.stories: list[Story] = []
        self.grants: list[Consent] = []

    @initialize()
    def begin(self) -> None:
        everything = frozenset(CATEGORIES), frozenset(PURPOSES)
        self.pacts.append(Pact(CLUB_PACT, frozenset(PARTIES), *everything, Tlp.RED, NOW + 400 * DAY))
        self.club.append({XA: 1, XB: 1, XC: 1})

    # -- what happens --------------------------------------------------------------------------------------------------

    @rule(days=st.integers(1, 40))
    def time_goes_by(self, days: int) -> None:
        self.now_ms += days * DAY

    @rule(party=PARTY, membership=MEMBERSHIPS)
    def a_standing_changes(self, party: PartyId, membership: Membership) -> None:
        """XA keeps the community, and nobody comes back from an expulsion; only XE falls that low here."""
        if membership is Membership.EXPELLED:
            self.standing[XE] = membership
        elif party != XA and self.standing[party] is not Membership.EXPELLED:
            self.standing[party] = membership

    @rule(party=PARTY, light=st.sampled_from([*LIGHTS, Tlp.RED]))
    def a_ceiling_changes(self, party: PartyId, light: Tlp) -> None:
        self.ceiling[party] = light

    @precondition(lambda self: len(self.pacts) < 6)
    @rule(parties=some(PARTIES, 2), draft=DRAFTS, days=st.integers(1, 200))
    def an_agreement_is_signed(self, parties: frozenset[PartyId], draft: Draft, days: int) -> None:
        until_ms = self.now_ms + days * DAY
        self.pacts.append(Pact(len(self.pacts) + 1, parties, draft.categories, draft.purposes, draft.light, until_ms))

    @rule(data=st.data(), status=st.sampled_from([*AgreementStatus, AgreementStatus.ACTIVE]))
    def an_agreement_is_suspended_resumed_or_ended(self, data: st.DataObject, status: AgreementStatus) -> None:
        pact = data.draw(st.sampled_from(self.pacts))
        if pact.status is not AgreementStatus.TERMINATED and (status, pact.number) != (TERMINATED, CLUB_PACT):
            pact.status = status

    @rule(party=PARTY)
    def a_member_joins_or_leaves(self, party: PartyId) -> None:
        if party == XA:
            return
        members = dict(self.club[-1])
        if party in members:
            del members[party]
        else:
            members[party] = len(self.club) + 1
        self.club.append(members)

    @precondition(lambda self: len(self.stories) < 6)
    @rule(author=PARTY, draft=DRAFTS)
    def a_report_is_written(self, author: PartyId, draft: Draft) -> None:
        label = a_label(
            originators=(author,),
            tlp=draft.light,
            categories=tuple(sorted(draft.categories)),
            purposes=tuple(sorted(draft.purposes)),
            onward=draft.onward,
            max_hops=0 if draft.onward is OnwardRule.NONE else HOPS,
            embargo_until_ms=self.now_ms + draft.embargo_days * DAY if draft.embargo_days else 0,
            expires_ms=self.now_ms + draft.expiry_days * DAY if draft.expiry_days else 0,
            on_expiry=OnExpiry.PURGE if draft.expiry_days else None,
        )
        epoch = len(self.club) if draft.club else 0
        self.stories.append(Story(len(self.stories), label, author, draft, epoch, self.now_ms, holders={author: 0}))

    @precondition(lambda self: self.stories)
    @rule(data=st.data())
    def a_report_goes_out(self, data: st.DataObject) -> None:
        story = data.draw(st.sampled_from(self.stories))
        for sender, depth in list(story.holders.items()):
            for recipient in PARTIES:
                if recipient not in story.holders and self.decided(story, sender, recipient).permit:
                    story.holders[recipient] = depth + 1

    @precondition(lambda self: self.stories)
    @rule(data=st.data(), recipient=PARTY, purposes=some(PURPOSES), days=st.integers(1, 15))
    def consent_is_given(
        self, data: st.DataObject, recipient: PartyId, purposes: frozenset[Purpose], days: int
    ) -> None:
        story = data.draw(st.sampled_from(self.stories))
        holder = data.draw(st.sampled_from(sorted(story.holders, key=lambda each: each == story.author)))
        self.grants.append(
            Consent(
                grant=len(self.grants).to_bytes(32, "big"),
                item=story.item,
                originator=data.draw(st.sampled_from([story.author, story.author, XE])),
                holder=holder,
                recipient=recipient,
                purposes=tuple(sorted(purposes)),
                until_ms=self.now_ms + days * DAY,
                hop=story.holders[holder] + 1,
            )
        )

    @precondition(lambda self: self.stories)
    @rule(data=st.data())
    def a_report_is_withdrawn(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.stories)).withdrawn = True

    # -- the exchange --------------------------------------------------------------------------------------------------

    def as_known(self, seen_by: PartyId | None = None) -> Rules:
        """The signed inputs, as the owner of the community has them, or as one member sees them."""
        epochs = [
            an_epoch(
                members,
                publishers=(XA, XB) if XB in members else (XA,),
                seen_by=seen_by,
                epoch=number,
                status=AgreementStatus.ACTIVE if number == len(self.club) else AgreementStatus.TERMINATED,
            )
            for number, members in enumerate(self.club, 1)
            if seen_by is None or seen_by in members
        ]
        standings = {party: Standing(self.standing[party], self.ceiling[party]) for party in PARTIES}
        pacts = [pact.in_force() for pact in self.pacts]
        return Rules.of(EXCHANGE, pacts, standings, communities={CLUB: epochs} if epochs else {})

    def item(self, story: Story, sender: PartyId, recipient: PartyId) -> Item:
        targets = [Target(partner=party) for party in sorted(story.draft.named)]
        if story.club_epoch:
            targets.append(Target(community=CommunityTarget(CLUB, story.club_epoch)))
        if story.draft.everyone:
            targets.append(Target(everyone=True))
        own = Release(to=tuple(targets), except_=tuple(sorted(story.draft.excluded)), salt=bytes(16))
        onward = Release(to=(Target(partner=recipient),), salt=bytes(16))
        return Item.to_send(
            story.label,
            own if sender == story.author else onward,
            retracted=story.withdrawn,
            authored_ms=story.authored_ms,
            item_hash=story.item,
            consents=tuple(self.grants),
        )

    def decided(self, story: Story, sender: PartyId, recipient: PartyId, rules: Rules | None = None) -> Decision:
        return decide(
            self.item(story, sender, recipient),
            sender=sender,
            recipient=recipient,
            rules=rules or self.as_known(),
            now_ms=self.now_ms,
            role=Role.SENDER,
        )

    # -- the model -----------------------------------------------------------------------------------------------------

    def may(self, story: Story, sender: PartyId, recipient: PartyId) -> bool:
        """Whether `sender` may send it to `recipient` today, in plain words."""
        label, mine = story.label, sender == story.author
        here = all(self.standing[party] is Membership.ADMITTED for party in (sender, recipient))
        alive = not story.withdrawn and not 0 < label.expires_ms <= self.now_ms
        if sender == recipient or not here or not alive or label.tlp > self.ceiling[recipient]:
            return False
        if mine and recipient in story.draft.excluded:
            return False
        named = recipient in story.draft.named or not mine
        if self.now_ms < label.embargo_until_ms and not named and recipient != story.author:
            return False
        itself = named or story.draft.everyone
        if not itself and not self.club_reaches(story, sender, recipient):
            return False
        under = self.pacts if itself else [pact for pact in self.pacts if pact.number == CLUB_PACT]
        return any(self.pact_lets(pact, story, sender, recipient) for pact in under)

    def club_reaches(self, story: Story, sender: PartyId, recipient: PartyId) -> bool:
        now = self.club[-1]
        publishes = sender == XA or (sender == XB and XB in now)
        return bool(story.club_epoch) and publishes and now.get(recipient, NEVER) <= story.club_epoch

    def pact_lets(self, pact: Pact, story: Story, sender: PartyId, recipient: PartyId) -> bool:
        label = story.label
        purposes = pact.purposes & set(label.purposes)
        if sender != story.author:
            purposes &= self.consented(story, sender, recipient)
        return (
            bool(purposes)
            and {sender, recipient} <= pact.parties
            and pact.status is AgreementStatus.ACTIVE
            and self.now_ms < pact.until_ms
            and set(label.categories) <= pact.categories
            and label.tlp <= pact.ceiling
        )

    def consented(self, story: Story, holder: PartyId, recipient: PartyId) -> set[Purpose]:
        """The purposes for which the author lets this holder pass it on to this recipient today."""
        wanted = (story.item, story.author, holder, recipient)
        return {
            purpose
            for grant in self.grants
            if (grant.item, grant.originator, grant.holder, grant.recipient) == wanted
            and story.label.onward is not OnwardRule.NONE
            and self.now_ms < grant.until_ms
            and grant.hop <= HOPS
            for purpose in grant.purposes
        }

    # -- what must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def the_decision_is_the_models(self) -> None:
        rules = self.as_known()
        for story in self.stories:
            for sender in story.holders:
                for recipient in PARTIES:
                    found = self.decided(story, sender, recipient, rules)
                    expected = self.may(story, sender, recipient)
                    assert found.permit == expected, (sender, recipient, found.reasons, story)
                    if expected:
                        self.relay_and_recipient_agree(story, sender, recipient, found, rules)

    def relay_and_recipient_agree(
        self, story: Story, sender: PartyId, recipient: PartyId, found: Decision, rules: Rules
    ) -> None:
        slot = Slot(found.basis, found.via)
        seen = relay_label(story.label, encode_label(story.label), sender=sender, expires_ms=self.now_ms + DAY)
        relay = Item.in_transit(seen, slot, grant_hashes=len(found.grants))
        given = tuple(grant for grant in self.grants if grant.grant in found.grants)
        received = Item.received(story.label, slot, intact=True, item_hash=story.item, consents=given)
        mine = self.as_known(seen_by=recipient)
        for item, role, known in ((relay, Role.RELAY, rules), (received, Role.RECIPIENT, mine)):
            decision = decide(item, sender=sender, recipient=recipient, rules=known, now_ms=self.now_ms, role=role)
            assert decision.permit, (role, sender, recipient, decision.reasons, story)


TestMonths = Months.TestCase
TestMonths.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)
