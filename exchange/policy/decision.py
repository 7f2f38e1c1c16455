"""What a decision is made of, and what it is made from: values only; decide.py holds the rules.

Every reason has a stable code. A finding says what one step found; a step that fails for three reasons has three.
Specification: docs/spec/policy.md.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum, auto
from typing import NamedTuple

from exchange.names import ExchangeName, PartyId
from exchange.policy.communities.model import EpochInForce
from exchange.policy.consent import Consent
from exchange.policy.model import (
    Actions,
    Duty,
    EvidenceUse,
    Handling,
    Label,
    OnwardRule,
    Purpose,
    ReaderRule,
    RelayLabel,
    Release,
    Tlp,
)
from exchange.policy.terms import AgreementRef, AgreementStatus, EnforcementView


class Role(Enum):
    """Who decides: it fixes which steps are seen, and a step that must be seen and is not denies."""

    SENDER = "sender"
    RELAY = "relay"
    RECIPIENT = "recipient"


class Step(IntEnum):
    """The ten steps, in the order of the specification."""

    VALIDITY = 1
    AGREEMENT = 2
    AUDIENCE = 3
    CONTENT = 4
    CEILING = 5
    PERSONAL_DATA = 6
    EMBARGO = 7
    ONWARD = 8
    APPROVALS = 9
    OBLIGATIONS = 10


class Outcome(Enum):
    """What a step came to."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    NOT_VISIBLE = "not-visible"


class Reason(StrEnum):
    """Why a step fails; the code is stable. NOBODY_MAY_READ alone comes with a pass, as a warning."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:  # noqa: ARG004
        return name

    # 1
    NO_LABEL = auto()
    LABEL_INCOMPLETE = auto()
    NOT_INTACT = auto()
    UNKNOWN_POLICY = auto()
    RETRACTED = auto()
    EXPIRED = auto()
    NOT_YET = auto()
    # 2
    SAME_PARTY = auto()
    SENDER_UNKNOWN = auto()
    SENDER_NOT_ADMITTED = auto()
    SENDER_SUSPENDED = auto()
    SENDER_EXPELLED = auto()
    RECIPIENT_UNKNOWN = auto()
    RECIPIENT_NOT_ADMITTED = auto()
    RECIPIENT_SUSPENDED = auto()
    RECIPIENT_EXPELLED = auto()
    NO_AGREEMENT = auto()
    AGREEMENT_NOT_CITED = auto()
    AGREEMENT_UNKNOWN = auto()
    AGREEMENT_OF_ANOTHER_EXCHANGE = auto()
    AGREEMENT_SUSPENDED = auto()
    AGREEMENT_TERMINATED = auto()
    AGREEMENT_REPLACED = auto()
    AGREEMENT_NOT_YET = auto()
    AGREEMENT_LAPSED = auto()
    NOT_A_PARTY = auto()
    NO_TERM = auto()
    COMMUNITY_AGREEMENT = auto()
    # 3
    NO_RELEASE = auto()
    AUDIENCE_EMPTY = auto()
    NOT_IN_AUDIENCE = auto()
    EXCLUDED = auto()
    COMMUNITY_UNKNOWN = auto()
    COMMUNITY_NOT_YET = auto()
    COMMUNITY_SUSPENDED = auto()
    COMMUNITY_ENDED = auto()
    COMMUNITY_SCOPE = auto()
    COMMUNITY_HISTORY = auto()
    NOT_A_PUBLISHER = auto()
    AUDIENCE_NOT_PROVEN = auto()
    # 4
    CATEGORY_NOT_ALLOWED = auto()
    CATEGORY_DENIED = auto()
    PLACE_MISSING = auto()
    PLACE_NOT_ALLOWED = auto()
    PURPOSE_NOT_SHARED = auto()
    USE_IN_NOT_SHARED = auto()
    # 5
    TLP_ABOVE_AGREEMENT = auto()
    TLP_ABOVE_PARTNER = auto()
    PARTNER_NOT_VERIFIED = auto()
    NATIONAL_POLICY_UNKNOWN = auto()
    NATIONAL_CLASS_NOT_ALLOWED = auto()
    # 6
    PERSONAL_DATA_NOT_ALLOWED = auto()
    SPECIAL_CATEGORIES_NOT_ALLOWED = auto()
    SPECIAL_CATEGORIES_NOT_FOR_LIFE = auto()
    # 7
    EMBARGOED = auto()
    # 8
    ONWARD_FORBIDDEN = auto()
    CONSENT_MISSING = auto()
    CONSENT_NOT_FOR_RECIPIENT = auto()
    CONSENT_EXPIRED = auto()
    TOO_MANY_HOPS = auto()
    CONSENT_PURPOSE_NOT_SHARED = auto()
    # 9
    APPROVALS_MISSING = auto()
    # 10
    NOBODY_MAY_READ = auto()


TIMED = frozenset({Reason.NOT_YET, Reason.EMBARGOED})
"""Reasons that time alone removes."""

WAITS = TIMED | {
    Reason.SENDER_SUSPENDED,
    Reason.RECIPIENT_SUSPENDED,
    Reason.AGREEMENT_SUSPENDED,
    Reason.COMMUNITY_SUSPENDED,
    Reason.PARTNER_NOT_VERIFIED,
    Reason.APPROVALS_MISSING,
}
"""Reasons that something else than the item removes: time, the directory, approvals, a comparison of fingerprints.
Every other one is final."""


class Finding(NamedTuple):
    """What one step found. `agreement` is an id, `what` the value concerned, as in `travel` or `TLP:RED`.

    A tuple, which is made in half the time of a dataclass: a report for 140 partners has hundreds.
    """

    step: Step
    outcome: Outcome
    reason: Reason | None = None
    agreement: bytes = b""
    clause: str = ""
    what: str = ""


@dataclass(frozen=True, slots=True)
class Obligations:
    """What the recipient must do: the stricter of label and agreement, field by field."""

    purposes: tuple[Purpose, ...]
    use_in: tuple[str, ...]
    """Empty means no limit."""
    actions: Actions
    evidence_use: EvidenceUse
    onward: OnwardRule
    max_hops: int
    orcon: bool
    notify_affected: Duty
    attribution: Duty
    resale: Duty
    retention_days: int
    """0 means no limit."""
    purge_at_ms: int
    """The earlier of expiry (when it means purge) and retention counted from `now_ms`; 0 means never."""
    ask_at_ms: int
    """When an operator is asked what to do with it; 0 means never."""
    review_on_ms: int
    display_only: bool
    readers: ReaderRule | None
    nobody_may_read: bool
    """TLP:RED without a reader rule: named readers, and none is named."""
    handling: tuple[Handling, ...]
    embargo_until_ms: int = 0
    """Nothing of it leaves the node before this; 0 means no embargo."""


class Decision(NamedTuple):
    """Permit or deny, with at least one finding a step, in order of the steps. A tuple like Finding."""

    permit: bool
    findings: tuple[Finding, ...]
    basis: AgreementRef | None
    """The agreement that permits, or the one that came nearest."""
    clause: str
    """Its term."""
    obligations: Obligations | None
    """Set when it permits and the role sees the label."""
    via: str = ""
    """At the sender: the community's epoch by way of which it goes; empty when the recipient is addressed itself."""
    grants: tuple[bytes, ...] = ()
    """Hashes of the consent grants that it rests on; empty when none was needed, or it denies."""

    @property
    def reasons(self) -> list[Reason]:
        """Why not, in order of the steps; empty when nothing fails."""
        return [f.reason for f in self.findings if f.outcome is Outcome.FAIL and f.reason is not None]

    @property
    def waits(self) -> bool:
        """Whether it is denied by nothing but what may yet change: the sender keeps it and decides again."""
        return not self.permit and bool(self.reasons) and WAITS.issuperset(self.reasons)

    @property
    def warnings(self) -> list[Finding]:
        """What passes and is still worth a person's attention."""
        return [f for f in self.findings if f.outcome is Outcome.PASS and f.reason is not None]


