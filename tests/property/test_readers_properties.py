"""What must hold of reader rules and of their merging, over rules, readers and terms that nobody thought of."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import BadLabel
from exchange.policy.model import ReaderRule, Tlp
from exchange.policy.readers import Reader, ReaderTerms, may_read, merge_readers, narrower, unknown_words

WORDS = ("a", "b", "c", "d")
LEVELS = ("low", "middle", "high")


def subsets(words: tuple[str, ...], *, least: int = 0) -> st.SearchStrategy[tuple[str, ...]]:
    return st.sets(st.sampled_from(words), min_size=least).map(lambda found: tuple(sorted(found)))


def groups() -> st.SearchStrategy[tuple[tuple[str, ...], ...]]:
    return st.sets(subsets(WORDS, least=1), max_size=2).map(lambda found: tuple(sorted(found)))


def clearances() -> st.SearchStrategy[tuple[str, str]]:
    return st.just(("", "")) | st.tuples(st.sampled_from(("s", "t")), st.sampled_from(LEVELS))


@st.composite
def rules(draw: st.DrawFn) -> ReaderRule:
    scale, level = draw(clearances())
    return ReaderRule(scale, level, draw(subsets(WORDS)), draw(groups()), draw(subsets(WORDS)))


@st.composite
def terms(draw: st.DrawFn) -> ReaderTerms:
    scales = draw(st.dictionaries(st.sampled_from(("s", "t")), st.permutations(LEVELS).map(tuple)))
    return ReaderTerms(scales, frozenset(draw(subsets(WORDS))))


@st.composite
def readers(draw: st.DrawFn) -> Reader:
    held = draw(st.dictionaries(st.sampled_from(("s", "t")), st.sampled_from(LEVELS)))
    return Reader(draw(st.sampled_from(WORDS)), held, frozenset(draw(subsets(WORDS))))


def merged(one: ReaderRule | None, other: ReaderRule | None, known: ReaderTerms) -> ReaderRule | None:
    """Merge; None is the bottom: no rule says both."""
    if one is None or other is None:
        return None
    try:
        return narrower(one, other, scales=known.scales)
    except BadLabel:
        return None


@given(rules(), rules(), rules(), terms())
def test_merging_is_commutative_associative_and_idempotent(
    one: ReaderRule, other: ReaderRule, third: ReaderRule, known: ReaderTerms
) -> None:
    assert merged(one, other, known) == merged(other, one, known)
    assert merged(merged(one, other, known), third, known) == merged(one, merged(other, third, known), known)
    assert merged(one, one, known) == (one if one.names_anyone else None)


@given(st.lists(st.tuples(st.sampled_from(Tlp), st.none() | rules()), max_size=3), readers(), terms())
def test_whoever_may_read_the_product_may_read_every_source_and_the_other_way_round(
    sources: list[tuple[Tlp, ReaderRule | None]], reader: Reader, known: ReaderTerms
) -> None:
    try:
        product = merge_readers(sources, scales=known.scales)
    except BadLabel:
        return
    strictest = max((tlp for tlp, _ in sources), default=Tlp.CLEAR)
    reads = may_read(product, tlp=strictest, reader=reader, terms=known).permit
    each = [may_read(rule, tlp=tlp, reader=reader, terms=known).permit for tlp, rule in sources]
    assert reads == all(each)


@given(rules(), readers(), terms(), st.sampled_from(Tlp))
def test_who_is_given_more_reads_no_less_and_fewer_terms_permit_no_more(
    rule: ReaderRule, reader: Reader, known: ReaderTerms, tlp: Tlp
) -> None:
    if may_read(rule, tlp=tlp, reader=reader, terms=known).permit:
        more = replace(reader, attributes=reader.attributes | known.attributes)
        assert may_read(rule, tlp=tlp, reader=more, terms=known).permit
        assert not unknown_words(rule, known)
    else:
        for fewer in (ReaderTerms({}, known.attributes), ReaderTerms(known.scales)):
            assert not may_read(rule, tlp=tlp, reader=reader, terms=fewer).permit


@given(rules(), readers(), terms())
def test_the_light_never_opens_what_a_rule_closes(rule: ReaderRule, reader: Reader, known: ReaderTerms) -> None:
    answers = {may_read(rule, tlp=tlp, reader=reader, terms=known).permit for tlp in Tlp}
    assert len(answers) == 1
