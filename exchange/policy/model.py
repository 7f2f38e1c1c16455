"""Labels and releases as values: the vocabulary is closed, and every list that is a set is sorted without repeats.

Numbers are those of protos/exchange/v1/policy.proto; 0 is no member of any vocabulary, so an unset field is refused.
Times are milliseconds since 1970 UTC, and 0 means "none" where the proto says so. A Label names no party but its
originators; the audience is the Release, which stays with the originator. Specification: docs/spec/policy.md.
"""

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from exchange.errors import BadLabel
from exchange.names import PartyId

POLICY = "concord/1"
"""The rulebook whose words these are; any other denies."""

WORD_CHARS = 128
"""Longest code, classification, attribute or clause."""

TEXT_CHARS = 2_000
"""Longest text for people in one field."""

LIST_ITEMS = 256
"""Longest list in a label, a release or a term."""

HOPS_MAX = 255
APPROVALS_MAX = 16
RETENTION_DAYS_MAX = 36_500


class Vocabulary(IntEnum):
    """A closed list of words, each with its number on the wire."""

    @property
    def word(self) -> str:
        """The word that people write."""
        return self._name_.lower()


class Tlp(Vocabulary):
    """Traffic Light Protocol 2.0; a higher number is stricter."""

    CLEAR = 1
    GREEN = 2
    AMBER = 3
    AMBER_STRICT = 4
    RED = 5

    @property
    def word(self) -> str:
        """The word that people write, as in `amber+strict`."""
        return self._name_.lower().replace("_", "+")


class Category(Vocabulary):
    """What a report is about."""

    TERROR_ATTACK = 1
    KIDNAPPING = 2
    UNREST = 3
    CRIME = 4
    SITE_THREAT = 5
    TRAVEL = 6
    CYBER_INDICATOR = 7
    VULNERABILITY = 8
    ALERT = 9
    GUIDANCE = 10
    RULE = 11
    LESSON = 12
    TRAINING = 13


class Purpose(Vocabulary):
    """What a report may be used for. Closed on purpose: nothing here may serve to persecute people."""

    PROTECT_LIFE = 1
    PREVENT_TERRORISM = 2
    CRIMINAL_INVESTIGATION = 3
    CONSULAR = 4
    INFRASTRUCTURE_PROTECTION = 5
    CYBER_DEFENCE = 6
    RISK_ASSESSMENT = 7
    TRAINING = 8
    STATISTICS = 9


class Actions(Vocabulary):
    """What a recipient may do with it, in the order of IEP 2.0; a lower number is stricter."""

    NONE = 1
    CONTACT_FIRST = 2
    INTERNAL_ONLY = 3
    EXTERNAL_PASSIVE = 4
    EXTERNAL_ACTIVE = 5


class OnwardRule(Vocabulary):
    """May a recipient pass it on; a lower number is stricter."""

    NONE = 1
    CONSENT = 2
    DEPENDANTS = 3
    COMMUNITY = 4
    FREE = 5


class EvidenceUse(Vocabulary):
    """Use in court; a lower number is stricter."""

    NO = 1
    WITH_CONSENT = 2
    YES = 3


class Duty(Vocabulary):
    """Whether a thing must, may or must not be done."""

    MUST_NOT = 1
    MAY = 2
    MUST = 3


class Subject(Vocabulary):
    """Persons whom personal data is about."""

    SUSPECT = 1
    VICTIM = 2
    WITNESS = 3
    CONTACT = 4
    OTHER = 5


class OnExpiry(Vocabulary):
    """What becomes of a report when it expires."""

    PURGE = 1
    ASK = 2


class ReleaseMode(Vocabulary):
    """How the content key reaches the recipient; held release is reserved, not built."""

    DELIVERED = 1


class RelayFlag(IntFlag):
    """Bits of RelayLabel.flags; others must be 0."""

    PERSONAL_DATA = 1
    SPECIAL_CATEGORIES = 2
    NOT_ORIGINATOR = 4
    """The consent of another originator than the sender is needed."""
    ORCON = 8
    PSEUDONYMOUS = 16


BASIS_KINDS = ("treaty", "statute", "mou", "court_order", "vital_interest")
"""What a legal basis can be."""

GRADINGS = {"admiralty": ("ABCDEF", "123456"), "siena4x4": ("ABCX", "1234")}
"""Grading schemes: letters for the source, digits for the information."""


@dataclass(frozen=True, slots=True)
class NationalMarking:
    """A marking of another rulebook, kept verbatim."""

    policy_id: str
    classification: str
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EquivalentMarking:
    """A local equivalent that `by` set beside the original; it never replaces it and decides nothing."""

    policy_id: str
    classification: str
    by: PartyId


@dataclass(frozen=True, slots=True)
class PersonalData:
    """`special`: opinion, religion, ethnicity, health, orientation.

    `pseudonymous`: persons appear under pseudonyms only, whose key stays with the originator.
    """

    present: bool
    special: bool = False
    subjects: tuple[Subject, ...] = ()
    pseudonymous: bool = False


