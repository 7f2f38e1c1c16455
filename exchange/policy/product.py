"""What may be said of a report that was made of others: its label by default, and where a label says too much. Pure.

exchange/policy/combine.py makes the Combination. It is total; here what no label can say is refused by name, so that an
empty intersection never turns into "no limit". Specification: docs/spec/policy.md, "Combination".
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from exchange.crypto.random import random_bytes
from exchange.errors import BadLabel, MalformedInput
from exchange.names import ID_BYTES
from exchange.policy.binding import release_sha256
from exchange.policy.codec import encode_label, encode_release
from exchange.policy.combine import Combination, limits_of, meet, named_in
from exchange.policy.fields import instant_text
from exchange.policy.label_yaml import label_to_mapping
from exchange.policy.model import (
    Duty,
    EquivalentMarking,
    Handling,
    Label,
    LegalBasis,
    NationalMarking,
    PersonalData,
    ReaderRule,
    Release,
    Target,
    Vocabulary,
)
from exchange.policy.readers import Scales, merge_readers

NO_SCALES: Scales = {}
"""Nothing is known of clearances: two different ones cannot be compared."""

UNBOUND = bytes(32)
"""Stands for the hash of a release while its author has not written it."""


@dataclass(frozen=True, slots=True)
class Wider:
    """One field in which a label says more than the sources of its report allow."""

    field: str
    found: str
    allowed: str


def label_of(
    combination: Combination, *, basis: LegalBasis | None = None, scales: Scales = NO_SCALES
) -> tuple[Label, Release]:
    """Return the label and release that say exactly what the sources allow, with fresh salts.

    `basis` is needed when the sources rest on different ones: no rule says on which their product may be shared.

    Raises:
        BadLabel: no label can say it; the audience of no source is known here; or no basis.
    """
    check(combination, scales=scales)
    if combination.to is None:
        raise BadLabel("the audience of no source is known here", place="release", hint="add   release:")
    release = _release(combination, combination.to)
    digest = release_sha256(_bytes(encode_release, release), release.salt)
    label = replace(_label(combination, basis, scales), release_sha256=digest)
    _bytes(encode_label, label)
    return label, release


def defaults_of(combination: Combination, *, scales: Scales = NO_SCALES) -> dict[str, Any]:
    """Return the same in plain form, for the parser of labels: what only the author can say is left out.

    Raises:
        BadLabel: no label can say it.
    """
    check(combination, scales=scales)
    stated = next(iter(combination.bases))
    plain = label_to_mapping(_label(combination, stated, scales), _release(combination, combination.to or frozenset()))
    if combination.to is None:
        del plain["release"]
    if len(combination.bases) > 1:
        del plain["basis"]
    return plain


def check(combination: Combination, *, scales: Scales = NO_SCALES) -> None:
    """Refuse what no label can say, naming everything; `scales` are those by which this party compares clearances.

    Raises:
        BadLabel: the sources cannot go into one report.
    """
    wrong = list(_impossible(combination, scales))
    if wrong:
        raise BadLabel(
            f"the sources cannot go into one report: {'; '.join(wrong)}",
            place="derived_from",
            hint="leave a source out, or make two reports",
        )


def wider(label: Label, release: Release, *, than: Combination, scales: Scales = NO_SCALES) -> tuple[Wider, ...]:
    """Return every field in which a label is wider than the sources of its report allow; none when it is not.

    A field is wider when combining it with the sources would change it. Basis and grading are the author's own.
    """
    given = limits_of(label, release)
    both = meet(given, than)
    found = [
        Wider(name, words(getattr(given, field)), f"{form} {words(getattr(both, field))}")
        for field, (name, form) in COMPARED.items()
        if getattr(given, field) != getattr(both, field)
    ]
    return (
        *found,
        *_marking(label, than),
        *_readers(label, given, than, scales),
        *_embargo(given, than),
        *_audience(release, than),
    )


COMPARED = {
    "originators": ("originators", "all of"),
    "tlp": ("tlp", "at least"),
    "equivalents": ("equivalents", "all of"),
    "orcon": ("orcon", "exactly"),
    "onward": ("onward", "at most"),
    "max_hops": ("max_hops", "at most"),
    "categories": ("categories", "all of"),
    "purposes": ("purposes", "only"),
    "evidence_use": ("evidence_use", "at most"),
    "actions": ("actions", "at most"),
    "notify_affected": ("notify_affected", "exactly"),
    "attribution": ("attribution", "exactly"),
    "resale": ("resale", "at most"),
    "personal_data": ("personal_data", "at least"),
    "about": ("about", "exactly"),
    "use_in": ("use_in", "only"),
    "not_before_ms": ("time.not_before", "not before"),
    "review_on_ms": ("time.review_on", "at the latest"),
    "expires_ms": ("time.expires_at", "at the latest"),
    "on_expiry": ("time.on_expiry", "exactly"),
    "retention_days": ("retention", "at most"),
    "handling": ("handling", "all of"),
    "root_sources": ("provenance.root_sources", "all of"),
    "derived_from": ("provenance.derived_from", "all of"),
    "approvals": ("approvals", "at least"),
    "to": ("release.to", "only"),
    "pre_authorised": ("release.pre_authorised", "only"),
}
"""Fields that are compared as they are: their name in a label, and how what is allowed reads."""


def _impossible(c: Combination, scales: Scales) -> Iterator[str]:
    if not c.purposes:
        yield "they have no purpose in common"
    if c.use_in is not None and not c.use_in:
        yield "they may be used in no place in common"
    if len({(national.policy_id, national.classification) for national in c.nationals}) > 1:
        # Terms list the classifications that may pass, in no order: which one is stricter nobody can say here.
        yield "they bear different national markings"
    for name, duties in (("notify_affected", c.notify_affected), ("attribution", c.attribution)):
        if len(duties) > 1:
            yield f"{name}: one says must and another must_not"
    try:
        merge_readers(c.readers, scales=scales)
    except BadLabel as error:
        yield str(error)


def _label(c: Combination, basis: LegalBasis | None, scales: Scales) -> Label:
    """Return the label, without the hash of its release."""
    if basis is None and len(c.bases) > 1:
        raise BadLabel("the sources rest on different legal bases", place="basis", hint="add   basis:")
    return Label(
        originators=_sorted(c.originators),
        tlp=c.tlp,
        categories=_sorted(c.categories),
        purposes=_sorted(c.purposes),
        basis=basis or next(iter(c.bases)),
        personal_data=c.personal_data,
        onward=c.onward,
        release_sha256=UNBOUND,
        salt=random_bytes(ID_BYTES),
        national=_national(c),
        equivalents=_ordered(c.equivalents),
        orcon=c.orcon,
        max_hops=c.max_hops,
        evidence_use=c.evidence_use,
        actions=c.actions,
        notify_affected=_duty(c.notify_affected),
        attribution=_duty(c.attribution),
        resale=c.resale,
        about=_sorted(c.about or ()),
        use_in=_sorted(c.use_in or ()),
        not_before_ms=_not_before(c),
        embargo_until_ms=c.embargo_until_ms,
        review_on_ms=c.review_on_ms,
        expires_ms=c.expires_ms,
        on_expiry=c.on_expiry,
        retention_days=c.retention_days,
        handling=_ordered(c.handling),
        grading=next(iter(c.gradings)) if len(c.gradings) == 1 else None,
        root_sources=_sorted(c.root_sources),
        derived_from=_sorted(c.derived_from),
        readers=merge_readers(c.readers, scales=scales),
        approvals=c.approvals,
    )


def _national(c: Combination) -> NationalMarking | None:
    """Return the marking that all bear; its caveats in the order given, or sorted when sources differ in them."""
    if len(c.nationals) < 2:
        return next(iter(c.nationals), None)
    caveats = {caveat for national in c.nationals for caveat in national.caveats}
    return replace(next(iter(c.nationals)), caveats=_sorted(caveats))


def _duty(duties: frozenset[Duty]) -> Duty:
    return next(iter(duties), Duty.MAY)


def _not_before(c: Combination) -> int:
    """Return when it may go out: for all at the end of the embargo, if a source keeps out one whom the product lets in.

    Partners that are named and originators pass an embargo, and combining makes such of others: "everyone" and XV
    together name XV.
    """
    let_in = named_in(c.to or ()) | c.originators
    if c.open_to is not None and not let_in <= c.open_to:
        return max(c.not_before_ms, c.embargo_until_ms)
    return c.not_before_ms


def _release(c: Combination, to: frozenset[Target]) -> Release:
    named = named_in(to)
    within = c.display_only if len(named) < len(to) else c.display_only & named
    return Release(
        to=tuple(sorted(to, key=lambda target: target.sort_key)),
        except_=_sorted(c.except_),
        display_only=_sorted(within),
        pre_authorised=_sorted(c.pre_authorised),
        salt=random_bytes(ID_BYTES),
        open_roster=c.open_roster,
    )


def _marking(label: Label, than: Combination) -> Iterator[Wider]:
    """The national marking of a source is kept verbatim, with every caveat of it."""
    for asked in than.nationals:
        given = label.national or NationalMarking("", "")
        same = (given.policy_id, given.classification) == (asked.policy_id, asked.classification)
        if not same or not set(asked.caveats) <= set(given.caveats):
            yield Wider("national", words(label.national), f"exactly {words(asked)}")


def _readers(label: Label, given: Combination, than: Combination, scales: Scales) -> Iterator[Wider]:
    """Whoever may read the product may read every source."""
    try:
        both = merge_readers(given.readers | than.readers, scales=scales)
    except BadLabel as error:
        yield Wider("readers", words(label.readers), str(error))
        return
    if both != label.readers:
        yield Wider("readers", words(label.readers), f"at least {words(both)}")


def _embargo(given: Combination, than: Combination) -> Iterator[Wider]:
    """An embargo also holds when nobody at all gets it before."""
    until = than.embargo_until_ms
    if until <= given.not_before_ms:
        return
    if given.embargo_until_ms < until:
        yield Wider("time.embargo_until", words(given.embargo_until_ms), f"not before {instant_text(until)}")
    let_in = named_in(given.to or ()) | given.originators
    if than.open_to is not None and not let_in <= than.open_to:
        found = f"{words(let_in - than.open_to)} would have it before the embargo of a source ends"
        yield Wider("time.not_before", found, f"not before {instant_text(until)}, or only {words(than.open_to)}")


def _audience(release: Release, than: Combination) -> Iterator[Wider]:
    """Whom a source excludes or shows it to only: as far as this release reaches them."""
    named = named_in(release.to)
    group = len(named) < len(release.to)
    let_in = than.except_ - frozenset(release.except_)
    if reached := let_in if group else let_in & (named | frozenset(release.pre_authorised)):
        yield Wider("release.except", words(release.except_), f"all of {words(reached)}")
    kept = than.display_only - frozenset(release.display_only) - frozenset(release.except_)
    if reached := kept if group else kept & named:
        yield Wider("release.display_only", words(release.display_only), f"all of {words(reached)}")
    if release.open_roster and not than.open_roster:
        yield Wider("release.roster", "open", "hidden")


def words(value: Any) -> str:  # Any: the value of any field
    """Return a value for people."""
    for kind, form in _FORMS:
        if isinstance(value, kind):
            return form(value)
    return "none" if value is None else str(value)


def _of_set(values: Iterable[Any]) -> str:
    return ", ".join(sorted(words(value) for value in values)) or "nothing"


def _of_personal_data(data: PersonalData) -> str:
    marks = [name for name in ("special", "pseudonymous") if getattr(data, name)]
    return " ".join(["present", *marks, *(subject.word for subject in data.subjects)]) if data.present else "none"


def _of_rule(rule: ReaderRule) -> str:
    told = {
        "clearance": f"{rule.clearance_scale} {rule.clearance_level}".strip(),
        "all_of": words(rule.all_of) if rule.all_of else "",
        "any_of": " and ".join(" or ".join(group) for group in rule.any_of),
        "named": words(rule.named) if rule.named else "",
    }
    return "; ".join(f"{name} {value}" for name, value in told.items() if value)


def _of_marking(marking: NationalMarking | EquivalentMarking) -> str:
    caveats = getattr(marking, "caveats", ())
    return " ".join([marking.policy_id, marking.classification, *caveats])


def _of_target(target: Target) -> str:
    if target.community is not None:
        return f"community {target.community.id.hex()[:12]} epoch {target.community.epoch}"
    if target.agreement is not None:
        return f"agreement {target.agreement.hex()[:12]}"
    return str(target.partner or "everyone")


_FORMS: tuple[tuple[type | tuple[type, ...], Callable[[Any], str]], ...] = (
    (Vocabulary, lambda value: value.word),
    (bool, lambda value: str(value).lower()),
    (int, lambda value: instant_text(value) if value > 1_000_000_000 else str(value)),
    (bytes, lambda value: value.hex()[:12]),
    ((frozenset, tuple), _of_set),
    (PersonalData, _of_personal_data),
    (ReaderRule, _of_rule),
    ((NationalMarking, EquivalentMarking), _of_marking),
    (Handling, lambda value: value.code),
    (Target, _of_target),
)
"""How values read; the first that fits."""


def _sorted(values: Iterable[Any]) -> tuple[Any, ...]:  # Any: words, names or hashes
    return tuple(sorted(values))


def _ordered(values: Iterable[Any]) -> tuple[Any, ...]:  # Any: markings or instructions
    """A fixed order for values that have none."""
    return tuple(sorted(values, key=repr))


def _bytes(encode: Callable[[Any], bytes], value: Any) -> bytes:  # Any: a label or a release
    try:
        return encode(value)
    except MalformedInput as error:
        raise BadLabel(f"the sources do not fit into one label: {error}") from error
