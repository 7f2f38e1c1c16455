"""What the node's store promises of requests for consent and their answers, on every kind of database."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

import pytest
from sqlalchemy import Connection

from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from nodes.app import MIGRATIONS
from nodes.store import consent
from nodes.store.consent_rows import AnswerState, KeptAnswer, KeptGrant, KeptRequest, Onward, RequestState

NOW = 1_700_000_000_000
DAY = 24 * 60 * 60 * 1000


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    upgrade(database_url, MIGRATIONS)
    with Database(database_url) as opened:
        yield opened


def name(what: str, number: int = 0) -> bytes:
    return sha256(f"{what}/{number}".encode()).digest()


ITEM = name("item")


def a_request(number: int, **changes: object) -> KeptRequest:
    made = KeptRequest(
        hash=name("request", number),
        ours=False,
        item=ITEM,
        asker="XV",
        at_ms=NOW,
        until_ms=NOW + DAY,
        stored_ms=NOW + number,
        state=RequestState.NEW,
        pass_on=False,
        statement=b"signed",
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the caller names fields


def an_answer(number: int, originator: str = "XA", recipient: str = "XT") -> KeptAnswer:
    return KeptAnswer(name("request", number), originator, recipient)


def a_grant(number: int, request: int = 1, **changes: object) -> KeptGrant:
    made = KeptGrant(
        hash=name("grant", number),
        request=name("request", request),
        item=ITEM,
        originator="XA",
        holder="XV",
        until_ms=NOW + DAY,
        granted=True,
        stored_ms=NOW,
        statement=b"signed grant",
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the caller names fields


async def test_a_request_is_stored_once_and_found_by_its_hash_or_a_part_of_it(database: Database) -> None:
    def write(connection: Connection) -> list[bool]:
        first = consent.add_request(connection, a_request(1), [an_answer(1)])
        again = consent.add_request(connection, a_request(1, state=RequestState.CLOSED), [an_answer(1, "XH")])
        other = consent.add_request(connection, a_request(2, ours=True, asker="XA"), [an_answer(2)])
        return [first, again, other]

    def check(connection: Connection) -> None:
        assert consent.request_of(connection, name("request", 1)) == a_request(1)
        assert consent.request_of(connection, name("request", 9)) is None
        prefix = name("request", 1).hex()[:12]
        assert list(consent.requests_with_prefix(connection, prefix, limit=9)) == [name("request", 1)]
        assert consent.requests_with_prefix(connection, prefix, limit=9, skip=1) == {}
        assert consent.requests_with_prefix(connection, "f" * 12, limit=9) == {}
        listed = consent.list_requests(connection, limit=10, unsettled_only=False)
        assert [each.hash for each in listed] == [name("request", 2), name("request", 1)]
        rest = consent.list_requests(connection, limit=10, unsettled_only=False, after=listed[0])
        assert [each.hash for each in rest] == [name("request", 1)]
        assert consent.answers_of(connection, [name("request", 1)]) == {name("request", 1): [an_answer(1)]}

    assert await database.write(write) == [True, False, True]
    await database.read(check)


async def test_what_waits_is_counted_until_it_is_looked_at_and_has_ended(database: Database) -> None:
    def write(connection: Connection) -> None:
        consent.add_request(connection, a_request(1), [an_answer(1)])
        consent.add_request(connection, a_request(2, state=RequestState.OPEN), [an_answer(2)])
        consent.add_request(connection, a_request(3, state=RequestState.CLOSED), [an_answer(3)])
        consent.add_request(connection, a_request(4, until_ms=NOW), [an_answer(4)])
        consent.add_request(connection, a_request(5, asker="XO"), [an_answer(5)])
        consent.add_request(connection, a_request(6, state=RequestState.OPEN, until_ms=NOW), [an_answer(6)])

    await database.write(write)
    assert await database.read(lambda c: consent.count_unsettled(c, "XV", NOW)) == 3
    new = await database.read(lambda c: consent.new_requests(c, limit=2))
    assert [each.hash for each in new] == [name("request", 1), name("request", 4)]
    unsettled = await database.read(lambda c: consent.list_requests(c, limit=9, unsettled_only=True))
    assert name("request", 3) not in {each.hash for each in unsettled}


async def test_a_request_is_closed_by_the_last_answer_and_no_refusal_takes_a_grant_back(database: Database) -> None:
    def write(connection: Connection) -> list[RequestState]:
        answers = [an_answer(1), an_answer(1, recipient="XO"), an_answer(1, "XH")]
        consent.add_request(connection, a_request(1, state=RequestState.OPEN), answers)
        states = []
        for grant, recipients in (
            (a_grant(1), ["XT"]),
            (a_grant(2, granted=False, until_ms=0), ["XO", "XT"]),
            (a_grant(3, originator="XH"), ["XT"]),
        ):
            assert consent.add_grant(connection, grant, recipients, now_ms=NOW + 5)
            found = consent.request_of(connection, name("request", 1))
            assert found is not None
            states.append(found.state)
        assert not consent.add_grant(connection, a_grant(1), ["XT"], now_ms=NOW + 6)
        return states

    assert await database.write(write) == [RequestState.OPEN, RequestState.OPEN, RequestState.CLOSED]
    found = await database.read(lambda c: consent.answers_of(c, [name("request", 1)]))
    stands = {(each.originator, each.recipient): (each.state, each.grant) for each in found[name("request", 1)]}
    assert stands == {
        ("XA", "XO"): (AnswerState.REFUSED, name("grant", 2)),
        ("XA", "XT"): (AnswerState.GRANTED, name("grant", 1)),
        ("XH", "XT"): (AnswerState.GRANTED, name("grant", 3)),
    }


async def test_a_refusal_may_become_a_grant(database: Database) -> None:
    def write(connection: Connection) -> None:
        consent.add_request(connection, a_request(1, state=RequestState.OPEN), [an_answer(1)])
        consent.add_grant(connection, a_grant(1, granted=False, until_ms=0), ["XT"], now_ms=NOW)
        consent.add_grant(connection, a_grant(2), ["XT"], now_ms=NOW + 1)

    await database.write(write)
    found = await database.read(lambda c: consent.answers_of(c, [name("request", 1)]))
    assert [each.state for each in found[name("request", 1)]] == [AnswerState.GRANTED]


async def test_only_grants_to_the_holder_that_have_not_ended_are_given_out(database: Database) -> None:
    others: dict[int, dict[str, object]] = {
        1: {},
        2: {"holder": "XO"},
        3: {"item": name("item", 2)},
        4: {"granted": False, "until_ms": 0},
        5: {"until_ms": NOW},
        6: {"item": name("source")},
    }

    def write(connection: Connection) -> None:
        consent.add_request(connection, a_request(1), [an_answer(1)])
        for number, changes in others.items():
            consent.add_grant(connection, replace(a_grant(number), **changes), ["XT"], now_ms=NOW)  # type: ignore[arg-type]

    await database.write(write)
    given = await database.read(lambda c: consent.grants_to(c, "XV", [ITEM, name("source")], NOW))
    assert {each.hash for each in given} == {name("grant", 1), name("grant", 6)}
    assert await database.read(lambda c: consent.count_granted(c, ITEM, "XV")) == 2
    wanted = [name("grant", 4), name("grant", 99)]
    assert await database.read(lambda c: set(consent.grants_with(c, wanted))) == {name("grant", 4)}


async def test_a_retraction_ends_our_requests_and_lets_the_node_look_again_at_others(database: Database) -> None:
    def write(connection: Connection) -> None:
        consent.add_request(connection, a_request(1, ours=True, state=RequestState.OPEN), [an_answer(1)])
        consent.add_request(connection, a_request(2, state=RequestState.OPEN), [an_answer(2)])
        consent.add_request(connection, a_request(3, state=RequestState.CLOSED), [an_answer(3)])
        consent.add_request(connection, a_request(4, item=name("item", 2), state=RequestState.OPEN), [an_answer(4)])
        consent.withdraw_requests(connection, ITEM)

    await database.write(write)
    listed = await database.read(lambda c: consent.list_requests(c, limit=9, unsettled_only=False))
    assert {each.hash: each.state for each in listed} == {
        name("request", 1): RequestState.WITHDRAWN,
        name("request", 2): RequestState.OPEN,
        name("request", 3): RequestState.CLOSED,
        name("request", 4): RequestState.OPEN,
    }


async def test_old_requests_that_came_to_nothing_are_forgotten_and_grants_stay(database: Database) -> None:
    def write(connection: Connection) -> int:
        for number in (1, 2, 3, 4):
            consent.add_request(connection, a_request(number, state=RequestState.OPEN), [an_answer(number)])
        consent.add_grant(connection, a_grant(1, request=1), ["XT"], now_ms=NOW)
        consent.add_grant(connection, a_grant(2, request=2, granted=False, until_ms=0), ["XT"], now_ms=NOW)
        consent.add_request(connection, a_request(5, stored_ms=NOW + 9 * DAY), [an_answer(5)])
        # Nobody answered the third and the fourth, which has not ended.
        consent.add_request(connection, a_request(6, until_ms=NOW + 99 * DAY), [an_answer(6)])
        return consent.drop_settled(connection, NOW + 2 * DAY)

    assert await database.write(write) == 3
    listed = await database.read(lambda c: consent.list_requests(c, limit=9, unsettled_only=False))
    assert {each.hash for each in listed} == {name("request", number) for number in (1, 5, 6)}
    assert await database.read(lambda c: set(consent.grants_with(c, [name("grant", 1), name("grant", 2)]))) == {
        name("grant", 1)
    }


async def test_a_later_grant_for_the_same_step_takes_the_place_of_the_earlier(database: Database) -> None:
    first = Onward(ITEM, "XT", "XV", 1, name("grant", 1), NOW + 1, NOW)
    later = replace(first, grant=name("grant", 2), until_ms=NOW + 2)
    deeper = Onward(ITEM, "XN", "XT", 2, name("grant", 3), NOW + 1, NOW)

    def write(connection: Connection) -> None:
        consent.add_onward(connection, [deeper, first])
        consent.add_onward(connection, [later])

    await database.write(write)
    assert await database.read(lambda c: consent.onward_of(c, ITEM)) == [later, deeper]
    assert await database.read(lambda c: consent.onward_of(c, name("item", 2))) == []


async def test_the_oldest_requests_that_came_to_nothing_make_room(database: Database) -> None:
    def write(connection: Connection) -> int:
        for number in range(6):
            state = RequestState.OPEN if number == 5 else RequestState.CLOSED
            consent.add_request(connection, a_request(number, state=state), [an_answer(number)])
        consent.add_request(connection, a_request(9, asker="XO", state=RequestState.CLOSED), [an_answer(9)])
        consent.add_grant(connection, a_grant(1, request=1), ["XT"], now_ms=NOW)
        return consent.drop_beyond(connection, "XV", most=2)

    assert await database.write(write) == 2
    listed = await database.read(lambda c: consent.list_requests(c, limit=9, unsettled_only=False))
    assert {each.hash for each in listed} == {name("request", number) for number in (1, 3, 4, 5, 9)}


async def test_only_what_an_operator_must_answer_names_its_asker(database: Database) -> None:
    def write(connection: Connection) -> None:
        states: dict[int, dict[str, object]] = {
            1: {"state": RequestState.OPEN},
            2: {"state": RequestState.NEW, "asker": "XO"},
            3: {"state": RequestState.OPEN, "asker": "XA", "ours": True},
            4: {"state": RequestState.OPEN, "asker": "XT", "until_ms": NOW},
        }
        for number, changes in states.items():
            consent.add_request(connection, a_request(number, **changes), [an_answer(number)])

    await database.write(write)
    assert await database.read(lambda c: consent.askers_waiting(c, NOW)) == {"XV"}
