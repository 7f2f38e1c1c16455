"""What is destroyed is gone from every byte of the home, the databases' logs included, while the node still runs."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from exchange.runtime.clock import now_ms
from nodes.backup import back_up, restore
from nodes.effects import Effects
from nodes.keeping import purge
from nodes.prekeys import DAY_MS
from nodes.relay_port import Delivered
from nodes.store.rows import ItemState, Reach
from tests.integration.test_node_backup import on_disk
from tests.support.node_world import a_node_world, at, nodes, push, reached, ready, receipted, stored, until
from tests.support.processes import PASSPHRASE
from tests.support.rotation import own_statement_key, rotate
from tests.support.traces import traces


def rows(home: Path, table: str, column: str) -> list[bytes]:
    """Return what one column of keys.db holds, as it is on the disk."""
    with closing(sqlite3.connect(home / "keys.db")) as connection:
        query = f"SELECT {column} FROM {table}"  # noqa: S608 - names of our own
        return [row[0] for row in connection.execute(query)]


def halves(secret: bytes) -> list[bytes]:
    """Return a secret and its halves: a page that was overwritten in part must not keep the rest."""
    middle = len(secret) // 2
    return [secret, secret[:middle], secret[middle:]]


@pytest.mark.parametrize("days", [0, 3])
async def test_the_seed_of_a_destroyed_day_stands_nowhere(days: int) -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XV"]
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        last = now_ms() // DAY_MS + days
        gone = {day: key_id for day, key_id in await node.core.keybox.prekey_days() if day <= last}
        seeds = [key.seed for key_id in gone.values() if (key := node.core.keybox.prekey(key_id)) is not None]
        wrapped = rows(node.home, "prekey", "wrapped")
        assert len(seeds) == days + 1
        # A wrapped seed can be found before, so the search would find it afterwards.
        assert list(traces(node.home, wrapped)) and not list(traces(node.home, seeds))
        assert await node.core.keybox.destroy_prekeys_before(last + 1) == days + 1
        kept = rows(node.home, "prekey", "wrapped")
        destroyed = [part for each in wrapped if each not in kept for part in halves(each)]
        assert len(destroyed) == 3 * (days + 1)
        assert list(traces(node.home, [*destroyed, *seeds])) == []
        assert all(node.core.keybox.prekey(key_id) is None for key_id in gone.values())


async def test_the_key_of_a_purged_report_stands_nowhere() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XV"]
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        (key,), (wrapped,) = (
            (await node.core.keybox.keys([sent.item])).values(),
            rows(node.home, "report_key", "wrapped"),
        )
        assert list(traces(node.home, [wrapped]))
        await purge(node.core, sent.item, who="anna", hurry=node.obligations.hurry)

        async def destroyed() -> bool:
            return not await node.core.keybox.keys([sent.item])

        await until(destroyed, "the key is still there")
        await until(lambda: not list(traces(node.home, [key, *halves(wrapped)])), "the key is still on the disk")


async def test_what_was_destroyed_and_comes_once_more_leaves_no_key_behind() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XV"]
        take, frames = node.receiver.take, list[Delivered]()

        async def keep(frame: Delivered) -> Effects:
            frames.append(frame)
            return await take(frame)

        node.receiver.take = keep  # type: ignore[method-assign]
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        await purge(node.core, sent.item, who="anna", hurry=node.obligations.hurry)
        await reached(running["XA"], sent.item, "XV", Reach.PURGED)
        for frame in frames:
            await take(frame)
        assert rows(node.home, "report_key", "wrapped") == [] and await node.core.keybox.keys([sent.item]) == {}
        found = await stored(node, sent.item)
        assert found is not None and (found.state, found.record) == (ItemState.PURGED, b"")


async def test_signing_keys_that_have_served_stand_nowhere() -> None:
    async with nodes("XA", agree=False) as (_, running):
        node = running["XA"]
        await rotate(node)
        served = own_statement_key(node)
        number = next(each.number for each in node.core.keyring.signing if each.statement.public.key_id == served)
        await rotate(node)
        before = rows(node.home, "node_key", "secret")
        await node.core.keybox.destroy_node_keys([number])
        after = rows(node.home, "node_key", "secret")
        (secret,) = [each for each in before if each not in after]
        # The middle of a long secret is enough: its ends may look like those of others.
        assert list(traces(node.home, [secret[40:120], secret[-80:]])) == []


async def test_a_backup_brings_no_destroyed_day_back_and_no_day_at_all() -> None:
    async with a_node_world("XA") as world:
        place = world.places["XA"]
        on_disk(place)
        backup, again = world.root / "xa.backup", world.root / "again"
        async with at(place) as node:
            await ready(node, [], agree=False)
            await until(lambda: node.prekeys.days_ahead() > 0, "no prekeys")
            wrapped = rows(place.home, "prekey", "wrapped")
            await node.core.keybox.destroy_prekeys_before(now_ms() // DAY_MS + 2)
            back_up(place.home, backup, PASSPHRASE, now_ms=now_ms())
        restore(backup, again, PASSPHRASE, now_ms=now_ms())
        assert len(wrapped) > 30
        assert list(traces(again, wrapped)) == []
        # Nothing of the copies that were made on the way is left in the home.
        assert [path.name for path in place.home.iterdir() if path.name.startswith(".")] == []