@dataclass(frozen=True, slots=True)
class ReaderRule:
    """Who may read it inside a partner; `any_of` holds groups of which one attribute each is needed.

    Merging takes the highest clearance, the union of `all_of`, every group, the intersection of `named`.
    """

    clearance_scale: str = ""
    clearance_level: str = ""
    all_of: tuple[str, ...] = ()
    any_of: tuple[tuple[str, ...], ...] = ()
    named: tuple[str, ...] = ()

    @property
    def names_anyone(self) -> bool:
        """Whether any reader can meet it: a rule without a condition is no rule."""
        return bool(self.clearance_scale or self.all_of or self.any_of or self.named)


@dataclass(frozen=True, slots=True)
class Handling:
    """A further instruction in words, with a code."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Grading:
    """How far to trust it, in the originator's own scheme."""

    scheme: str
    source: str
    info: str


@dataclass(frozen=True, slots=True)
class LegalBasis:
    """Why the originator may share it; `kind` is one of BASIS_KINDS."""

    kind: str
    citation: str


@dataclass(frozen=True, slots=True)
class Label:
    """The handling rules of one report version, signed with it and never changed."""

    originators: tuple[PartyId, ...]
    tlp: Tlp
    categories: tuple[Category, ...]
    purposes: tuple[Purpose, ...]
    basis: LegalBasis
    personal_data: PersonalData
    onward: OnwardRule
    release_sha256: bytes
    salt: bytes = field(repr=False)
    policy: str = POLICY
    national: NationalMarking | None = None
    equivalents: tuple[EquivalentMarking, ...] = ()
    orcon: bool = False
    max_hops: int = 0
    evidence_use: EvidenceUse = EvidenceUse.NO
    actions: Actions = Actions.INTERNAL_ONLY
    notify_affected: Duty = Duty.MAY
    attribution: Duty = Duty.MAY
    resale: Duty = Duty.MUST_NOT
    about: tuple[str, ...] = ()
    use_in: tuple[str, ...] = ()
    """Empty means no limit."""
    not_before_ms: int = 0
    embargo_until_ms: int = 0
    review_on_ms: int = 0
    expires_ms: int = 0
    on_expiry: OnExpiry | None = None
    """Set exactly when `expires_ms` is."""
    retention_days: int = 0
    """0 means as the agreement says."""
    handling: tuple[Handling, ...] = ()
    grading: Grading | None = None
    root_sources: tuple[bytes, ...] = ()
    derived_from: tuple[bytes, ...] = ()
    readers: ReaderRule | None = None
    release_mode: ReleaseMode = ReleaseMode.DELIVERED
    approvals: int = 0
    """By operators other than the author, before release."""


@dataclass(frozen=True, slots=True)
class CommunityTarget:
    """A community as it stood at one epoch."""

    id: bytes
    epoch: int


@dataclass(frozen=True, slots=True)
class Target:
    """One addressee of a release: exactly one of the four kinds.

    Raises:
        BadLabel: none of them, or several.
    """

    partner: PartyId | None = None
    community: CommunityTarget | None = None
    agreement: bytes | None = None
    """Every party of the agreement with this 16-byte id."""
    everyone: bool = False
    """Every partner that an agreement in force permits."""

    def __post_init__(self) -> None:
        kinds = [self.partner is not None, self.community is not None, self.agreement is not None, self.everyone]
        if kinds.count(True) != 1:
            raise BadLabel("a target is a partner, a community, an agreement or everyone")

    @property
    def sort_key(self) -> tuple[int, bytes, int]:
        """The place of this target in a release: by kind, then by name."""
        if self.partner is not None:
            return (1, self.partner.encode(), 0)
        if self.community is not None:
            return (2, self.community.id, self.community.epoch)
        return (3, self.agreement, 0) if self.agreement is not None else (4, b"", 0)


@dataclass(frozen=True, slots=True)
class Release:
    """The audience. Empty `to` means nobody; `except_` always wins; `display_only` adds nobody."""

    to: tuple[Target, ...]
    except_: tuple[PartyId, ...] = ()
    display_only: tuple[PartyId, ...] = ()
    pre_authorised: tuple[PartyId, ...] = ()
    """Third parties that recipients may pass it to."""
    salt: bytes = field(default=b"", repr=False)
    open_roster: bool = False
    """Whoever gets the report may see all of this; else it stays with the originator."""


@dataclass(frozen=True, slots=True)
class RelayLabel:
    """The part of a label that the relay reads and decides on."""

    tlp: Tlp
    policy: str
    categories: tuple[Category, ...]
    purposes: tuple[Purpose, ...]
    flags: int
    """RelayFlag bits."""
    expires_ms: int
    """When the relay deletes the ciphertext."""
    label_sha256: bytes
