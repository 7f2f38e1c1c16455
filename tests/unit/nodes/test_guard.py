"""What is unusual about a release, and that nothing unusual goes unless a person has confirmed just that."""

from collections.abc import Sequence

import pytest

from exchange.errors import BadInput, NeedsConfirmation, PolicyDenied
from exchange.names import PartyId
from exchange.policy.model import Release, Target, Tlp
from nodes.config import ReleaseRules
from nodes.guard import PAST_LEAST, History, Past, Unusual, check_confirmed, look, look_onward
from nodes.sensors import permit_audience
from tests.support.policy_builders import a_label, a_release
from tests.unit.nodes.test_sensors import a_scope

KNOWN = [PartyId(f"X{letter}") for letter in "BCDEFG"]
TWO = Past(int(Tlp.AMBER), 2)


def codes(
    recipients: Sequence[PartyId],
    *,
    tlp: Tlp = Tlp.AMBER,
    release: Release | None = None,
    reached: Sequence[PartyId] = KNOWN,
    recent: Sequence[Past] = (),
    wide: int = 20,
) -> list[Unusual]:
    history = History(reached, recent)
    hints = look(a_label(tlp=tlp), release or a_release(), recipients, history, wide_audience=wide)
    return [hint.code for hint in hints]


def test_the_usual_release_is_not_asked_about() -> None:
    assert codes(KNOWN[:2]) == []
    assert codes(KNOWN[:2], recent=[TWO] * 50) == []
    assert codes([], reached=[]) == [], "what reaches nobody surprises nobody"


def test_a_partner_that_never_got_anything_is_named() -> None:
    assert codes(KNOWN[:3], reached=KNOWN[:2]) == [Unusual.FIRST_TIME_TO_PARTNER]
    (hint,) = look(a_label(), a_release(), KNOWN[:3], History(KNOWN[:2], ()), wide_audience=20)
    assert hint.text == f"nothing was ever sent to {KNOWN[2]}"
    (hint,) = look(
        a_label(), a_release(), [*KNOWN, *(PartyId(f"Y{c}") for c in "ABCDEF")], History((), ()), wide_audience=20
    )
    assert hint.text.endswith("and 4 others")


def test_more_recipients_than_ever_or_than_the_limit_are_unusual() -> None:
    assert codes(KNOWN[:3], recent=[TWO] * PAST_LEAST) == [Unusual.WIDE_AUDIENCE]
    assert codes(KNOWN[:2], recent=[TWO] * PAST_LEAST) == []
    assert codes(KNOWN[:3], recent=[TWO] * (PAST_LEAST - 1)) == [], "a few are no measure"
    assert codes(KNOWN[:3], wide=2) == [Unusual.WIDE_AUDIENCE]


def test_everyone_and_a_weaker_label_than_ever_are_unusual() -> None:
    everyone = a_release(to=(Target(everyone=True),))
    assert codes(KNOWN[:1], release=everyone) == [Unusual.EVERYONE]
    assert codes(KNOWN[:1], tlp=Tlp.GREEN, recent=[TWO] * PAST_LEAST) == [Unusual.WEAKER_LABEL]
    mixed = [*([TWO] * PAST_LEAST), Past(int(Tlp.GREEN), 1)]
    assert codes(KNOWN[:1], tlp=Tlp.GREEN, recent=mixed) == []


def test_each_code_must_be_confirmed_and_no_other_exists() -> None:
    everyone = a_release(to=(Target(everyone=True),))
    hints = look(a_label(), everyone, KNOWN[:1], History((), ()), wide_audience=20)
    first, all_ = f"FIRST_TIME_TO_PARTNER:{KNOWN[0]}", f"EVERYONE:{KNOWN[0]}"
    check_confirmed(hints, [all_, first])
    for given, missing in (([], first), ([first], all_), ([first, "EVERYONE"], all_), ([first, f"{all_},XO"], all_)):
        with pytest.raises(NeedsConfirmation, match=missing.partition(":")[0]) as caught:
            check_confirmed(hints, given)
        assert f"--accept {missing}" in caught.value.hint
    with pytest.raises(BadInput):
        check_confirmed([], ["EVERYBODY:XB"])


def test_a_long_audience_is_confirmed_by_its_number_and_digest_and_no_other_audience_has_it() -> None:
    many = [PartyId(f"Y{letter}") for letter in "ABCDEFGHIJ"]
    (hint,) = look(a_label(), a_release(), many, History((), ()), wide_audience=20)
    assert hint.accept.startswith("FIRST_TIME_TO_PARTNER:10:") and len(hint.accept) < 50
    check_confirmed([hint], [hint.accept])
    (other,) = look(a_label(), a_release(), [*many[1:], PartyId("ZZ")], History((), ()), wide_audience=20)
    with pytest.raises(NeedsConfirmation, match="for other partners"):
        check_confirmed([other], [hint.accept])


def test_to_pass_something_on_is_unusual_to_a_new_partner_and_when_more_then_have_it_than_ever() -> None:
    known = History(KNOWN[:2], [TWO] * PAST_LEAST)
    assert look_onward(KNOWN[:1], KNOWN[:2], known, wide_audience=20) == []
    hints = look_onward(KNOWN[2:3], KNOWN[:3], known, wide_audience=20)
    assert [(hint.code, hint.partners) for hint in hints] == [
        (Unusual.FIRST_TIME_TO_PARTNER, tuple(KNOWN[2:3])),
        (Unusual.WIDE_AUDIENCE, tuple(KNOWN[:3])),
    ]


def test_a_sensor_reaches_as_many_as_its_scope_says_and_else_as_many_as_are_usual() -> None:
    permit_audience(a_scope(), KNOWN[:2], 2)
    permit_audience(a_scope(recipients_most=3), KNOWN[:3], 2)
    for scope, count in ((a_scope(), 3), (a_scope(recipients_most=1), 2)):
        with pytest.raises(PolicyDenied):
            permit_audience(scope, KNOWN[:count], 2)


def test_the_nodes_rule_names_traffic_lights_and_sound_numbers() -> None:
    assert ReleaseRules(approvals={"red": 2, "amber+strict": 1}).approvals_by_tlp() == {Tlp.RED: 2, Tlp.AMBER_STRICT: 1}
    for wrong in ({"rot": 1}, {"red": 17}, {"red": -1}):
        with pytest.raises(BadInput):
            ReleaseRules(approvals=wrong)