@dataclass(frozen=True, slots=True)
class Slot:
    """What a slot says of its recipient, at relay and recipient."""

    basis: AgreementRef | None
    via: str = ""
    display_only: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One item as the decider sees it: build it with to_send, in_transit or received."""

    label: Label | None = None
    relay_label: RelayLabel | None = None
    release: Release | None = None
    slot: Slot | None = None
    intact: bool = False
    """The caller has checked signatures, hashes, versions and, at the recipient, check_relay_label."""
    retracted: bool = False
    approvals: int = 0
    """Approvals by different people, none of them the author."""
    grant_hashes: int = 0
    """Consent grants that the header names."""
    authored_ms: int = 0
    """When it was written, for the history rule of communities; 0 when nobody says."""
    item_hash: bytes = b""
    """What grants name the item by; not needed where the sender is its only originator."""
    consents: tuple[Consent, ...] = ()
    """Verified grants, of whatever items; those that count are found by step 8."""
    uncompared: frozenset[PartyId] = frozenset()
    """At the sender: partners that do not get it before a person there has compared their fingerprint."""

    @classmethod
    def to_send(
        cls,
        label: Label,
        release: Release,
        *,
        retracted: bool = False,
        approvals: int = 0,
        authored_ms: int = 0,
        item_hash: bytes = b"",
        consents: tuple[Consent, ...] = (),
        uncompared: frozenset[PartyId] = frozenset(),
    ) -> "Item":
        """An item at its sender."""
        return cls(
            label=label,
            release=release,
            intact=True,
            retracted=retracted,
            approvals=approvals,
            authored_ms=authored_ms,
            item_hash=item_hash,
            consents=consents,
            uncompared=uncompared,
        )

    @classmethod
    def in_transit(cls, relay_label: RelayLabel, slot: Slot | None = None, *, grant_hashes: int = 0) -> "Item":
        """An item at the relay, for one slot; decide_slots brings the slots itself."""
        return cls(relay_label=relay_label, slot=slot, intact=True, grant_hashes=grant_hashes)

    @classmethod
    def received(
        cls,
        label: Label,
        slot: Slot,
        *,
        intact: bool,
        retracted: bool = False,
        approvals: int = 0,
        item_hash: bytes = b"",
        consents: tuple[Consent, ...] = (),
    ) -> "Item":
        """An item at its recipient."""
        return cls(
            label=label,
            slot=slot,
            intact=intact,
            retracted=retracted,
            approvals=approvals,
            item_hash=item_hash,
            consents=consents,
        )


class Membership(Enum):
    """Where a partner stands (PartyRecord.status of the directory)."""

    JOINING = "joining"
    ADMITTED = "admitted"
    SUSPENDED = "suspended"
    EXPELLED = "expelled"


@dataclass(frozen=True, slots=True)
class Standing:
    """A partner as the directory has it; `ceiling` is the strictest TLP that it may ever receive."""

    membership: Membership
    ceiling: Tlp


@dataclass(frozen=True, slots=True)
class AgreementInForce:
    """An agreement's view with its status in the directory; its dates are judged by decide()."""

    ref: AgreementRef
    view: EnforcementView
    status: AgreementStatus
    since: int = 0
    """Index of the directory entry that first showed it: of several views of one version, the latest counts."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The signed inputs of a decision, as of one directory size. Build with Rules.of."""

    exchange: ExchangeName
    agreements: Mapping[bytes, AgreementInForce]
    """By commitment, in order of id and version."""
    standings: Mapping[PartyId, Standing]
    by_party: Mapping[PartyId, tuple[AgreementInForce, ...]]
    """Those that are not ended or changed since, by each of their parties; partners that hold the same ones share one
    tuple. One who has suspended or left an agreement does not hold it."""
    former: Mapping[PartyId, tuple[AgreementInForce, ...]] = field(default_factory=dict)
    """The same agreements by each who has suspended or left them."""
    versions: Mapping[bytes, tuple[AgreementInForce, ...]] = field(default_factory=dict)
    """By id, where several versions are known: between partners of a newer one an older one permits nothing."""
    as_of_ms: int | None = None
    """When the dates of agreements are judged: the relay's received_ms at a recipient, else `now_ms` itself."""
    communities: Mapping[bytes, tuple[EpochInForce, ...]] = field(default_factory=dict)
    """Every epoch that is known here, ascending, by the community's id."""

    @classmethod
    def of(
        cls,
        exchange: ExchangeName,
        agreements: Iterable[AgreementInForce],
        standings: Mapping[PartyId, Standing],
        *,
        as_of_ms: int | None = None,
        communities: Mapping[bytes, Iterable[EpochInForce]] | None = None,
    ) -> "Rules":
        """Put the agreements in the order in which a sender tries them, and epochs in theirs."""
        ordered = sorted(agreements, key=lambda found: (found.ref.id, found.ref.version, found.since))
        by_id: dict[bytes, list[AgreementInForce]] = {}
        for found in ordered:
            by_id.setdefault(found.ref.id, []).append(found)
        current = [found for held in by_id.values() for found in _current(held)]
        return cls(
            exchange=exchange,
            agreements={found.ref.commitment: found for found in ordered},
            standings=standings,
            by_party=_shared(_by(current, lambda view: view.parties)),
            as_of_ms=as_of_ms,
            communities={
                name: tuple(sorted(epochs, key=lambda each: each.epoch)) for name, epochs in (communities or {}).items()
            },
            former=_shared(_by(current, lambda view: (*view.suspended, *view.left))),
            versions=_versions(by_id),
        )


