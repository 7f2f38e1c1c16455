"""Sensors: tokens, scopes and rates."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from exchange.crypto.random import token
from exchange.errors import BadInput, Conflict, NotAuthenticated, NotFound, PolicyDenied, RateLimited
from exchange.names import PartyId
from exchange.policy.model import Category, Tlp
from exchange.runtime.clock import now_ms
from exchange.runtime.database import Database
from nodes.author import Desk, author
from nodes.sensors import PER_HOUR_MAX, Scope, Sensors, permit
from nodes.store.columns import metadata
from tests.support.reports import LABEL, a_report

DAY_MS = 86_400_000
DESK = Desk(PartyId("XA"), frozenset(PartyId(party) for party in ("XA", "XV", "XO")), {})


def a_scope(**changes: object) -> Scope:
    scope = Scope("feed", (Category.SITE_THREAT,), Tlp.AMBER, 3, LABEL, now_ms() + DAY_MS)
    return replace(scope, **changes)  # type: ignore[arg-type]  # keywords of Scope


@pytest.fixture
def sensors(tmp_path: Path) -> Iterator[Sensors]:
    with Database(f"sqlite:///{tmp_path / 'node.db'}") as database:
        database.write_now(metadata.create_all)
        yield Sensors(database)


def test_a_token_admits_its_sensor_with_its_scope(sensors: Sensors) -> None:
    secret = asyncio.run(sensors.add(a_scope()))
    scope = asyncio.run(sensors.admit(secret))
    assert (scope.categories, scope.ceiling, scope.default_label) == ((Category.SITE_THREAT,), Tlp.AMBER, LABEL)


def test_the_token_is_not_kept(sensors: Sensors, tmp_path: Path) -> None:
    secret = asyncio.run(sensors.add(a_scope()))
    for path in tmp_path.iterdir():
        assert secret.encode() not in path.read_bytes()


def test_unknown_and_revoked_tokens_get_the_same_answer(sensors: Sensors) -> None:
    secret = asyncio.run(sensors.add(a_scope()))
    asyncio.run(sensors.revoke("feed"))
    answers = []
    for presented in (secret, token(), ""):
        with pytest.raises(NotAuthenticated) as caught:
            asyncio.run(sensors.admit(presented))
        answers.append(str(caught.value))
    assert len(set(answers)) == 1


def test_an_active_name_is_taken_and_a_revoked_one_is_free(sensors: Sensors) -> None:
    asyncio.run(sensors.add(a_scope()))
    with pytest.raises(Conflict):
        asyncio.run(sensors.add(a_scope()))
    asyncio.run(sensors.revoke("feed"))
    asyncio.run(sensors.add(a_scope()))
    assert [sensor.status for sensor in asyncio.run(sensors.list())] == ["active"]


def test_revoking_nobody_says_so(sensors: Sensors) -> None:
    with pytest.raises(NotFound):
        asyncio.run(sensors.revoke("nobody"))


@pytest.mark.parametrize(
    "changes",
    [
        {"categories": ()},
        {"per_hour": 0},
        {"per_hour": PER_HOUR_MAX + 1},
        {"name": "Feed One"},
        {"until_ms": 1},
        {"until_ms": 4_000_000_000_000},
    ],
)
def test_a_scope_that_makes_no_sense_is_refused(sensors: Sensors, changes: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        asyncio.run(sensors.add(a_scope(**changes)))


def test_the_rate_is_a_ceiling(sensors: Sensors) -> None:
    scope = a_scope()
    for _ in range(3):
        sensors.spend(scope)
    with pytest.raises(RateLimited) as caught:
        sensors.spend(scope)
    assert caught.value.hint.startswith("wait ")


def test_pushes_are_counted(sensors: Sensors) -> None:
    asyncio.run(sensors.add(a_scope()))
    for accepted in (True, True, False):
        asyncio.run(sensors.count(a_scope(), accepted=accepted))
    (sensor,) = asyncio.run(sensors.list())
    assert (sensor.pushed, sensor.refused) == (2, 1)
    assert sensor.last_ms > 0


@pytest.mark.parametrize(
    "scope, refused",
    [
        (a_scope(), False),
        (a_scope(ceiling=Tlp.RED), False),
        (a_scope(ceiling=Tlp.GREEN), True),
        (a_scope(categories=(Category.ALERT,)), True),
    ],
)
def test_a_label_outside_the_scope_is_refused_whole(scope: Scope, refused: bool) -> None:
    label = author(a_report(), LABEL, desk=DESK, now_ms=now_ms()).label
    if not refused:
        permit(scope, label)
        return
    with pytest.raises(PolicyDenied):
        permit(scope, label)
