"""What an originator's node answers by itself: every row of the table in docs/spec/policy.md, "What the nodes do"."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.consent.model import ConsentRequest
from exchange.names import ExchangeName
from exchange.policy.model import OnwardRule, Purpose, Tlp
from nodes.clearance import CLEARED_AGAIN, Own, Ruling, Verdict, rule
from tests.support.policy_builders import DAY, NOW, XA, XB, XC, XD, a_label, a_release, a_term

GRANT, REFUSE, ASK = Verdict.GRANT, Verdict.REFUSE, Verdict.ASK
ITEM = bytes([5]) * 32


def a_request(**differs: Any) -> ConsentRequest:
    """XB asks XA to pass ITEM on to XC."""
    usual = ConsentRequest(
        exchange=ExchangeName("test.concord.example"),
        item_hash=ITEM,
        asker=XB,
        to=(XC,),
        purposes=(Purpose.PROTECT_LIFE,),
        until_ms=NOW + DAY,
        reason="",
        at_ms=NOW - 1,
        salt=bytes(16),
    )
    return replace(usual, **differs)


def an_own(**differs: Any) -> Own:
    """ITEM as XA sent it to XB: nobody is cleared in advance."""
    usual = Own(
        item=ITEM,
        label=a_label(),
        release=a_release(XB),
        depth=0,
        term=a_term(onward_default=OnwardRule.CONSENT),
        withdrawn=False,
    )
    return replace(usual, **differs)


def ruled(*owns: Own, admitted: bool = True, **differs: Any) -> Ruling:
    return rule(a_request(**differs), XC, owns, me=XA, admitted=admitted, now_ms=NOW)


GREEN: dict[str, Any] = {"onward": OnwardRule.COMMUNITY, "tlp": Tlp.GREEN}
WITHIN = a_term(onward_default=OnwardRule.COMMUNITY)


CLEARED = {
    "pre-authorised": an_own(release=a_release(XB, pre_authorised=(XC,))),
    "pre-authorised, two hops": an_own(release=a_release(XB, pre_authorised=(XC,)), depth=1, label=a_label(max_hops=2)),
    "pre-cleared": an_own(term=a_term(pre_cleared=(XC,))),
    "free": an_own(label=a_label(onward=OnwardRule.FREE), term=a_term(onward_default=OnwardRule.FREE)),
    "a fellow member": an_own(label=a_label(**GREEN), term=WITHIN, fellows=frozenset({XC})),
    "a fellow member, free by the label": an_own(
        label=a_label(onward=OnwardRule.FREE), term=WITHIN, fellows=frozenset({XC})
    ),
    "a fellow member, after the embargo": an_own(
        label=a_label(**GREEN, embargo_until_ms=NOW), term=WITHIN, fellows=frozenset({XC})
    ),
}


@pytest.mark.parametrize("own", CLEARED.values(), ids=CLEARED)
def test_what_was_consented_to_in_advance_is_granted(own: Own) -> None:
    ruling = ruled(own)
    assert ruling.verdict is GRANT
    assert own.depth is not None
    assert (ruling.purposes, ruling.until_ms, ruling.hop) == ((Purpose.PROTECT_LIFE,), NOW + DAY, own.depth + 1)


@pytest.mark.parametrize("own", CLEARED.values(), ids=CLEARED)
def test_under_originator_control_a_person_answers(own: Own) -> None:
    assert own.label is not None
    assert ruled(replace(own, label=replace(own.label, orcon=True))).verdict is ASK


@pytest.mark.parametrize("own", CLEARED.values(), ids=CLEARED)
def test_who_asks_for_the_same_again_and_again_meets_a_person(own: Own) -> None:
    assert ruled(replace(own, granted=CLEARED_AGAIN)).verdict is ASK


NOT_CLEARED = {
    "nobody in advance": an_own(),
    "another is pre-authorised": an_own(release=a_release(XB, pre_authorised=(XD,))),
    "another is pre-cleared": an_own(term=a_term(pre_cleared=(XD,), onward_default=OnwardRule.CONSENT)),
    "pre-cleared by an agreement that has ended": an_own(term=None),
    "pre-cleared, but not by this party's own term": an_own(
        term=a_term(pre_cleared=(XC,)), depth=1, label=a_label(max_hops=2)
    ),
    "free by the label alone": an_own(label=a_label(onward=OnwardRule.FREE)),
    "free by the agreement alone": an_own(term=a_term(onward_default=OnwardRule.FREE)),
    "no fellow member": an_own(label=a_label(**GREEN), term=WITHIN, fellows=frozenset({XD})),
    "within the community by the label alone": an_own(label=a_label(**GREEN), fellows=frozenset({XC})),
    "within the community by the agreement alone": an_own(term=WITHIN, fellows=frozenset({XC})),
    "a fellow member under an ended agreement": an_own(label=a_label(**GREEN), term=None, fellows=frozenset({XC})),
    "a fellow member of who has it from another": an_own(
        label=a_label(**GREEN, max_hops=2), term=WITHIN, fellows=frozenset({XC}), depth=1
    ),
    "a fellow member, under embargo": an_own(
        label=a_label(**GREEN, embargo_until_ms=NOW + 1), term=WITHIN, fellows=frozenset({XC})
    ),
}


@pytest.mark.parametrize("own", NOT_CLEARED.values(), ids=NOT_CLEARED)
def test_everything_else_waits_for_a_person(own: Own) -> None:
    assert ruled(own).verdict is ASK


def test_the_originator_itself_needs_no_ones_leave() -> None:
    request = a_request(to=(XA,))
    assert rule(request, XA, [an_own()], me=XA, admitted=True, now_ms=NOW).verdict is GRANT


HARD: dict[str, tuple[Own, str]] = {
    "withdrawn": (an_own(withdrawn=True), "withdrawn"),
    "destroyed": (an_own(label=None), "withdrawn"),
    "replaced": (an_own(replaced=True), "later version"),
    "onward none": (an_own(label=a_label(onward=OnwardRule.NONE, max_hops=0)), "lets nobody"),
    "too far": (an_own(depth=1), "1 times at most"),
    "too far for the term": (
        an_own(depth=1, label=a_label(max_hops=3), term=a_term(onward_hops=1)),
        "1 times at most",
    ),
    "no purpose": (an_own(label=a_label(purposes=(Purpose.TRAINING,))), "purpose"),
    "expired": (an_own(label=a_label(expires_ms=NOW)), "time"),
}


@pytest.mark.parametrize(("own", "words"), HARD.values(), ids=HARD)
def test_what_nobody_can_consent_to_is_refused_with_the_reason(own: Own, words: str) -> None:
    ruling = ruled(replace(own, release=a_release(XB, pre_authorised=(XC,))))
    assert ruling.verdict is REFUSE
    assert words in ruling.told


def test_who_is_no_partner_is_refused() -> None:
    assert ruled(CLEARED["pre-authorised"], admitted=False).verdict is REFUSE


SILENT = {
    "unknown": (),
    "never sent": (an_own(depth=None, release=a_release(XB, pre_authorised=(XC,))),),
    "excluded": (an_own(release=a_release(XB, except_=(XC,), pre_authorised=(XC,))),),
    "one of two never sent": (CLEARED["free"], an_own(item=bytes(32), depth=None)),
}


@pytest.mark.parametrize("owns", SILENT.values(), ids=SILENT)
def test_what_is_unknown_never_sent_or_excluded_is_refused_alike(owns: tuple[Own, ...]) -> None:
    ruling = ruled(*owns)
    assert (ruling.verdict, ruling.told, ruling.purposes, ruling.until_ms, ruling.hop) == (REFUSE, "", (), 0, 0)
    assert ruling.why


def test_of_several_items_that_went_in_all_must_allow_it() -> None:
    free, cleared = CLEARED["free"], replace(CLEARED["pre-authorised"], item=bytes(32))
    assert ruled(free, cleared).verdict is GRANT
    assert ruled(free, an_own(item=bytes(32))).verdict is ASK
    assert ruled(free, an_own(item=bytes(32), withdrawn=True)).verdict is REFUSE
    deep = replace(cleared, depth=1, label=a_label(max_hops=2))
    assert ruled(replace(free, label=a_label(onward=OnwardRule.FREE, max_hops=2)), deep).hop == 2


def test_a_grant_ends_with_the_report() -> None:
    own = replace(CLEARED["pre-authorised"], label=a_label(expires_ms=NOW + 5))
    assert ruled(own).until_ms == NOW + 5


ORDER = {REFUSE: 0, ASK: 1, GRANT: 2}
STRICTER: list[dict[str, Any]] = [
    {"withdrawn": True},
    {"replaced": True},
    {"depth": None},
    {"label": None},
    {"term": None},
    {"granted": CLEARED_AGAIN},
    {"fellows": frozenset()},
]
OWNS = st.builds(
    an_own,
    label=st.builds(a_label, onward=st.sampled_from(OnwardRule), max_hops=st.sampled_from([1, 2]), orcon=st.booleans()),
    release=st.sampled_from([a_release(XB), a_release(XB, pre_authorised=(XC,)), a_release(XB, except_=(XC,)), None]),
    depth=st.sampled_from([0, 0, 1, None]),
    term=st.sampled_from([None, a_term(pre_cleared=(XC,)), a_term(onward_default=OnwardRule.FREE), a_term(), WITHIN]),
    fellows=st.sampled_from([frozenset(), frozenset({XC})]),
)


@settings(max_examples=200)
@given(st.lists(OWNS, min_size=1, max_size=2), st.sampled_from(STRICTER))
def test_no_restriction_makes_an_answer_more_generous(owns: list[Own], change: dict[str, Any]) -> None:
    before = ruled(*owns)
    after = ruled(replace(owns[0], **change), *owns[1:])
    assert ORDER[after.verdict] <= ORDER[before.verdict]
    assert ORDER[ruled(*owns, an_own()).verdict] <= ORDER[before.verdict]


@settings(max_examples=100)
@given(st.lists(OWNS, min_size=1, max_size=2))
def test_who_is_excluded_is_granted_nothing(owns: list[Own]) -> None:
    ruling = ruled(*owns)
    if any(own.release is not None and XC in own.release.except_ for own in owns):
        assert ruling.verdict is REFUSE
    if ruling.verdict is GRANT:
        assert all(own.label is not None and not own.label.orcon for own in owns)
