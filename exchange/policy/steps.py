"""What the steps of a decision find that does not depend on the recipient. Pure; decide.py puts it together.

One item is judged once, and once by each term that could carry it; 140 recipients then share the result.
The relay judges the same functions on the few fields that it sees: what it cannot see, it leaves out.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from exchange.names import PartyId
from exchange.policy.binding import consent_needed
from exchange.policy.decision import AgreementInForce, Finding, Item, Obligations, Outcome, Reason, Step
from exchange.policy.model import (
    POLICY,
    Actions,
    Category,
    EvidenceUse,
    Label,
    OnExpiry,
    OnwardRule,
    Purpose,
    RelayFlag,
    RelayLabel,
    Tlp,
)
from exchange.policy.terms import AgreementStatus, PersonalDataRule, Term

DAY_MS = 24 * 60 * 60 * 1000

PASSED = {step: (Finding(step, Outcome.PASS),) for step in Step}
NOT_VISIBLE = {step: (Finding(step, Outcome.NOT_VISIBLE),) for step in Step}

Findings = tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the steps ask of an item, in whichever form the role sees it; `label` is None at the relay."""

    label: Label | None
    tlp: Tlp
    categories: frozenset[Category]
    purposes: frozenset[Purpose]
    about: frozenset[str]
    purpose_words: str
    personal_data: bool
    special: bool
    pseudonymous: bool
    needs_consent: bool
    """There is another originator than the sender."""


class Limits(NamedTuple):
    """What of a term narrows the obligations. Where it is the same, recipients under different terms share theirs."""

    purposes: tuple[Purpose, ...]
    use_in: tuple[str, ...]
    actions_max: Actions
    evidence_use: EvidenceUse
    onward_default: OnwardRule
    onward_hops: int
    retention_max_days: int

    @classmethod
    def of(cls, term: Term) -> "Limits":
        """Return those of a term."""
        return cls(
            term.purposes,
            term.use_in,
            term.actions_max,
            term.evidence_use,
            term.onward_default,
            term.onward_hops,
            term.retention_max_days,
        )


class Judged(NamedTuple):
    """What one term says of the item; a tuple like Finding, for the same reason."""

    term: Term
    content: Findings
    ceiling: tuple[Finding, ...]
    """Failures only: the partner's own ceiling is judged beside them."""
    personal_data: Findings
    approvals: Findings
    distance: tuple[int, int]
    """Failures that are final, then all: approvals may yet come."""
    onward: Findings = PASSED[Step.ONWARD]
    """For one recipient, where consent is needed; so are the two below."""
    purposes: frozenset[Purpose] | None = None
    """What grants narrow the purposes to."""
    grants: tuple[bytes, ...] = ()


def facts_of_label(label: Label, sender: PartyId) -> Facts:
    """Return the facts that sender and recipient see."""
    return Facts(
        label=label,
        tlp=label.tlp,
        categories=frozenset(label.categories),
        purposes=frozenset(label.purposes),
        about=frozenset(label.about),
        purpose_words=_words(label.purposes),
        personal_data=label.personal_data.present or label.personal_data.special,
        special=label.personal_data.special,
        pseudonymous=label.personal_data.pseudonymous,
        needs_consent=consent_needed(label, sender),
    )


def facts_of_relay_label(label: RelayLabel) -> Facts:
    """Return the facts that the relay sees."""
    special = bool(label.flags & RelayFlag.SPECIAL_CATEGORIES)
    return Facts(
        label=None,
        tlp=label.tlp,
        categories=frozenset(label.categories),
        purposes=frozenset(label.purposes),
        about=frozenset(),
        purpose_words=_words(label.purposes),
        personal_data=special or bool(label.flags & RelayFlag.PERSONAL_DATA),
        special=special,
        pseudonymous=bool(label.flags & RelayFlag.PSEUDONYMOUS),
        needs_consent=bool(label.flags & RelayFlag.NOT_ORIGINATOR),
    )


def validity(item: Item, now_ms: int) -> Findings:
    """Step 1 on the full label."""
    label = item.label
    if label is None:
        return (_fail(Step.VALIDITY, Reason.NO_LABEL),)
    complete = label.originators and label.categories and label.purposes and label.basis.kind and label.basis.citation
    found = [
        *_common_validity(item, label.policy, complete=bool(complete)),
        *([_fail(Step.VALIDITY, Reason.RETRACTED)] if item.retracted else []),
        *([_fail(Step.VALIDITY, Reason.EXPIRED)] if 0 < label.expires_ms <= now_ms else []),
        *([_fail(Step.VALIDITY, Reason.NOT_YET)] if now_ms < label.not_before_ms else []),
    ]
    return tuple(found) or PASSED[Step.VALIDITY]


