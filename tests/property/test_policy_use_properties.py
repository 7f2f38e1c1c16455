"""Of every use: a stricter obligation never allows more, and a wider use is never easier."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exchange.policy.decision import Obligations
from exchange.policy.model import Actions, EvidenceUse, Purpose
from exchange.policy.use import Use, may_use
from tests.support.policy_builders import NOW, the_obligations

PURPOSES = tuple(Purpose)
PLACES = ("ML", "PK", "NE")
TIMES = st.sampled_from([0, NOW - 1, NOW, NOW + 1])
FLAGS = {"withdrawn": st.booleans()}


def subset(values: tuple[Any, ...]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.sets(st.sampled_from(values)).map(lambda found: tuple(sorted(found)))


@st.composite
def held(draw: st.DrawFn) -> Obligations:
    return the_obligations(
        purposes=draw(subset(PURPOSES)),
        use_in=draw(subset(PLACES)),
        actions=draw(st.sampled_from(Actions)),
        evidence_use=draw(st.sampled_from(EvidenceUse)),
        display_only=draw(st.booleans()),
        nobody_may_read=draw(st.booleans()),
        purge_at_ms=draw(TIMES),
        embargo_until_ms=draw(TIMES),
    )


uses = st.builds(
    Use, st.sampled_from(Actions), st.sampled_from(Purpose), st.sampled_from(["", *PLACES]), as_evidence=st.booleans()
)


@st.composite
def stricter(draw: st.DrawFn) -> tuple[Obligations, Obligations]:
    """Obligations, and some that are stricter in one field."""
    given_ = draw(held())
    fewer = tuple(place for place in given_.use_in if draw(st.booleans()))
    change: dict[str, Any] = draw(
        st.sampled_from(
            [
                {"purposes": tuple(purpose for purpose in given_.purposes if draw(st.booleans()))},
                {"use_in": fewer or given_.use_in or ("PK",)},
                {"actions": Actions(draw(st.integers(1, given_.actions)))},
                {"evidence_use": EvidenceUse(draw(st.integers(1, given_.evidence_use)))},
                {"display_only": True},
                {"nobody_may_read": True},
                {"purge_at_ms": min(given_.purge_at_ms or NOW, NOW)},
                {"embargo_until_ms": max(given_.embargo_until_ms, draw(TIMES))},
            ]
        )
    )
    return given_, replace(given_, **change)


@given(stricter(), uses, st.fixed_dictionaries(FLAGS))
def test_stricter_obligations_never_allow_more(
    pair: tuple[Obligations, Obligations], use: Use, how: dict[str, bool]
) -> None:
    given_, strict = pair
    if not may_use(strict, use, now_ms=NOW, **how):
        assert not may_use(given_, use, now_ms=NOW, **how)


@given(held(), uses, st.fixed_dictionaries(FLAGS))
def test_a_wider_use_is_never_easier(obligations: Obligations, use: Use, how: dict[str, bool]) -> None:
    wider = [replace(use, action=action) for action in Actions if action > use.action]
    if not use.as_evidence:
        wider.append(replace(use, as_evidence=True))
    if may_use(obligations, use, now_ms=NOW, **how):
        assert all(may_use(obligations, each, now_ms=NOW, **how) for each in wider)


@given(held(), uses, st.fixed_dictionaries(FLAGS))
def test_what_is_withdrawn_or_may_only_be_shown_is_never_handed_out(
    obligations: Obligations, use: Use, how: dict[str, bool]
) -> None:
    if how["withdrawn"] or obligations.display_only or obligations.nobody_may_read:
        assert may_use(obligations, use, now_ms=NOW, **how)


@given(held(), uses, st.integers(0, 3))
def test_equal_inputs_are_judged_equally(obligations: Obligations, use: Use, later: int) -> None:
    first = may_use(obligations, use, now_ms=NOW + later)
    assert first == may_use(obligations, use, now_ms=NOW + later)
