"""Permits to back up and to restore: two different operators, for exactly this, in time; one person is never two."""

from dataclasses import replace

import pytest

from exchange.errors import BadInput, BadSignature, MalformedInput, NotAllowed
from exchange.policy.model import Tlp
from exchange.runtime.armour import read_armour, write_armour
from nodes.operators import Operator, Profile
from nodes.permits import DAY_MS, DAYS_MOST, Act, Permit, node_subject, read_permit, two_of, who_may, write_permit
from nodes.roles import Role
from tests.support.operators import key_of

NOW = 1_760_000_000_000
XV = node_subject("demo.concord.example", "XV")


def an_operator(name: str, *roles: Role, status: str = "active") -> Operator:
    profile = Profile(name, key_of(name).public, frozenset(roles), Tlp.RED, NOW + DAY_MS)
    return Operator(profile, bytes(16), status, NOW - DAY_MS, "owner", 0)


PEOPLE = (
    an_operator("root", Role.ADMINISTRATOR),
    an_operator("sami", Role.SECURITY_OFFICER),
    an_operator("ada", Role.AUTHOR),
    an_operator("gone", Role.ADMINISTRATOR, status="revoked"),
)


def a_permit(name: str, act: Act = Act.BACKUP, subject: str = XV, *, now_ms: int = NOW, days: int = 1) -> Permit:
    return read_permit(write_permit(act, subject, key_of(name), now_ms=now_ms, days=days))


def two(*permits: Permit, now_ms: int = NOW) -> tuple[str, ...]:
    return two_of(permits, PEOPLE, act=Act.BACKUP, subject=XV, now_ms=now_ms)


def test_two_operators_permit_together_what_neither_may_do_alone() -> None:
    assert two(a_permit("root"), a_permit("sami")) == ("root", "sami")
    for alone in ((), (a_permit("root"),), (a_permit("root"), a_permit("root", days=2))):
        with pytest.raises(NotAllowed, match="takes two") as caught:
            two(*alone)
        assert "two of root, sami" in caught.value.hint and "permit-backup" in caught.value.hint


def test_who_may_permit_can_be_told() -> None:
    assert who_may(PEOPLE) == ["root", "sami"]


def test_a_node_that_never_had_operators_asks_nobody() -> None:
    assert two_of((), (), act=Act.RESTORE, subject="00", now_ms=NOW) == ()
    # Where all are gone, there were operators: nobody may.
    with pytest.raises(NotAllowed):
        two_of((), PEOPLE[3:], act=Act.RESTORE, subject="00", now_ms=NOW)


@pytest.mark.parametrize("name", ["ada", "gone", "stranger"])
def test_who_holds_no_such_role_or_is_revoked_or_unknown_permits_nothing(name: str) -> None:
    with pytest.raises(NotAllowed, match="nobody who may"):
        two(a_permit("root"), a_permit(name))


def test_a_permit_is_for_one_act_on_one_thing_and_ends() -> None:
    first = a_permit("root")
    for other in (a_permit("sami", Act.RESTORE), a_permit("sami", subject=node_subject("demo.concord.example", "XO"))):
        with pytest.raises(NotAllowed, match="a permit is to"):
            two(first, other)
    month = a_permit("sami", days=30)
    assert two(a_permit("root", days=31), month, now_ms=NOW + 30 * DAY_MS - 1)
    for at_ms in (NOW + 30 * DAY_MS, NOW - DAY_MS):
        with pytest.raises(NotAllowed, match="counts from"):
            two(a_permit("root", days=31), month, now_ms=at_ms)


def test_nothing_of_a_permit_can_be_changed() -> None:
    good = a_permit("sami")
    changed = (
        replace(good, until_ms=good.until_ms + 1),
        replace(good, at_ms=good.at_ms - 1),
        replace(good, signature=bytes([good.signature[0] ^ 1]) + good.signature[1:]),
        replace(a_permit("ada"), key_id=good.key_id),
    )
    for permit in changed:
        with pytest.raises(BadSignature):
            two(a_permit("root"), permit)


def test_what_is_no_permit_is_refused() -> None:
    kind, data = read_armour(write_permit(Act.BACKUP, XV, key_of("root"), now_ms=NOW, days=1), {"OPERATOR PERMIT"})
    for wrong in (
        data.replace(b'"backup"', b'"export"'),
        data.replace(b'"subject": "', b'"subject": "\\u0000'),
        data.replace(str(NOW + DAY_MS).encode(), str(NOW).encode()),
        data.replace(str(NOW + DAY_MS).encode(), str(NOW + (DAYS_MOST + 1) * DAY_MS).encode()),
        data[:-1],
        b"{}",
    ):
        with pytest.raises(MalformedInput):
            read_permit(write_armour(kind, wrong))
    for days in (0, DAYS_MOST + 1):
        with pytest.raises(BadInput):
            write_permit(Act.BACKUP, XV, key_of("root"), now_ms=NOW, days=days)
