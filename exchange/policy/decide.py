"""Decide whether one item may go to one recipient.

Pure: no clock and no I/O; the caller passes `now_ms` and the rules in force.
Denies by default: no agreement, no audience and no answer all deny.
Evaluates every step, so that a refusal names everything that is wrong.
Total: it raises for no input of the right types.

 1 validity       intact, known rulebook, complete, neither retracted nor expired, not too early
 2 agreement      both partners admitted; an agreement of both, active, in its dates, with a term for this direction.
                  The sender takes the first that permits, by id; relay and recipient judge the one that the slot cites.
 3 audience       exclusion wins, empty means nobody; at the recipient: its slot under a header of an originator, or a
                  grant that names it. Who is reached by way of a community gets it under the agreement that the
                  community rests on.
 4 content        categories, places, purposes, places of use
 5 ceiling        of the term, of the partner, of a national marking; at the sender, what its node keeps from partners
                  whose fingerprint nobody there has compared
 6 personal data  only where allowed; special categories only to protect life as well
 7 embargo        until then originators and partners named one by one
 8 onward         a sender that is not the only originator needs the consent of every other one: onward.py
 9 approvals      as many as the term asks for
10 obligations    what the recipient must do

Specification: docs/spec/policy.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from exchange.names import PartyId
from exchange.policy.audience import Audience
from exchange.policy.communities.route import Route, judge_via, judge_via_at_relay
from exchange.policy.decision import (
    WAITS,
    AgreementInForce,
    Decision,
    Finding,
    Item,
    Membership,
    Obligations,
    Outcome,
    Reason,
    Role,
    Rules,
    Slot,
    Standing,
    Step,
)
from exchange.policy.model import Label, Purpose
from exchange.policy.onward import NOBODY, Passage, named_by_grant, passage
from exchange.policy.steps import (
    NOT_VISIBLE,
    PASSED,
    Facts,
    Findings,
    Judged,
    Limits,
    absence,
    facts_of_label,
    facts_of_relay_label,
    in_force,
    judge,
    nobody_may_read,
    obligations,
    tlp_words,
    validity,
    validity_at_relay,
)
from exchange.policy.terms import AgreementRef, Term

__all__ = [
    "REQUIRED",
    "AgreementInForce",
    "Decision",
    "Finding",
    "Item",
    "Membership",
    "Obligations",
    "Outcome",
    "Reason",
    "Role",
    "Rules",
    "Slot",
    "Standing",
    "Step",
    "decide",
    "decide_for",
    "decide_slots",
    "who_gets",
]

REQUIRED = {
    Role.SENDER: frozenset(Step),
    Role.RELAY: frozenset({Step.VALIDITY, Step.AGREEMENT, Step.CONTENT, Step.CEILING, Step.PERSONAL_DATA, Step.ONWARD}),
    Role.RECIPIENT: frozenset(Step),
}
"""Steps that each role must see and that must pass (PROTOCOL 4)."""


def decide(item: Item, *, sender: PartyId, recipient: PartyId, rules: Rules, now_ms: int, role: Role) -> Decision:
    """Return the decision with at least one finding a step, in the order of the specification.

    `role` says which steps the caller can see; a step that it must see and cannot denies. A recipient passes the later
    of its own clock and the relay's received_ms, and the rules as of that promise.
    """
    return _Case(item, sender, rules, now_ms, role).decide(recipient, item.slot)


def who_gets(item: Item, *, sender: PartyId, rules: Rules, now_ms: int) -> list[tuple[PartyId, Decision]]:
    """Return the sender's decision for every other partner, by id."""
    partners = [party for party in sorted(rules.standings) if party != sender]
    return decide_for(item, partners, sender=sender, rules=rules, now_ms=now_ms)


def decide_for(
    item: Item, recipients: Iterable[PartyId], *, sender: PartyId, rules: Rules, now_ms: int
) -> list[tuple[PartyId, Decision]]:
    """Return the sender's decision for each of these recipients, in their order; the same as decide() one by one."""
    case = _Case(item, sender, rules, now_ms, Role.SENDER)
    return [(party, case.decide(party, item.slot)) for party in recipients]


def decide_slots(
    item: Item, slots: Sequence[tuple[PartyId, Slot]], *, sender: PartyId, rules: Rules, now_ms: int
) -> list[Decision]:
    """Return the relay's decision for each slot of one envelope, in their order; the same as decide() one by one."""
    case = _Case(item, sender, rules, now_ms, Role.RELAY)
    return [case.decide(recipient, slot) for recipient, slot in slots]


