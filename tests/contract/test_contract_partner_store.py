"""What the node's store promises about compared fingerprints, on every kind of database."""

from dataclasses import replace
from functools import partial

from exchange.runtime.database import Database
from exchange.runtime.migrate import upgrade
from nodes.app import MIGRATIONS
from nodes.store.partners import Verified, all_verified, put_verified

XV = Verified("XV", bytes([1]) * 32, 1_700_000_000_000, "ada")


def test_the_newest_comparison_of_each_partner_is_kept(database_url: str) -> None:
    upgrade(database_url, MIGRATIONS)
    xo = replace(XV, party="XO")
    anew = replace(XV, root_key_id=bytes([2]) * 32, at_ms=XV.at_ms + 1, operator="bob")
    with Database(database_url) as database:
        for row in (XV, xo, anew):
            database.write_now(partial(put_verified, row=row))
        assert database.read_now(all_verified) == {"XO": xo, "XV": anew}