def _current(held: Sequence[AgreementInForce]) -> Sequence[AgreementInForce]:
    """Return those views of one agreement that have not ended; the last one when all have, to say so."""
    return [found for found in held if found.status is not AgreementStatus.TERMINATED] or held[-1:]


def _versions(by_id: Mapping[bytes, Sequence[AgreementInForce]]) -> dict[bytes, tuple[AgreementInForce, ...]]:
    """Return the last view of each version, which knows everybody that an earlier one knew, where there are several."""
    last = {name: {found.ref.version: found for found in held} for name, held in by_id.items()}
    return {name: tuple(versions.values()) for name, versions in last.items() if len(versions) > 1}


def _by(
    agreements: Iterable[AgreementInForce], parties: Callable[[EnforcementView], Iterable[PartyId]]
) -> dict[PartyId, list[AgreementInForce]]:
    found_by: dict[PartyId, list[AgreementInForce]] = {}
    for found in agreements:
        for party in parties(found.view):
            found_by.setdefault(party, []).append(found)
    return found_by


def _shared(held: Mapping[PartyId, Sequence[AgreementInForce]]) -> dict[PartyId, tuple[AgreementInForce, ...]]:
    """Return the lists as tuples, equal ones as one: what holds of one partner then need not be asked for the next."""
    by_names: dict[tuple[bytes, ...], tuple[AgreementInForce, ...]] = {}
    return {
        party: by_names.setdefault(tuple(found.ref.commitment for found in found_by_party), tuple(found_by_party))
        for party, found_by_party in held.items()
    }