Nearest = tuple[AgreementInForce | None, Findings, Judged | None]
"""An agreement, what fails of step 2 under it, and what its term says; none at all denies."""


class _Group(NamedTuple):
    """Partners that hold the same agreements: whoever is not told apart from another gets the same answer in step 2."""

    agreements: Sequence[AgreementInForce]
    """Those that the sender holds too."""
    named: Sequence[frozenset[PartyId]]
    """Recipients that terms name."""
    alone: bool
    """Each partner is judged by itself: of consent, or where a newer version may have taken an older one's place."""

    def tells_apart(self, recipient: PartyId) -> object:
        """Return what is equal for recipients that need not be told apart."""
        if self.alone:
            return recipient
        return tuple([recipient in names for names in self.named]) if self.named else ()


class _Case:
    """One item from one sender: what the recipients have in common is found once."""

    def __init__(self, item: Item, sender: PartyId, rules: Rules, now_ms: int, role: Role) -> None:
        self.item, self.sender, self.rules, self.now_ms, self.role = item, sender, rules, now_ms, role
        self.at_ms = now_ms if rules.as_of_ms is None else rules.as_of_ms
        self.facts: Facts | None = None
        if role is Role.RELAY:
            self.validity = validity_at_relay(item, now_ms)
            if item.relay_label is not None:
                self.facts = facts_of_relay_label(item.relay_label)
        else:
            self.validity = validity(item, now_ms)
            if item.label is not None:
                self.facts = facts_of_label(item.label, sender)
        self.sender_findings = _standing(rules.standings.get(sender), _SENDER)
        self.needs_consent = self.facts is not None and self.facts.needs_consent
        self.readable = _NOBODY if item.label is not None and nobody_may_read(item.label) else PASSED[Step.OBLIGATIONS]
        self.audience = Audience(item, sender, rules, self.at_ms) if role is Role.SENDER else None
        self.in_force: dict[bytes, Findings] = {}
        self.judged: dict[tuple[bytes, int, PartyId | None], Judged] = {}
        self.duties: dict[tuple[int, bool], Obligations] = {}
        self.narrowed: dict[tuple[Limits, frozenset[Purpose] | None, bool], Obligations] = {}
        self.groups: dict[int, _Group] = {}
        self.nearest: dict[tuple[int, frozenset[bytes], object], Nearest] = {}

    def decide(self, recipient: PartyId, slot: Slot | None) -> Decision:
        """Put together what the item, the partner and the agreement come to."""
        routes, audience = self._audience(recipient, slot)
        agreement, findings, judged = self._agreement(recipient, slot, routes)
        standing = self.rules.standings.get(recipient)
        partners = (*self.sender_findings, *_standing(standing, _RECIPIENT))
        if recipient == self.sender:
            partners = (*partners, _fail(Step.AGREEMENT, Reason.SAME_PARTY))
        permit, found = self._permits(
            (
                self.validity,
                partners + findings or PASSED[Step.AGREEMENT],
                audience,
                judged.content if judged else NOT_VISIBLE[Step.CONTENT],
                self._ceiling(recipient, standing, judged),
                judged.personal_data if judged else NOT_VISIBLE[Step.PERSONAL_DATA],
                self._embargo(recipient, slot),
                self._onward(recipient, judged),
                judged.approvals if judged else NOT_VISIBLE[Step.APPROVALS],
                self._last(judged),
            )
        )
        return Decision(
            permit=permit,
            findings=found,
            basis=agreement.ref if agreement else None,
            clause=judged.term.clause if judged else "",
            obligations=self._obligations(judged, recipient, slot) if permit else None,
            via=_via(routes, agreement) if routes and agreement else "",
            grants=judged.grants if permit and judged else (),
        )

    def _permits(self, steps: tuple[Findings, ...]) -> tuple[bool, Findings]:
        """Say whether what the ten steps found permits, and return it as one list."""
        if steps == _ALL_PASSED:
            return True, _NOTHING_WRONG
        found = tuple(chain.from_iterable(steps))
        required = REQUIRED[self.role]
        permit = all(
            finding.outcome is Outcome.PASS or (finding.outcome is Outcome.NOT_VISIBLE and finding.step not in required)
            for finding in found
        )
        return permit, found

    # 2
    def _agreement(self, recipient: PartyId, slot: Slot | None, routes: Sequence[Route]) -> Nearest:
        """Return the agreement that permits, or the nearest, with its failures and its term."""
        ids = frozenset([route.agreement_id for route in routes]) if routes else _ANY
        if self.role is not Role.SENDER:
            cited = self._cited(slot.basis if slot else None)
            if isinstance(cited, Finding):
                return None, (cited,), None
            return self._under_cited(cited, recipient) if _rests_on(cited, ids) else _another(cited)
        held = self.rules.by_party.get(recipient, ())
        group = self._group(held)
        key = (id(held), ids, group.tells_apart(recipient))  # rules keeps every `held` alive
        if key in self.nearest:
            return self.nearest[key]
        shared = [found for found in group.agreements if not self._replaced(found, recipient)]
        if not shared:
            return None, (self._no_agreement(recipient),), None
        candidates = [found for found in shared if _rests_on(found, ids)]
        self.nearest[key] = self._first(candidates, recipient) if candidates else _another(shared[0])
        return self.nearest[key]

    def _group(self, held: Sequence[AgreementInForce]) -> "_Group":
        """Return what all who hold these agreements share of them with the sender."""
        if id(held) not in self.groups:
            mine, versions = [found for found in held if self.sender in found.view.parties], self.rules.versions
            named = {term.recipients for found in mine for term in found.view.terms if term.recipients}
            alone = self.needs_consent or (bool(versions) and any(found.ref.id in versions for found in mine))
            self.groups[id(held)] = _Group(mine, [frozenset(each) for each in named], alone)
        return self.groups[id(held)]

    def _no_agreement(self, recipient: PartyId) -> Finding:
        """Say that sender and recipient have no agreement, or that one of both suspended or left the one they had."""
        for party in (recipient, self.sender):
            for found in self.rules.former.get(party, ()):
                if found.view.knows(self.sender) and found.view.knows(recipient):
                    return absence(found, self.sender, recipient)
        return _fail(Step.AGREEMENT, Reason.NO_AGREEMENT)

    def _first(self, candidates: Sequence[AgreementInForce], recipient: PartyId) -> Nearest:
        """Return the first that permits of agreements which both have joined and none has replaced, or the nearest."""
        best: tuple[tuple[int, int], AgreementInForce, Findings, Judged | None] | None = None
        for candidate in candidates:
            findings, judged = self._under(candidate, recipient)
            distance = _distance(findings, judged)
            if best is None or distance < best[0]:
                best = distance, candidate, findings, judged
            if distance == (0, 0):
                break
        return best[1:] if best else (None, (_fail(Step.AGREEMENT, Reason.NO_AGREEMENT),), None)

    def _cited(self, basis: AgreementRef | None) -> AgreementInForce | Finding:
        if basis is None:
            return _fail(Step.AGREEMENT, Reason.AGREEMENT_NOT_CITED)
        found = self.rules.agreements.get(basis.commitment)
        if found is None or found.ref != basis:
            return Finding(Step.AGREEMENT, Outcome.FAIL, Reason.AGREEMENT_UNKNOWN, basis.id)
        return found

    def _under_cited(self, agreement: AgreementInForce, recipient: PartyId) -> Nearest:
        """Return the agreement that a slot cites, with its failures and its term; anybody's may be cited."""
        parties = agreement.view.parties
        if self.sender not in parties or recipient not in parties:
            return agreement, (absence(agreement, self.sender, recipient),), None
        replaced: Findings = ()
        if self._replaced(agreement, recipient):
            replaced = (Finding(Step.AGREEMENT, Outcome.FAIL, Reason.AGREEMENT_REPLACED, agreement.ref.id),)
        return agreement, *self._under(agreement, recipient, replaced)

    def _under(
        self, agreement: AgreementInForce, recipient: PartyId, replaced: Findings = ()
    ) -> tuple[Findings, Judged | None]:
        """Return the failures of step 2 under an agreement of both, and its first term that permits, or the nearest."""
        findings = self._in_force(agreement) + replaced
        if self.facts is None:
            return findings, None
        nearest: Judged | None = None
        for index, term in enumerate(agreement.view.terms):
            if (term.senders and self.sender not in term.senders) or (
                term.recipients and recipient not in term.recipients
            ):
                continue
            judged = self._judge(self.facts, agreement, index, recipient)
            if nearest is None or judged.distance < nearest.distance:
                nearest = judged
            if judged.distance == (0, 0):
                break
        if nearest is None:
            return (*findings, Finding(Step.AGREEMENT, Outcome.FAIL, Reason.NO_TERM, agreement.ref.id)), None
        return findings, nearest

    def _replaced(self, agreement: AgreementInForce, recipient: PartyId) -> bool:
        """Say whether both partners have joined a newer version that has begun, be it that one left it since."""
        name, version = agreement.ref.id, agreement.ref.version
        return name in self.rules.versions and any(
            newer.ref.version > version
            and newer.view.valid_from_ms <= self.at_ms
            and newer.view.knows(self.sender)
            and newer.view.knows(recipient)
            for newer in self.rules.versions[name]
        )

    def _in_force(self, agreement: AgreementInForce) -> Findings:
        key = agreement.ref.commitment
        if key not in self.in_force:
            self.in_force[key] = in_force(agreement, self.rules.exchange, self.at_ms)
        return self.in_force[key]

    def _judge(self, facts: Facts, agreement: AgreementInForce, index: int, recipient: PartyId) -> Judged:
        key = (agreement.ref.commitment, index, recipient if self.needs_consent else None)
        if key not in self.judged:
            term = agreement.view.terms[index]
            judged = judge(facts, self.item, agreement.ref.id, term)
            if self.needs_consent and facts.label is not None:
                found = self._passage(facts.label, recipient, term)
                judged = judged._replace(
                    distance=(judged.distance[0] + found.failures, judged.distance[1] + found.failures),
                    onward=found.findings,
                    purposes=found.purposes,
                    grants=found.grants,
                )
            self.judged[key] = judged
        return self.judged[key]

    # 3
    def _audience(self, recipient: PartyId, slot: Slot | None) -> tuple[Sequence[Route], Findings]:
        """Return by way of which communities the recipient is reached, if by any, and what step 3 finds."""
        if self.role is Role.RELAY:
            stale = judge_via_at_relay(slot, self.rules) if slot is not None and slot.via else ()
            return (), stale or NOT_VISIBLE[Step.AUDIENCE]
        if self.audience is not None:
            return self.audience.reach(recipient)
        if slot is None or not self._addressed(recipient):
            return (), (_fail(Step.AUDIENCE, Reason.AUDIENCE_NOT_PROVEN),)
        if not slot.via:
            return (), PASSED[Step.AUDIENCE]
        route, wrong = judge_via(
            slot, self.item, sender=self.sender, recipient=recipient, rules=self.rules, at_ms=self.at_ms
        )
        return (route,) if route else (), wrong or PASSED[Step.AUDIENCE]

    def _addressed(self, recipient: PartyId) -> bool:
        """Say whether an originator addressed it to the recipient: by its own header, or by a grant."""
        label = self.item.label
        if label is None or self.sender in label.originators:
            return label is not None
        return named_by_grant(self.item, label, sender=self.sender, recipient=recipient)

    # 5
    def _ceiling(self, recipient: PartyId, standing: Standing | None, judged: Judged | None) -> Findings:
        found: Findings = judged.ceiling if judged else ()
        if self.facts is not None and standing is not None and self.facts.tlp > standing.ceiling:
            what = tlp_words(self.facts.tlp, standing.ceiling)
            found = (*found, _fail(Step.CEILING, Reason.TLP_ABOVE_PARTNER, what))
        if recipient in self.item.uncompared:
            found = (*found, _fail(Step.CEILING, Reason.PARTNER_NOT_VERIFIED))
        return found or (PASSED if judged else NOT_VISIBLE)[Step.CEILING]

    # 7
    def _embargo(self, recipient: PartyId, slot: Slot | None) -> Findings:
        label = self.item.label
        if self.role is Role.RELAY or label is None:
            return NOT_VISIBLE[Step.EMBARGO]
        if self.now_ms >= label.embargo_until_ms or recipient in label.originators:
            return PASSED[Step.EMBARGO]
        named = recipient in self.audience.named if self.audience else slot is not None and not slot.via
        return PASSED[Step.EMBARGO] if named else (_fail(Step.EMBARGO, Reason.EMBARGOED),)

    # 8
    def _onward(self, recipient: PartyId, judged: Judged | None) -> Findings:
        if self.facts is None:
            return NOT_VISIBLE[Step.ONWARD]
        if not self.needs_consent:
            return PASSED[Step.ONWARD]
        label = self.facts.label
        if label is None:  # the relay sees no more than whether there are grants
            missing = _fail(Step.ONWARD, Reason.CONSENT_MISSING, NOBODY)
            return PASSED[Step.ONWARD] if self.item.grant_hashes else (missing,)
        return judged.onward if judged else self._passage(label, recipient, None).findings

    def _passage(self, label: Label, recipient: PartyId, term: Term | None) -> Passage:
        return passage(self.item, label, sender=self.sender, recipient=recipient, term=term, at_ms=self.at_ms)

    # 10
    def _last(self, judged: Judged | None) -> Findings:
        if self.role is Role.RELAY or self.item.label is None or judged is None:
            return NOT_VISIBLE[Step.OBLIGATIONS]
        return self.readable

    def _obligations(self, judged: Judged | None, recipient: PartyId, slot: Slot | None) -> Obligations | None:
        label, release = self.item.label, self.item.release
        if self.role is Role.RELAY or label is None or judged is None:
            return None
        shown = slot.display_only if slot else release is not None and recipient in release.display_only
        key = (id(judged), shown)  # self.judged keeps every one of them alive
        if key not in self.duties:
            self.duties[key] = self._narrowed(label, judged, display_only=shown)
        return self.duties[key]

    def _narrowed(self, label: Label, judged: Judged, *, display_only: bool) -> Obligations:
        """Return what a term makes of the label; terms that limit alike, as those of one template do, share it."""
        limits = Limits.of(judged.term)
        key = (limits, judged.purposes, display_only)
        if key not in self.narrowed:
            duties = obligations(label, limits, display_only=display_only, now_ms=self.now_ms)
            if judged.purposes is not None:
                duties = replace(duties, purposes=tuple(sorted(judged.purposes)))
            self.narrowed[key] = duties
        return self.narrowed[key]