def validity_at_relay(item: Item, now_ms: int) -> Findings:
    """Step 1 on the relay label; every envelope of a report has an expiry there, so 0 has expired."""
    label = item.relay_label
    if label is None:
        return (_fail(Step.VALIDITY, Reason.NO_LABEL),)
    found = [
        *_common_validity(item, label.policy, complete=bool(label.categories and label.purposes)),
        *([_fail(Step.VALIDITY, Reason.EXPIRED)] if label.expires_ms <= now_ms else []),
    ]
    return tuple(found) or PASSED[Step.VALIDITY]


def _common_validity(item: Item, policy: str, *, complete: bool) -> Iterator[Finding]:
    if not item.intact:
        yield _fail(Step.VALIDITY, Reason.NOT_INTACT)
    if policy != POLICY:
        yield _fail(Step.VALIDITY, Reason.UNKNOWN_POLICY, what=policy)
    if not complete:
        yield _fail(Step.VALIDITY, Reason.LABEL_INCOMPLETE)


def in_force(agreement: AgreementInForce, exchange: str, at_ms: int) -> Findings:
    """The part of step 2 that concerns the agreement alone: failures, or nothing."""
    return tuple([_fail(Step.AGREEMENT, reason, agreement.ref.id) for reason in _against(agreement, exchange, at_ms)])


def _against(agreement: AgreementInForce, exchange: str, at_ms: int) -> Iterator[Reason]:
    view, ref = agreement.view, agreement.ref
    if (view.agreement_id, view.version) != (ref.id, ref.version):
        yield Reason.AGREEMENT_UNKNOWN
    if view.exchange != exchange:
        yield Reason.AGREEMENT_OF_ANOTHER_EXCHANGE
    if agreement.status is AgreementStatus.SUSPENDED:
        yield Reason.AGREEMENT_SUSPENDED
    if agreement.status is AgreementStatus.TERMINATED:
        yield Reason.AGREEMENT_TERMINATED
    if at_ms < view.valid_from_ms:
        yield Reason.AGREEMENT_NOT_YET
    if 0 < view.valid_until_ms <= at_ms:
        yield Reason.AGREEMENT_LAPSED


def absence(agreement: AgreementInForce, sender: PartyId, recipient: PartyId) -> Finding:
    """Say why an agreement does not hold between two partners of whom one is none of its parties."""
    view, ref = agreement.view, agreement.ref
    for reason, gone in (
        (Reason.AGREEMENT_TERMINATED, view.left),
        (Reason.AGREEMENT_SUSPENDED, view.suspended),
    ):
        who = [party for party in (sender, recipient) if party in gone]
        if who and view.knows(sender) and view.knows(recipient):
            return Finding(Step.AGREEMENT, Outcome.FAIL, reason, ref.id, what=", ".join(who))
    return Finding(Step.AGREEMENT, Outcome.FAIL, Reason.NOT_A_PARTY, ref.id)


def judge(facts: Facts, item: Item, agreement: bytes, term: Term) -> Judged:
    """Return what steps 4, 5, 6 and 9 find under one term of the agreement with this id."""
    seen = facts.label is not None
    content = tuple(_content(facts, agreement, term))
    ceiling = tuple(_ceiling(facts, agreement, term))
    personal = tuple(_personal_data(facts, agreement, term))
    missing = max(term.approvals, facts.label.approvals if facts.label else 0) - item.approvals
    approvals: Findings = ()
    if seen and missing > 0:
        approvals = (_fail(Step.APPROVALS, Reason.APPROVALS_MISSING, agreement, term, str(missing)),)
    final = len(content) + len(ceiling) + len(personal)
    return Judged(
        term=term,
        content=content or PASSED[Step.CONTENT],
        ceiling=ceiling,
        personal_data=personal or PASSED[Step.PERSONAL_DATA],
        approvals=approvals or (PASSED if seen else NOT_VISIBLE)[Step.APPROVALS],
        distance=(final, final + len(approvals)),
    )


def _content(facts: Facts, agreement: bytes, term: Term) -> Iterator[Finding]:
    """Step 4: nothing that is denied, everything within what is allowed, purposes and places of use in common."""
    denied = facts.categories.intersection(term.denied_categories)
    beyond = facts.categories.difference(term.categories, denied)
    if denied:
        yield _fail(Step.CONTENT, Reason.CATEGORY_DENIED, agreement, term, _words(denied))
    if beyond:
        yield _fail(Step.CONTENT, Reason.CATEGORY_NOT_ALLOWED, agreement, term, _words(beyond))
    if facts.purposes.isdisjoint(term.purposes):
        yield _fail(Step.CONTENT, Reason.PURPOSE_NOT_SHARED, agreement, term, facts.purpose_words)
    if facts.label is None:
        return
    if not term.about_any:
        outside = facts.about.difference(term.about)
        if not facts.about:
            yield _fail(Step.CONTENT, Reason.PLACE_MISSING, agreement, term)
        elif outside:
            yield _fail(Step.CONTENT, Reason.PLACE_NOT_ALLOWED, agreement, term, ", ".join(sorted(outside)))
    if common_places(facts.label.use_in, term.use_in) is None:
        yield _fail(Step.CONTENT, Reason.USE_IN_NOT_SHARED, agreement, term, ", ".join(facts.label.use_in))


