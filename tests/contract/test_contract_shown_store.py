"""What the node's store promises about headers of envelopes that came, on every kind of database."""

from dataclasses import replace
from functools import partial

from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from nodes.app import MIGRATIONS
from nodes.store.shown import KeptShown, add_shown, drop_shown, others_with_id, shown_of

ONE = KeptShown(bytes([1]) * 32, "XA", bytes(16), 1_000, b"header", 3, b"leaf", bytes(range(64)))


def test_another_envelope_of_the_same_sender_under_the_same_id_is_found_in_the_store_and_beside_it(
    database_url: str,
) -> None:
    upgrade(database_url, MIGRATIONS)
    two = replace(ONE, envelope=bytes([2]) * 32)
    three = replace(ONE, envelope=bytes([3]) * 32)
    other_sender = replace(ONE, envelope=bytes([4]) * 32, sender="XO")
    other_id = replace(ONE, envelope=bytes([5]) * 32, envelope_id=bytes([1]) * 16)
    with Database(database_url) as database:
        for _ in range(2):
            database.write_now(partial(add_shown, rows=[ONE]))
        find = partial(others_with_id, rows=[two, three, other_sender, other_id])
        assert database.read_now(find) == {two.envelope: ONE.envelope, three.envelope: two.envelope}
        assert database.read_now(partial(others_with_id, rows=[ONE])) == {}
        assert database.read_now(partial(shown_of, envelopes=[ONE.envelope, two.envelope])) == {ONE.envelope: ONE}


def test_headers_are_forgotten_after_their_time(database_url: str) -> None:
    upgrade(database_url, MIGRATIONS)
    with Database(database_url) as database:
        database.write_now(partial(add_shown, rows=[ONE]))
        assert database.write_now(partial(drop_shown, before_ms=ONE.stored_ms)) == 0
        assert database.write_now(partial(drop_shown, before_ms=ONE.stored_ms + 1)) == 1
        assert database.read_now(partial(shown_of, envelopes=[ONE.envelope])) == {}
        assert ONE.steps == (ONE.path[:32], ONE.path[32:])