def _fail(step: Step, reason: Reason, what: str = "") -> Finding:
    return Finding(step, Outcome.FAIL, reason, what=what)


def _distance(findings: Findings, judged: Judged | None) -> tuple[int, int]:
    """How far an agreement is from permitting: what waits is nearer than what is final."""
    final, failures = judged.distance if judged else _NO_TERM
    if not findings:
        return final, failures
    return final + sum(finding.reason not in WAITS for finding in findings), failures + len(findings)


def _rests_on(agreement: AgreementInForce, ids: frozenset[bytes]) -> bool:
    """Say whether a community that reaches the recipient rests on this agreement; any will do when none is needed."""
    return not ids or agreement.ref.id in ids


def _via(routes: Sequence[Route], agreement: AgreementInForce) -> str:
    return next((route.via for route in routes if route.agreement_id == agreement.ref.id), "")


def _another(agreement: AgreementInForce) -> Nearest:
    return agreement, (Finding(Step.AGREEMENT, Outcome.FAIL, Reason.COMMUNITY_AGREEMENT, agreement.ref.id),), None


def _standing(standing: Standing | None, reasons: dict[Membership | None, Findings]) -> Findings:
    return reasons[standing.membership if standing else None]


_SENDER: dict[Membership | None, Findings] = {
    None: (_fail(Step.AGREEMENT, Reason.SENDER_UNKNOWN),),
    Membership.JOINING: (_fail(Step.AGREEMENT, Reason.SENDER_NOT_ADMITTED),),
    Membership.ADMITTED: (),
    Membership.SUSPENDED: (_fail(Step.AGREEMENT, Reason.SENDER_SUSPENDED),),
    Membership.EXPELLED: (_fail(Step.AGREEMENT, Reason.SENDER_EXPELLED),),
}
_RECIPIENT: dict[Membership | None, Findings] = {
    None: (_fail(Step.AGREEMENT, Reason.RECIPIENT_UNKNOWN),),
    Membership.JOINING: (_fail(Step.AGREEMENT, Reason.RECIPIENT_NOT_ADMITTED),),
    Membership.ADMITTED: (),
    Membership.SUSPENDED: (_fail(Step.AGREEMENT, Reason.RECIPIENT_SUSPENDED),),
    Membership.EXPELLED: (_fail(Step.AGREEMENT, Reason.RECIPIENT_EXPELLED),),
}
_ANY: frozenset[bytes] = frozenset()
_ALL_PASSED = tuple(PASSED.values())
_NOTHING_WRONG = tuple(chain.from_iterable(_ALL_PASSED))
_NOBODY = (Finding(Step.OBLIGATIONS, Outcome.PASS, Reason.NOBODY_MAY_READ),)
_NO_TERM = (1_000, 1_000)
"""An agreement without a term for this direction is further off than any failing term."""
