"""What may be done with a report that is held: every obstacle is found, alone and with the others."""

from typing import Any

import pytest

from exchange.policy.model import Actions, EvidenceUse, Purpose
from exchange.policy.use import Obstacle, Use, may_use
from tests.support.policy_builders import NOW, the_obligations

USUAL = Use(Actions.INTERNAL_ONLY, Purpose.PROTECT_LIFE)


def codes(use: Use = USUAL, *, obligations: dict[str, Any] | None = None, **how: Any) -> list[Obstacle]:
    found = may_use(the_obligations(**obligations or {}), use, now_ms=NOW, **how)
    assert all(each.text for each in found)
    return [each.code for each in found]


def test_a_use_within_the_obligations_is_permitted() -> None:
    assert codes() == []


@pytest.mark.parametrize(
    "obligations, use, how, expected",
    [
        ({}, USUAL, {"withdrawn": True}, Obstacle.USE_WITHDRAWN),
        ({"purge_at_ms": NOW}, USUAL, {}, Obstacle.USE_TIME_IS_OVER),
        ({"display_only": True}, USUAL, {}, Obstacle.USE_DISPLAY_ONLY),
        ({"nobody_may_read": True}, USUAL, {}, Obstacle.USE_NOBODY_MAY_READ),
        ({"embargo_until_ms": NOW + 1}, USUAL, {}, Obstacle.USE_EMBARGOED),
        ({}, Use(Actions.INTERNAL_ONLY, Purpose.STATISTICS), {}, Obstacle.USE_PURPOSE_NOT_PERMITTED),
        ({"purposes": ()}, USUAL, {}, Obstacle.USE_PURPOSE_NOT_PERMITTED),
        ({}, Use(Actions.EXTERNAL_PASSIVE, Purpose.PROTECT_LIFE), {}, Obstacle.USE_ACTION_NOT_PERMITTED),
        ({"actions": Actions.NONE}, USUAL, {}, Obstacle.USE_ACTION_NOT_PERMITTED),
        ({"use_in": ("PK",)}, USUAL, {}, Obstacle.USE_PLACE_NOT_SAID),
        (
            {"use_in": ("PK",)},
            Use(Actions.INTERNAL_ONLY, Purpose.PROTECT_LIFE, "ML"),
            {},
            Obstacle.USE_PLACE_NOT_PERMITTED,
        ),
        (
            {},
            Use(Actions.INTERNAL_ONLY, Purpose.PROTECT_LIFE, as_evidence=True),
            {},
            Obstacle.USE_EVIDENCE_NOT_PERMITTED,
        ),
        (
            {"evidence_use": EvidenceUse.WITH_CONSENT},
            Use(Actions.INTERNAL_ONLY, Purpose.PROTECT_LIFE, as_evidence=True),
            {},
            Obstacle.USE_EVIDENCE_NEEDS_CONSENT,
        ),
    ],
)
def test_each_obstacle_alone_refuses(
    obligations: dict[str, Any], use: Use, how: dict[str, Any], expected: Obstacle
) -> None:
    assert codes(use, obligations=obligations, **how) == [expected]


def test_every_obstacle_has_a_case_above() -> None:
    marks = test_each_obstacle_alone_refuses.pytestmark
    assert {case[-1] for case in marks[0].args[1]} == set(Obstacle)


def test_a_refusal_names_everything_that_is_wrong() -> None:
    use = Use(Actions.EXTERNAL_ACTIVE, Purpose.STATISTICS, as_evidence=True)
    found = codes(use, obligations={"display_only": True, "use_in": ("PK",), "embargo_until_ms": NOW + 1})
    assert found == [
        Obstacle.USE_DISPLAY_ONLY,
        Obstacle.USE_EMBARGOED,
        Obstacle.USE_PURPOSE_NOT_PERMITTED,
        Obstacle.USE_ACTION_NOT_PERMITTED,
        Obstacle.USE_PLACE_NOT_SAID,
        Obstacle.USE_EVIDENCE_NOT_PERMITTED,
    ]


def test_evidence_needs_a_label_and_a_term_that_say_yes() -> None:
    use = Use(Actions.INTERNAL_ONLY, Purpose.PROTECT_LIFE, as_evidence=True)
    assert codes(use, obligations={"evidence_use": EvidenceUse.YES}) == []


def test_an_embargo_ends_at_its_moment_and_a_report_whose_time_is_over_stays_in() -> None:
    assert codes(obligations={"embargo_until_ms": NOW}) == []
    assert codes(obligations={"purge_at_ms": NOW + 1}) == []
