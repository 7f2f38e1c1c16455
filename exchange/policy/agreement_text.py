"""Agreements as people write them; docs/spec/policy.md and draft_agreement_text show every field.

Unknown fields are refused: what the software cannot keep must stand under `promises`, in words, where everybody sees
that only people keep it. Every error is a BadAgreement with `place` ("line 7") and a hint.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from exchange.errors import BadAgreement
from exchange.limits import AGREEMENT_TERMS, AGREEMENT_TEXT_BYTES, SIGNATURES
from exchange.names import PartyId
from exchange.policy.fields import (
    Fields,
    a_set,
    days,
    flag,
    instant,
    instant_text,
    items,
    member,
    members,
    number,
    one_of,
    parties,
    party,
    places,
    text,
    word,
    words,
)
from exchange.policy.model import (
    APPROVALS_MAX,
    BASIS_KINDS,
    HOPS_MAX,
    Actions,
    Category,
    EvidenceUse,
    OnwardRule,
    Purpose,
    Tlp,
)
from exchange.policy.strict_yaml import Node, parse_yaml, places_of
from exchange.policy.terms import HeldItems, NationalCeiling, PersonalDataRule, Term

RETENTION_DAYS = 365
"""Longest retention where a term does not say."""

VERSION_MAX = 999_999_999


@dataclass(frozen=True, slots=True)
class AgreementBasis:
    """The treaty, law or memorandum that the agreement rests on."""

    kind: str
    citation: str
    authority: str
    review_on_ms: int
    """0 means none."""


@dataclass(frozen=True, slots=True)
class AgreementTerms:
    """What an agreement's text says."""

    title: str
    version: int
    parties: tuple[PartyId, ...]
    """The founders; their signatures put it into force."""
    may_accede: tuple[PartyId, ...]
    anyone_may_accede: bool
    legal_basis: AgreementBasis
    valid_from_ms: int
    valid_until_ms: int
    """0 means no end."""
    terms: tuple[Term, ...]
    promises: tuple[str, ...]
    """Clauses that only a person can keep; never counted as enforcement."""
    held_items: HeldItems
    """What becomes of held items when it ends."""
    held_within_days: int
    """Of its end; 0 where they are kept."""
    places: Mapping[str, str] = field(repr=False, compare=False)
    """Where each part stands, as in `line 7`, by its path, as in `terms[0].about`."""


def parse_agreement_text(data: bytes) -> AgreementTerms:
    """Return what the text says, the same for everyone.

    Raises:
        BadAgreement: with the line, what was expected, and the nearest known word.
    """
    root = parse_yaml(data, limit=AGREEMENT_TEXT_BYTES, error=BadAgreement)
    fields = Fields(root, FIELDS)
    title = text(fields.need("agreement"))
    version = number(1, VERSION_MAX)(fields.need("version"))
    founders = a_set(fields.need("parties"), party, least=1, most=SIGNATURES)
    may_accede, anyone = fields.read("accession", lambda node: _accession(node, founders), ((), False))
    if len(founders) == 1 and not (may_accede or anyone):
        raise fields.need("parties").wrong("one party alone", hint="name another, or who may join:   accession: any")
    valid_from, valid_until = _valid(fields.need("valid"))
    terms = items(fields.need("terms"), most=AGREEMENT_TERMS)
    if not terms:
        raise fields.need("terms").wrong("the list is empty", hint="without a term nothing may flow")
    held, within = _on_termination(fields.need("on_termination"))
    return AgreementTerms(
        title=title,
        version=version,
        parties=founders,
        may_accede=may_accede,
        anyone_may_accede=anyone,
        legal_basis=_legal_basis(fields.need("legal_basis")),
        valid_from_ms=valid_from,
        valid_until_ms=valid_until,
        terms=tuple(_term(node, {*founders, *may_accede}) for node in terms),
        promises=fields.read("promises", lambda node: tuple(text(entry) for entry in items(node)), ()),
        held_items=held,
        held_within_days=within,
        places=places_of(root),
    )


FIELDS = (
    "agreement",
    "version",
    "parties",
    "accession",
    "legal_basis",
    "valid",
    "terms",
    "promises",
    "on_termination",
)


