"""Operators: who is admitted, how they log in, and what is written down."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from exchange.crypto.signing import CompositeKey
from exchange.errors import (
    BadInput,
    BadName,
    BadSignature,
    ConfigurationError,
    Conflict,
    MalformedInput,
    NotAuthenticated,
    NotFound,
    WrongPassphrase,
)
from exchange.names import exchange_name, party_id
from exchange.policy.model import Tlp
from exchange.policy.readers import ReaderTerms
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from exchange.runtime.secrets import write_private
from nodes import session
from nodes.app import MIGRATIONS
from nodes.login import Challenge, answer, check_answer, new_challenge
from nodes.operator_home import init_operator, open_operator, operator_fingerprint, read_operator_key
from nodes.operators import CHALLENGE_MS, DAY_MS, SESSION_MS, Operators, Profile
from nodes.roles import Role

NOW = 1_700_000_000_000
EXCHANGE, XA = exchange_name("test.concord.example"), party_id("XA")
TERMS = ReaderTerms({"nato": ("restricted", "secret")}, frozenset({"water"}))
ROOT_KEY, ADA_KEY, BOB_KEY = (CompositeKey.from_seed(bytes([number]) * 64) for number in (1, 2, 3))


@dataclass
class Clock:
    now_ms: int = NOW

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class World:
    operators: Operators
    clock: Clock = field(default_factory=Clock)

    async def login(self, key: CompositeKey) -> str:
        challenge = self.operators.challenge()
        return (await self.operators.login(key.public.key_id, challenge.nonce, answer(challenge, key))).token

    async def actions(self) -> list[tuple[str, str, str]]:
        return [(line.operator, line.action, line.subject) for line in await self.operators.audit(limit=100)][::-1]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = sqlite_url(tmp_path / "node.db")
    upgrade(url, MIGRATIONS)
    with Database(url) as opened:
        yield opened


@asynccontextmanager
async def world(database: Database, *, closed: bool = True) -> AsyncIterator[World]:
    """Operators of XA; when `closed`, with an administrator and an author."""
    clock = Clock()
    operators = Operators(database, exchange=EXCHANGE, party=XA, terms=TERMS, max_age_days=20, clock=clock)
    await operators.load()
    made = World(operators, clock)
    if closed:
        await operators.add(profile("root", ROOT_KEY, Role.ADMINISTRATOR), by="owner")
        await operators.add(profile("ada", ADA_KEY, Role.AUTHOR), by="root")
    yield made


def profile(name: str, key: CompositeKey, *roles: Role) -> Profile:
    return Profile(name, key.public, frozenset(roles), Tlp.AMBER, NOW + 30 * DAY_MS)


async def test_without_operators_the_owner_does_everything_and_is_cleared_for_nothing(database: Database) -> None:
    async with world(database, closed=False) as made:
        caller = await made.operators.caller("")
        assert made.operators.is_open
        assert caller.is_owner and caller.roles == frozenset(Role)
        assert not caller.clearances and not caller.attributes


async def test_the_first_operator_is_an_administrator_and_closes_the_node(database: Database) -> None:
    async with world(database, closed=False) as made:
        with pytest.raises(BadInput, match="first operator is an administrator"):
            await made.operators.add(profile("ada", ADA_KEY, Role.AUTHOR), by="owner")
        await made.operators.caller("")
        await made.operators.add(profile("root", ROOT_KEY, Role.ADMINISTRATOR), by="owner")
        with pytest.raises(NotAuthenticated):
            await made.operators.caller("")
        again = Operators(database, exchange=EXCHANGE, party=XA, terms=TERMS, max_age_days=20, clock=made.clock)
        for _ in range(2):
            assert not again.is_open
            await again.load()


async def test_who_logs_in_is_the_caller_with_all_that_was_admitted(database: Database) -> None:
    async with world(database) as made:
        wanted = replace(
            profile("bob", BOB_KEY, Role.RELEASER, Role.AUDITOR),
            ceiling=Tlp.RED,
            clearances={"nato": "secret"},
            attributes=frozenset({"water"}),
        )
        await made.operators.add(wanted, by="root")
        caller = await made.operators.caller(await made.login(BOB_KEY))
        assert (caller.name, caller.roles, caller.ceiling) == ("bob", wanted.roles, Tlp.RED)
        assert dict(caller.clearances) == {"nato": "secret"} and set(caller.attributes) == {"water"}
        assert not caller.is_owner


async def test_clearances_and_attributes_end_before_the_operator_does(database: Database) -> None:
    async with world(database) as made:
        held = replace(
            profile("bob", BOB_KEY, Role.AUDITOR), clearances={"nato": "secret"}, attributes=frozenset({"water"})
        )
        await made.operators.add(held, by="root")
        for days, counts in ((19, True), (20, False)):
            made.clock.now_ms = NOW + days * DAY_MS
            caller = await made.operators.caller(await made.login(BOB_KEY))
            assert (bool(caller.clearances), bool(caller.attributes)) == (counts, counts)


async def test_a_session_lasts_eight_hours_and_never_longer_than_its_operator(database: Database) -> None:
    async with world(database) as made:
        token = await made.login(ADA_KEY)
        made.clock.now_ms = NOW + SESSION_MS - 1
        await made.operators.caller(token)
        made.clock.now_ms = NOW + SESSION_MS
        with pytest.raises(NotAuthenticated):
            await made.operators.caller(token)
        made.clock.now_ms = NOW + 30 * DAY_MS - 1
        token = await made.login(ADA_KEY)
        made.clock.now_ms += 1
        with pytest.raises(NotAuthenticated):
            await made.operators.caller(token)


async def test_who_is_revoked_or_logs_out_is_refused_at_once(database: Database) -> None:
    async with world(database) as made:
        first, second = await made.login(ADA_KEY), await made.login(ADA_KEY)
        await made.operators.logout(first, by="ada")
        with pytest.raises(NotAuthenticated):
            await made.operators.caller(first)
        await made.operators.caller(second)
        await made.operators.revoke("ada", by="root")
        with pytest.raises(NotAuthenticated):
            await made.operators.caller(second)
        with pytest.raises(NotAuthenticated):
            await made.login(ADA_KEY)


async def test_every_way_of_not_logging_in_gets_the_same_answer(database: Database) -> None:
    async with world(database) as made:
        operators = made.operators
        given = [operators.challenge() for _ in range(5)]
        key_id = ADA_KEY.public.key_id
        answers = [
            (BOB_KEY.public.key_id, given[0].nonce, answer(given[0], BOB_KEY)),
            (key_id, given[1].nonce, answer(given[1], BOB_KEY)),
            (key_id, given[2].nonce, answer(given[3], ADA_KEY)),
            (key_id, bytes(32), answer(replace(given[3], nonce=bytes(32)), ADA_KEY)),
            (key_id, given[4].nonce, b""),
        ]
        said = set()
        for each in answers:
            with pytest.raises(NotAuthenticated) as caught:
                await operators.login(*each)
            said.add((str(caught.value), caught.value.hint))
        late = operators.challenge()
        made.clock.now_ms += CHALLENGE_MS + 1
        with pytest.raises(NotAuthenticated) as caught:
            await operators.login(key_id, late.nonce, answer(late, ADA_KEY))
        said.add((str(caught.value), caught.value.hint))
        assert len(said) == 1


async def test_a_challenge_serves_once(database: Database) -> None:
    async with world(database) as made:
        challenge = made.operators.challenge()
        signed = (ADA_KEY.public.key_id, challenge.nonce, answer(challenge, ADA_KEY))
        await made.operators.login(*signed)
        with pytest.raises(NotAuthenticated):
            await made.operators.login(*signed)


def test_an_answer_holds_for_one_exchange_party_and_time_only() -> None:
    challenge = new_challenge(EXCHANGE, XA, NOW)
    signature = answer(challenge, ADA_KEY)
    check_answer(challenge, ADA_KEY.public, signature)
    for other in (
        replace(challenge, exchange=exchange_name("other.example")),
        replace(challenge, party=party_id("XV")),
        replace(challenge, at_ms=NOW + 1),
        replace(challenge, nonce=bytes(32)),
    ):
        with pytest.raises(BadSignature):
            check_answer(other, ADA_KEY.public, signature)
    with pytest.raises(MalformedInput):
        Challenge(EXCHANGE, XA, b"short", NOW)


async def test_one_person_has_one_name_and_an_active_name_is_not_taken_again(database: Database) -> None:
    async with world(database) as made:
        with pytest.raises(Conflict, match="exists"):
            await made.operators.add(profile("ada", BOB_KEY, Role.RELEASER), by="root")
        with pytest.raises(Conflict, match="the key of ada"):
            await made.operators.add(profile("eve", ADA_KEY, Role.RELEASER), by="root")
        before = await made.operators.active("ada")
        await made.operators.revoke("ada", by="root")
        assert await made.operators.active("ada") is None
        with pytest.raises(Conflict, match="the key of ada"):
            await made.operators.add(profile("eve", ADA_KEY, Role.RELEASER), by="root")
        again = await made.operators.add(profile("ada", BOB_KEY, Role.AUTHOR), by="root")
        assert before is not None and again.pseudonym == before.pseudonym


@pytest.mark.parametrize(
    "change, error, words",
    [
        ({"name": "Ada"}, BadName, "operator's name"),
        ({"name": "owner"}, BadName, "owner"),
        ({"roles": frozenset()}, BadInput, "needs a role"),
        ({"roles": frozenset({Role.AUTHOR, Role.RELEASER})}, BadInput, "exclude each other"),
        ({"until_ms": NOW}, BadInput, "end"),
        ({"until_ms": NOW + 3_650 * DAY_MS}, BadInput, "end"),
        ({"clearances": {"nato": "cosmic"}}, BadInput, "no clearance nato:cosmic"),
        ({"clearances": {"ours": "secret"}}, BadInput, "no clearance ours:secret"),
        ({"attributes": frozenset({"watre"})}, BadInput, "no attribute watre"),
    ],
)
async def test_a_profile_that_cannot_be_used_is_refused(
    database: Database, change: dict[str, object], error: type[Exception], words: str
) -> None:
    async with world(database) as made:
        bad = Profile(**{**_fields(profile("bob", BOB_KEY, Role.AUDITOR)), **change})  # type: ignore[arg-type]  # any field
        with pytest.raises(error, match=words):
            await made.operators.add(bad, by="root")
        assert [each.profile.name for each in await made.operators.list()] == ["ada", "root"]


def _fields(given: Profile) -> dict[str, object]:
    return {name: getattr(given, name) for name in Profile.__dataclass_fields__}


async def test_the_last_administrator_is_not_revoked(database: Database) -> None:
    async with world(database) as made:
        with pytest.raises(Conflict, match="last administrator"):
            await made.operators.revoke("root", by="root")
        await made.operators.add(profile("rex", BOB_KEY, Role.ADMINISTRATOR), by="root")
        await made.operators.revoke("root", by="rex")
        await made.operators.revoke("root", by="rex")
        with pytest.raises(NotFound):
            await made.operators.revoke("eve", by="rex")
        assert [(each.profile.name, each.status) for each in await made.operators.list()] == [
            ("ada", "active"),
            ("rex", "active"),
            ("root", "revoked"),
        ]


async def test_changes_logins_and_refusals_are_written_down_once(database: Database) -> None:
    async with world(database) as made:
        token = await made.login(ADA_KEY)
        await made.operators.logout(token, by="ada")
        for _ in range(3):
            await made.operators.note_refusal("ada", "AddSensor", "feed", NotFound("no such thing"))
        await made.operators.note_refusal("ada", "AddSensor", "other", NotFound("no such thing"))
        made.clock.now_ms += 60_000
        await made.operators.note_refusal("ada", "AddSensor", "feed", NotFound("no such thing"))
        await made.operators.revoke("ada", by="root")
        assert await made.actions() == [
            ("owner", "operator.add", "root"),
            ("root", "operator.add", "ada"),
            ("ada", "operator.login", "ada"),
            ("ada", "operator.logout", "ada"),
            ("ada", "refused", "feed"),
            ("ada", "refused", "other"),
            ("ada", "refused", "feed"),
            ("root", "operator.revoke", "ada"),
        ]


def test_the_key_lies_under_its_passphrase_and_is_never_overwritten(tmp_path: Path) -> None:
    home = tmp_path / "ada"
    public = init_operator(home, b"one", memory_mib=64)
    assert read_operator_key((home / "operator.pub").read_text()) == public
    assert open_operator(home, b"one").public == public
    assert len(operator_fingerprint(public).split()) == 8
    with pytest.raises(WrongPassphrase):
        open_operator(home, b"two")
    with pytest.raises(Conflict):
        init_operator(home, b"one", memory_mib=64)
    with pytest.raises(ConfigurationError, match="no operator's key"):
        open_operator(tmp_path / "nobody", b"one")


def test_a_session_is_its_owners_alone_shown_to_one_node_and_named_when_damaged(tmp_path: Path) -> None:
    own, node = tmp_path / "ada", tmp_path / "xa"
    assert session.session_token(own, node) == ""
    kept = session.Session("test.concord.example", "XA", "ada", "secret-token", NOW)
    session.keep_session(own, node, kept)
    assert session.current_session(own, node) == kept and session.session_token(own, node) == "secret-token"
    assert session.session_token(own, tmp_path / "xv") == ""
    (file,) = (own / "sessions").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600 and "secret-token" not in repr(kept)
    write_private(file, b"{}")
    with pytest.raises(ConfigurationError, match="session"):
        session.session_token(own, node)
    for _ in range(2):
        session.forget_session(own, node)
    assert session.session_token(own, node) == ""
