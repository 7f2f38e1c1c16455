"""The parts of a label that are maps of their own. Each function reads one node or raises its error."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from exchange.limits import TARGETS
from exchange.names import HASH_BYTES, ID_BYTES, PartyId
from exchange.policy.fields import (
    Fields,
    a_set,
    flag,
    hexadecimal,
    items,
    member,
    moment,
    number,
    one_of,
    parties,
    party,
    places,
    scalar,
    text,
    word,
    words,
)
from exchange.policy.model import (
    BASIS_KINDS,
    GRADINGS,
    CommunityTarget,
    Duty,
    EquivalentMarking,
    Grading,
    Handling,
    LegalBasis,
    NationalMarking,
    OnExpiry,
    PersonalData,
    ReaderRule,
    Release,
    Subject,
    Target,
)
from exchange.policy.strict_yaml import Node

EPOCH_MAX = 999_999_999


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a label in milliseconds, 0 for none."""

    not_before_ms: int = 0
    embargo_until_ms: int = 0
    review_on_ms: int = 0
    expires_ms: int = 0
    on_expiry: OnExpiry | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where it comes from, as hashes."""

    root_sources: tuple[bytes, ...] = ()
    derived_from: tuple[bytes, ...] = ()


Communities = Mapping[str, CommunityTarget]
"""Communities by name and by id in hexadecimal, each at the epoch that is in force."""


HIDDEN, OPEN = ROSTERS = ("hidden", "open")
"""Whether recipients may see the audience."""


def release_of(node: Node, originator: PartyId, salt: bytes, communities: Communities) -> Release:
    """Return the audience; the originator's own id in `to` is dropped, because it has the report already."""
    fields = Fields(node, ("to", "except", "display_only", "pre_authorised", "roster"))
    entries = fields.need("to")
    targets: dict[Target, Node] = {}
    for entry in items(entries, most=TARGETS):
        target = _target(entry, communities)
        if target in targets:
            raise entry.wrong("the same addressee stands here twice")
        targets[target] = entry
    named = {target.partner for target in targets}
    shown = fields.read("display_only", parties, ())
    if None not in named and not named.issuperset(shown):
        raise fields.need("display_only").wrong(
            "it names a partner that `to` does not name", hint="display_only adds nobody: name the partner in both"
        )
    return Release(
        to=tuple(sorted((t for t in targets if t.partner != originator), key=lambda target: target.sort_key)),
        except_=fields.read("except", parties, ()),
        display_only=shown,
        pre_authorised=fields.read("pre_authorised", parties, ()),
        salt=salt,
        open_roster=fields.read("roster", lambda given: one_of(given, ROSTERS), HIDDEN) == OPEN,
    )


def _target(node: Node, communities: Communities) -> Target:
    if isinstance(node.value, str):
        return Target(everyone=True) if scalar(node) == "*" else Target(partner=party(node))
    fields = Fields(node, ("community", "epoch", "agreement"))
    community, agreement = fields.get("community"), fields.get("agreement")
    if (community is None) == (agreement is None):
        raise node.wrong("an addressee is a partner, a community or an agreement", hint="{community: NAME}")
    if agreement is not None:
        if fields.get("epoch") is not None:
            raise fields.need("epoch").wrong("an agreement has no epoch")
        return Target(agreement=hexadecimal(ID_BYTES)(agreement))
    name = fields.need("community")
    if "epoch" in fields.values:
        return Target(
            community=CommunityTarget(hexadecimal(ID_BYTES)(name), number(1, EPOCH_MAX)(fields.need("epoch")))
        )
    if scalar(name) not in communities:
        raise name.wrong(f"{scalar(name)[:80]!r} is no community to publish in now", hint="concord community list")
    return Target(community=communities[scalar(name)])


def basis(node: Node) -> LegalBasis:
    """Return why it may be shared."""
    fields = Fields(node, ("kind", "citation"))
    return LegalBasis(one_of(fields.need("kind"), BASIS_KINDS), text(fields.need("citation")))


def personal_data(node: Node) -> PersonalData:
    """Return `none`, or what there is."""
    if isinstance(node.value, str):
        if scalar(node) != "none":
            raise node.wrong(f"{node.value[:80]!r} is not known", hint="none, or {present: true, subjects: [victim]}")
        return PersonalData(present=False)
    fields = Fields(node, ("present", "special", "pseudonymous", "subjects"))
    found = PersonalData(
        present=flag(fields.need("present")),
        special=fields.read("special", flag, default=False),
        subjects=fields.read("subjects", lambda entries: a_set(entries, member(Subject)), ()),
        pseudonymous=fields.read("pseudonymous", flag, default=False),
    )
    if not found.present and (found.special or found.subjects or found.pseudonymous):
        raise node.wrong("it is not present, and yet described", hint="present: true")
    return found


DOWNGRADE = "downgrade"