def _accession(node: Node, founders: Collection[PartyId]) -> tuple[tuple[PartyId, ...], bool]:
    """Return who may accede, and whether anyone may."""
    if isinstance(node.value, str):
        return (), one_of(node, ("none", "any")) == "any"
    named = a_set(node, party, most=SIGNATURES)
    if not named:
        raise node.wrong("the list is empty", hint="none, any, or a list of parties as in [XO, XH]")
    for name in named:
        if name in founders:
            raise node.wrong(f"{name} is a party already", hint="leave it out here")
    return named, False


def _valid(node: Node) -> tuple[int, int]:
    fields = Fields(node, ("from", "until"))
    until = fields.need("until")
    found = instant(fields.need("from")), 0 if until.value == "none" else instant(until)
    if 0 < found[1] <= found[0]:
        raise until.wrong("it ends before it begins")
    return found


def _legal_basis(node: Node) -> AgreementBasis:
    fields = Fields(node, ("kind", "citation", "authority", "review_on"))
    return AgreementBasis(
        kind=one_of(fields.need("kind"), BASIS_KINDS),
        citation=text(fields.need("citation")),
        authority=fields.read("authority", text, ""),
        review_on_ms=fields.read("review_on", instant, 0),
    )


def _on_termination(node: Node) -> tuple[HeldItems, int]:
    fields = Fields(node, ("held_items", "within"))
    held = member(HeldItems)(fields.need("held_items"))
    if held is HeldItems.KEEP_UNDER_TERMS:
        if within := fields.get("within"):
            raise within.wrong("what is kept has no day to go", hint="leave it out, or write purge or return")
        return held, 0
    return held, days(fields.need("within"))


def _term(node: Node, members_of: Collection[PartyId]) -> Term:
    fields = Fields(node, TERM_FIELDS)
    categories = Fields(fields.need("categories"), ("allow", "deny"))
    ceiling = Fields(fields.need("ceiling"), ("tlp", "national"))
    about = fields.need("about")
    term = Term(
        clause=word(fields.need("clause")),
        senders=_side(fields.need("from"), members_of),
        recipients=_side(fields.need("to"), members_of),
        purposes=members(Purpose)(fields.need("purposes")),
        categories=members(Category)(categories.need("allow")),
        denied_categories=categories.read("deny", lambda entries: a_set(entries, member(Category)), ()),
        about_any=about.value == "any",
        about=_some_places(about),
        use_in=fields.read("use_in", _some_places, ()),
        ceiling=member(Tlp)(ceiling.need("tlp")),
        national=ceiling.read("national", _national, ()),
        actions_max=fields.read("actions_max", member(Actions), Actions.INTERNAL_ONLY),
        personal_data=fields.read("personal_data", member(PersonalDataRule), PersonalDataRule.NONE),
        special_categories=fields.read("special_categories", flag, default=False),
        evidence_use=fields.read("evidence_use", member(EvidenceUse), EvidenceUse.NO),
        onward_default=fields.read("onward_default", member(OnwardRule), OnwardRule.NONE),
        pre_cleared=fields.read("pre_cleared", parties, ()),
        retention_max_days=fields.read("retention_max", _retention, RETENTION_DAYS),
        approvals=fields.read("approvals", number(0, APPROVALS_MAX), 0),
        onward_hops=fields.read("onward_hops", number(1, HOPS_MAX), 0),
    )
    if term.special_categories:
        _special(fields.need("special_categories"), term)
    return term


TERM_FIELDS = (
    "clause",
    "from",
    "to",
    "purposes",
    "categories",
    "about",
    "use_in",
    "ceiling",
    "actions_max",
    "personal_data",
    "special_categories",
    "evidence_use",
    "onward_default",
    "onward_hops",
    "pre_cleared",
    "retention_max",
    "approvals",
)


def _special(node: Node, term: Term) -> None:
    if term.personal_data is not PersonalDataRule.ALLOWED:
        raise node.wrong("special categories are personal data", hint="personal_data: allowed")
    if Purpose.PROTECT_LIFE not in term.purposes:
        raise node.wrong("special categories may pass only to protect life", hint="add protect_life to the purposes")


