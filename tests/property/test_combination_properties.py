"""What must hold of every combination of labels (docs/spec/policy.md, "Combination"), over worlds nobody thought of."""

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.errors import BadLabel
from exchange.policy.agreement import ref_of
from exchange.policy.combine import Combination, Source, combine, limits_of, meet
from exchange.policy.decide import AgreementInForce, Item, Rules, who_gets
from exchange.policy.decision import Obligations
from exchange.policy.model import Duty, Handling, Label, LegalBasis, Release, Target
from exchange.policy.product import label_of, wider
from tests.support.policy_builders import NOW, XA, XB
from tests.support.policy_worlds import PLACES, easy, labels, reached, releases

BASIS = LegalBasis("mou", "Memorandum of the product")
SALT = bytes(16)


@st.composite
def sources(draw: st.DrawFn) -> Source:
    """Sources with every kind of field, own ones and received ones."""
    label = draw(labels())
    label = replace(
        label,
        notify_affected=draw(st.sampled_from(Duty)),
        attribution=draw(st.sampled_from(Duty)),
        resale=draw(st.sampled_from([Duty.MUST_NOT, Duty.MAY])),
        handling=draw(st.sampled_from([(), (Handling("A", "a"),), (Handling("B", "b"), Handling("A", "a"))])),
        root_sources=draw(st.sampled_from([(), (bytes(32),)])),
        review_on_ms=draw(st.sampled_from([0, NOW, NOW + 5])),
    )
    return Source(label, draw(st.none() | releases()))


def limits(source: Source) -> Combination:
    return limits_of(source.label, source.release)


@given(sources(), sources(), sources())
def test_combining_is_commutative_associative_and_idempotent(one: Source, two: Source, three: Source) -> None:
    """Invariant 7: merge is commutative, associative, idempotent."""
    a, b, c = limits(one), limits(two), limits(three)
    assert meet(a, a) == a
    assert meet(a, b) == meet(b, a)
    assert meet(meet(a, b), c) == meet(a, meet(b, c))
    assert combine([one, two, three]) == combine([three, one, two, one])


@given(labels(), releases())
def test_a_label_combined_with_itself_says_the_same(label: Label, release: Release) -> None:
    once = Source(label, release)
    found, audience = label_of(combine([once, once]))
    assert replace(found, salt=SALT, release_sha256=bytes(32)) == label
    assert replace(audience, display_only=release.display_only, salt=SALT) == release
    assert set(audience.display_only) <= set(release.display_only)


@given(sources(), sources())
def test_what_a_combination_says_is_not_wider_than_its_sources(one: Source, two: Source) -> None:
    both = combine([one, two])
    try:
        label, release = label_of(both, basis=BASIS)
    except BadLabel:
        return
    assert wider(label, release, than=both) == ()
    assert wider(label, release, than=combine([one])) == ()


@given(sources(), sources())
def test_a_label_that_is_not_wider_combines_into_itself(one: Source, two: Source) -> None:
    if one.release is None or wider(one.label, one.release, than=combine([two])):
        return
    label, release = label_of(combine([one, two]), basis=one.label.basis)
    assert wider(label, release, than=combine([one])) == ()
    assert wider(one.label, one.release, than=limits_of(label, release)) == ()


def duties(label: Label, release: Release, rules: Rules) -> dict[str, Obligations]:
    found = who_gets(Item.to_send(label, release), sender=XA, rules=rules, now_ms=NOW)
    return {party: decision.obligations for party, decision in found if decision.obligations}


VARIED = ("tlp", "categories", "purposes", "about", "use_in", "personal_data", "embargo_until_ms", "onward", "readers")
"""What decides; two sources differ in a few of them, or nothing would be left to send."""


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Source, Source, Rules]:
    """Two sources of XA that differ in some fields, in a world where most reports reach somebody."""
    label, release, rules = draw(easy())
    label = replace(label, originators=draw(st.sampled_from([(XA,), (XA,), (XA,), (XA, XB)])))
    release = replace(release, to=draw(st.sampled_from([release.to, (Target(everyone=True),)])))
    other = draw(labels())
    changed = {name: getattr(other, name) for name in draw(st.sets(st.sampled_from(VARIED), max_size=3))}
    if "onward" in changed:
        changed["max_hops"] = other.max_hops
    if place := draw(st.sampled_from(["", *PLACES])):
        rules = about_only(rules, place)
        label = replace(label, about=draw(st.sampled_from([(), (place,)])))
        changed["about"] = draw(st.sampled_from([(), (place,)]))
    audience = draw(st.sampled_from([release, replace(release, to=(Target(partner=XB),)), draw(releases())]))
    return Source(label, release), Source(replace(label, **changed), audience), rules


def about_only(rules: Rules, place: str) -> Rules:
    """The same rules for reports about one place."""
    limited = []
    for found in rules.agreements.values():
        view = replace(
            found.view, terms=tuple(replace(term, about_any=False, about=(place,)) for term in found.view.terms)
        )
        limited.append(AgreementInForce(ref_of(view), view, found.status))
    return Rules.of(rules.exchange, limited, rules.standings)


@settings(max_examples=100)
@given(pairs())
def test_a_combination_reaches_only_whom_every_source_reaches(pair: tuple[Source, Source, Rules]) -> None:
    """Invariants 2 and 7: what is merged is no wider than any part, in whom it reaches and what they may do."""
    one, other, rules = pair
    try:
        both, to = label_of(combine([one, other]), basis=BASIS)
    except BadLabel:
        return
    combined = duties(both, to, rules)
    for part in (one, other):
        assert part.release is not None
        assert reached(both, to, rules) <= reached(part.label, part.release, rules)
        for party, theirs in combined.items():
            assert_no_wider(theirs, part.label)
            assert theirs.display_only >= (party in part.release.display_only)


def assert_no_wider(duty: Obligations, part: Label) -> None:
    assert set(duty.purposes) <= set(part.purposes)
    assert not part.use_in or set(duty.use_in) <= set(part.use_in)
    assert duty.use_in or not part.use_in
    assert duty.actions <= part.actions
    assert duty.evidence_use <= part.evidence_use
    assert duty.onward <= part.onward
    assert duty.max_hops <= part.max_hops
    assert duty.orcon >= part.orcon
    assert duty.resale <= part.resale
    assert part.notify_affected in (Duty.MAY, duty.notify_affected)
    assert part.attribution in (Duty.MAY, duty.attribution)
    assert not part.retention_days or 0 < duty.retention_days <= part.retention_days
    assert not part.expires_ms or duty.purge_at_ms or duty.ask_at_ms
    assert set(part.handling) <= set(duty.handling)


def test_combinations_reach_somebody_and_not_everybody() -> None:
    """The strategies above must make both, or the properties hold of nothing; always the same pairs, so not by luck."""
    outcomes: Counter[bool] = Counter()

    @settings(max_examples=200, derandomize=True)
    @given(pairs())
    def collect(pair: tuple[Source, Source, Rules]) -> None:
        one, other, rules = pair
        try:
            both, to = label_of(combine([one, other]), basis=BASIS)
        except BadLabel:
            return
        outcomes[bool(reached(both, to, rules))] += 1

    collect()
    assert outcomes[True] >= 5, outcomes
    assert outcomes[False] >= 5, outcomes