def times(now_ms: int) -> Callable[[Node], Times]:
    """Return the reader of a label's times; offsets count from `now_ms`."""

    def read(node: Node) -> Times:
        fields = Fields(node, ("not_before", "embargo_until", "review_on", "expires_at", "on_expiry"))
        at = moment(now_ms)
        expires = fields.read("expires_at", at, 0)
        found = Times(
            not_before_ms=fields.read("not_before", at, 0),
            embargo_until_ms=fields.read("embargo_until", at, 0),
            review_on_ms=fields.read("review_on", at, 0),
            expires_ms=expires,
            on_expiry=fields.read("on_expiry", _on_expiry, OnExpiry.PURGE if expires else None),
        )
        if found.on_expiry is not None and not expires:
            raise fields.need("on_expiry").wrong("nothing expires", hint="add   expires_at: +30d")
        if expires and expires <= max(now_ms, found.not_before_ms, found.embargo_until_ms):
            raise fields.need("expires_at").wrong("it expires before anyone may have it")
        return found

    return read


def _on_expiry(node: Node) -> OnExpiry:
    """Return what becomes of it; the downgrade that other systems know is answered by name (docs/decisions/0015)."""
    said = node.value
    if (DOWNGRADE in said) if isinstance(said, dict) else str(said).startswith(DOWNGRADE):
        raise node.wrong(
            "nothing becomes more open by a clock",
            hint="purge or ask; to ease it later, correct it with an eased label: concord report correct",
        )
    return member(OnExpiry)(node)


def grading(node: Node) -> Grading:
    """Return how far to trust it, in a scheme that is known."""
    fields = Fields(node, ("scheme", "source", "info"))
    scheme = one_of(fields.need("scheme"), GRADINGS)
    sources, infos = GRADINGS[scheme]
    return Grading(scheme, one_of(fields.need("source"), list(sources)), one_of(fields.need("info"), list(infos)))


def readers(node: Node) -> ReaderRule:
    """Return who may read it inside a partner; a rule without a condition is refused."""
    fields = Fields(node, ("min_clearance", "all_of", "any_of", "named"))
    scale, level = fields.read("min_clearance", _clearance, ("", ""))
    found = ReaderRule(
        clearance_scale=scale,
        clearance_level=level,
        all_of=fields.read("all_of", words, ()),
        any_of=fields.read("any_of", lambda groups: a_set(groups, _group), ()),
        named=fields.read("named", words, ()),
    )
    if not found.names_anyone:
        raise node.wrong("it sets no condition", hint="named: [duty-officer]")
    return found


def _clearance(node: Node) -> tuple[str, str]:
    fields = Fields(node, ("scale", "level"))
    return word(fields.need("scale")), word(fields.need("level"))


def _group(node: Node) -> tuple[str, ...]:
    return a_set(node, word, least=1)


def national(node: Node) -> NationalMarking:
    """Return the original marking, its caveats in the order given."""
    fields = Fields(node, ("policy", "classification", "caveats"))
    caveats = fields.read("caveats", lambda entries: tuple(word(entry) for entry in items(entries)), ())
    return NationalMarking(word(fields.need("policy")), word(fields.need("classification")), caveats)


def equivalents(node: Node) -> tuple[EquivalentMarking, ...]:
    """Return the equivalents that others set beside it."""
    return tuple(_equivalent(entry) for entry in items(node))


def _equivalent(node: Node) -> EquivalentMarking:
    fields = Fields(node, ("policy", "classification", "by"))
    return EquivalentMarking(word(fields.need("policy")), word(fields.need("classification")), party(fields.need("by")))


def handling(node: Node) -> tuple[Handling, ...]:
    """Return further instructions, in the order given."""
    return tuple(_handling(entry) for entry in items(node))


def _handling(node: Node) -> Handling:
    fields = Fields(node, ("code", "text"))
    return Handling(word(fields.need("code")), text(fields.need("text")))


def provenance(node: Node) -> Provenance:
    """Return where it comes from."""
    fields = Fields(node, ("root_sources", "derived_from"))
    return Provenance(fields.read("root_sources", _hashes, ()), fields.read("derived_from", _hashes, ()))


def _hashes(node: Node) -> tuple[bytes, ...]:
    return a_set(node, hexadecimal(HASH_BYTES))


def resale(node: Node) -> Duty:
    """Return whether it may be sold on; nobody must."""
    known = {duty.word: duty for duty in (Duty.MUST_NOT, Duty.MAY)}
    return known[one_of(node, known)]


def use_in(node: Node) -> tuple[str, ...]:
    """Return places; an empty list would mean no limit, so it is refused."""
    found = places(node)
    if not found:
        raise node.wrong("the list is empty", hint="leave the field out when there is no limit")
    return found


def lane(node: Node) -> str:
    """Return the word of a lane."""
    return one_of(node, ("flash", "priority", "routine"))