def _side(node: Node, members_of: Collection[PartyId]) -> tuple[PartyId, ...]:
    """Return partners of one side; empty means any, which only the word `any` says."""
    if node.value == "any":
        return ()
    found = a_set(node, party, least=1)
    for name in found:
        if name not in members_of:
            raise node.wrong(f"{name} is not a party", hint="name it under parties, or under accession")
    return found


def _some_places(node: Node) -> tuple[str, ...]:
    """Return places; empty means any, which only the word `any` says."""
    if node.value == "any":
        return ()
    found = places(node)
    if not found:
        raise node.wrong("the list is empty", hint="any, or a list of countries as in [PK]")
    return found


def _national(node: Node) -> tuple[NationalCeiling, ...]:
    found = [_national_ceiling(entry) for entry in items(node)]
    if len({ceiling.policy_id for ceiling in found}) < len(found):
        raise node.wrong("a policy stands here twice")
    return tuple(sorted(found, key=lambda ceiling: ceiling.policy_id))


def _national_ceiling(node: Node) -> NationalCeiling:
    fields = Fields(node, ("policy", "classifications"))
    classifications = words(fields.need("classifications"))
    if not classifications:
        raise fields.need("classifications").wrong("the list is empty", hint="leave the policy out to deny it")
    return NationalCeiling(word(fields.need("policy")), classifications)


def _retention(node: Node) -> int:
    return 0 if node.value == "unlimited" else days(node)


def draft_agreement_text(
    members_of: Sequence[PartyId],
    title: str,
    *,
    valid_from_ms: int,
    valid_until_ms: int,
    citation: str = "...",
    accession: str = "none",
) -> str:
    """Return a commented text that parses, for its drafter to change; it is narrow on purpose."""
    return _DRAFT.format(
        title=_quoted(title),
        parties=", ".join(sorted(members_of)),
        accession=accession,
        citation=_quoted(citation),
        valid_from=instant_text(valid_from_ms),
        valid_until=instant_text(valid_until_ms) if valid_until_ms else "none",
        purposes=_listed(Purpose),
        categories=_listed(Category),
    )


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _listed(kind: type[Purpose] | type[Category]) -> str:
    return ", ".join(member_of.word for member_of in kind)


_DRAFT = """\
# Everything that no term permits is denied. Unknown fields are refused. Check it: concord agreement check FILE
agreement: {title}
version: 1
parties: [{parties}]
accession: {accession}                  # none | any | a list as in [XO, XH]: who may join later by a signed statement
legal_basis:
  kind: mou                      # treaty | statute | mou | court_order | vital_interest
  citation: {citation}
  # authority: who signed it
  # review_on: 2030-01-01
valid: {{from: {valid_from}, until: {valid_until}}}      # until: none has no end

# One term for each direction; the first that permits is the one that counts.
terms:
  - clause: "1"                  # the clause of the text that people signed
    from: any                    # any party, or a list as in [XA, XB]
    to: any
    # {purposes}
    purposes: [protect_life]
    # {categories}
    categories: {{allow: [alert, guidance], deny: []}}
    about: any                   # or countries as in [PK, ML]
    use_in: any
    ceiling: {{tlp: amber}}        # national: [{{policy: x, classifications: [y]}}] lets national markings pass
    actions_max: internal_only   # none | contact_first | internal_only | external_passive | external_active
    personal_data: none          # none | pseudonymous | allowed
    special_categories: false    # true only with personal_data: allowed, and then only to protect life
    evidence_use: no             # no | with_consent | yes
    onward_default: none         # none | consent | dependants | community | free
    # onward_hops: 1             # how often it may be passed on; left out: as the label says
    pre_cleared: []              # third parties agreed in advance
    retention_max: 365d          # or unlimited
    approvals: 0                 # approvals by different people before release

# What only people can keep. Shown to everyone as promises, never counted as enforcement.
promises: []
#  - "2: each party trains its staff yearly"
on_termination: {{held_items: purge, within: 30d}}         # purge | return; or {{held_items: keep_under_terms}}
"""