def _ceiling(facts: Facts, agreement: bytes, term: Term) -> Iterator[Finding]:
    """Step 5 against the term: the traffic light, and the national marking where it is seen."""
    if facts.tlp > term.ceiling:
        yield _fail(Step.CEILING, Reason.TLP_ABOVE_AGREEMENT, agreement, term, tlp_words(facts.tlp, term.ceiling))
    national = facts.label.national if facts.label is not None else None
    if national is None:
        return
    known = [ceiling for ceiling in term.national if ceiling.policy_id == national.policy_id]
    if not known:
        yield _fail(Step.CEILING, Reason.NATIONAL_POLICY_UNKNOWN, agreement, term, national.policy_id)
    elif not any(national.classification in ceiling.classifications for ceiling in known):
        yield _fail(Step.CEILING, Reason.NATIONAL_CLASS_NOT_ALLOWED, agreement, term, national.classification)


def _personal_data(facts: Facts, agreement: bytes, term: Term) -> Iterator[Finding]:
    """Step 6. Pseudonymous data passes where a term asks for it; special categories only where all of it may pass."""
    allowed = PersonalDataRule.PSEUDONYMOUS if facts.pseudonymous else PersonalDataRule.ALLOWED
    if facts.personal_data and term.personal_data < allowed:
        what = term.personal_data.word
        yield _fail(Step.PERSONAL_DATA, Reason.PERSONAL_DATA_NOT_ALLOWED, agreement, term, what)
    if facts.special:
        if not term.special_categories:
            yield _fail(Step.PERSONAL_DATA, Reason.SPECIAL_CATEGORIES_NOT_ALLOWED, agreement, term)
        if Purpose.PROTECT_LIFE not in facts.purposes.intersection(term.purposes):
            yield _fail(Step.PERSONAL_DATA, Reason.SPECIAL_CATEGORIES_NOT_FOR_LIFE, agreement, term)


def obligations(label: Label, limits: Limits, *, display_only: bool, now_ms: int) -> Obligations:
    """Step 10: the stricter of label and term, field by field."""
    retention = _least_set(label.retention_days, limits.retention_max_days)
    on_expiry = {label.on_expiry: label.expires_ms}
    onward = min(label.onward, limits.onward_default)
    return Obligations(
        purposes=tuple(sorted(shared_purposes(label, limits.purposes))),
        use_in=common_places(label.use_in, limits.use_in) or (),
        actions=min(label.actions, limits.actions_max),
        evidence_use=min(label.evidence_use, limits.evidence_use),
        onward=onward,
        max_hops=0 if onward is OnwardRule.NONE else _least_set(label.max_hops, limits.onward_hops),
        orcon=label.orcon,
        notify_affected=label.notify_affected,
        attribution=label.attribution,
        resale=label.resale,
        retention_days=retention,
        purge_at_ms=_least_set(on_expiry.get(OnExpiry.PURGE, 0), now_ms + retention * DAY_MS if retention else 0),
        ask_at_ms=on_expiry.get(OnExpiry.ASK, 0),
        review_on_ms=label.review_on_ms,
        display_only=display_only,
        readers=label.readers,
        nobody_may_read=nobody_may_read(label),
        handling=label.handling,
        embargo_until_ms=label.embargo_until_ms,
    )


def shared_purposes(label: Label, allowed: Iterable[Purpose]) -> frozenset[Purpose]:
    """Return what a report may be used for under a term that allows these purposes."""
    shared = frozenset(label.purposes).intersection(allowed)
    return shared & {Purpose.PROTECT_LIFE} if label.personal_data.special else shared


def nobody_may_read(label: Label) -> bool:
    """TLP:RED means named readers; without a reader rule none is named."""
    return label.tlp is Tlp.RED and (label.readers is None or not label.readers.names_anyone)


def common_places(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return where both permit use, empty meaning no limit; None when they have no place in common."""
    if not one or not other:
        return one or other
    return tuple(sorted(set(one).intersection(other))) or None


@cache
def tlp_words(tlp: Tlp, ceiling: Tlp) -> str:
    """Say which light is over which ceiling."""
    return f"TLP:{tlp.word.upper()} > TLP:{ceiling.word.upper()}"


def _least_set(*values: int) -> int:
    """Return the least value that is not 0; 0 when none is."""
    return min((value for value in values if value), default=0)


def _words(values: Collection[Category] | Iterable[Purpose]) -> str:
    return ", ".join(value.word for value in sorted(values))


def _fail(step: Step, reason: Reason, agreement: bytes = b"", term: Term | None = None, what: str = "") -> Finding:
    return Finding(step, Outcome.FAIL, reason, agreement, term.clause if term is not None else "", what)
