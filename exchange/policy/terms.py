"""Agreements as values: what the parties sign, and the part of it that software enforces.

Numbers and meanings are those of protos/exchange/v1/policy.proto. An empty `senders` or `recipients` of a Term means
any party of the agreement; texts for people write `any` there and may not leave it out.
"""

from dataclasses import dataclass, field

from exchange.names import ExchangeName, PartyId
from exchange.policy.model import Actions, Category, EvidenceUse, OnwardRule, Purpose, Tlp, Vocabulary


class PersonalDataRule(Vocabulary):
    """Which personal data an agreement lets pass; a higher number is wider."""

    NONE = 1
    PSEUDONYMOUS = 2
    ALLOWED = 3


class AgreementStatus(Vocabulary):
    """What the directory says of an agreement (AgreementCommit.status)."""

    ACTIVE = 1
    SUSPENDED = 2
    TERMINATED = 3


class HeldItems(Vocabulary):
    """What becomes of held items when an agreement ends."""

    PURGE = 1
    KEEP_UNDER_TERMS = 2
    RETURN = 3


@dataclass(frozen=True, slots=True)
class NationalCeiling:
    """Classifications of another rulebook that may pass, verbatim."""

    policy_id: str
    classifications: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """What one direction of an agreement permits."""

    purposes: tuple[Purpose, ...]
    categories: tuple[Category, ...]
    ceiling: Tlp
    clause: str
    senders: tuple[PartyId, ...] = ()
    recipients: tuple[PartyId, ...] = ()
    denied_categories: tuple[Category, ...] = ()
    about_any: bool = False
    about: tuple[str, ...] = ()
    use_in: tuple[str, ...] = ()
    national: tuple[NationalCeiling, ...] = ()
    actions_max: Actions = Actions.INTERNAL_ONLY
    personal_data: PersonalDataRule = PersonalDataRule.NONE
    special_categories: bool = False
    evidence_use: EvidenceUse = EvidenceUse.NO
    onward_default: OnwardRule = OnwardRule.NONE
    pre_cleared: tuple[PartyId, ...] = ()
    retention_max_days: int = 0
    """0 means no limit."""
    approvals: int = 0
    onward_hops: int = 0
    """Onward hops at most; 0 means as the label says."""


@dataclass(frozen=True, slots=True)
class EnforcementView:
    """What software enforces of an agreement; the parties and the relay hold it, nobody else.

    As signed, its parties are the founders. exchange/policy/changes derives what accessions and notices make of it.
    """

    exchange: ExchangeName
    agreement_id: bytes
    version: int
    parties: tuple[PartyId, ...]
    """Between which it is in force: nobody who suspended or left it."""
    terms: tuple[Term, ...]
    valid_from_ms: int
    valid_until_ms: int
    """0 means no end."""
    text_sha256: bytes
    salt: bytes = field(repr=False)
    may_accede: tuple[PartyId, ...] = ()
    anyone_may_accede: bool = False
    held_items: HeldItems = HeldItems.PURGE
    held_within_days: int = 0
    """Of its end; 0 means at once, and stands where they are kept."""
    suspended: tuple[PartyId, ...] = ()
    left: tuple[PartyId, ...] = ()
    changes_sha256: bytes = b""
    """Running hash over accessions and notices; empty as signed."""

    @property
    def open(self) -> bool:
        """Whether others than its founders may accede."""
        return self.anyone_may_accede or bool(self.may_accede)

    @property
    def known(self) -> tuple[PartyId, ...]:
        """Everybody who is or was a party, and so may know of it."""
        return tuple(sorted({*self.parties, *self.suspended, *self.left}))

    def knows(self, party: PartyId) -> bool:
        """Say whether somebody is or was a party."""
        return party in self.parties or party in self.suspended or party in self.left


@dataclass(frozen=True, slots=True)
class Agreement:
    """The text that people read and parties sign, exactly as its drafter wrote it."""

    exchange: ExchangeName
    agreement_id: bytes
    version: int
    previous_sha256: bytes
    """SHA-256 of the payload of the version before; empty for the first."""
    parties: tuple[PartyId, ...]
    """The founders."""
    text: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    counters_sha256: bytes = b""
    """SHA-256 of the payload of the proposal that this one answers with another text; empty when it answers none."""


@dataclass(frozen=True, slots=True)
class AgreementRef:
    """Names one version of one agreement without saying what it contains."""

    id: bytes
    version: int
    commitment: bytes
    """SHA-256(salt || EnforcementView bytes), as it stands in the directory."""
