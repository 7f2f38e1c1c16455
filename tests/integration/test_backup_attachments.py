"""Attachments in backups: of a node each as it was sealed, looked at on both sides; of the relay what waits there."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from exchange.crypto.random import random_bytes
from exchange.errors import StorageFull, VerificationFailed
from exchange.limits import MIB
from exchange.relay import backup as relay_backup
from exchange.relay.store.blobs import SqlBlobs
from exchange.runtime.backup_file import PIECE_BYTES, Kept, Manifest, decode_manifest, encode_manifest, temporary
from exchange.runtime.clock import now_ms
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from nodes.backup import back_up, permitted, restore
from nodes.backup_attachments import check
from nodes.keeping import purge
from nodes.parts import Node
from nodes.store import blobs
from tests.integration.test_node_backup import on_disk, restored
from tests.integration.test_relay_backup import on_disk as relay_on_disk
from tests.integration.test_relay_backup import seen_by
from tests.support.node_world import (
    NodeWorld,
    a_node_world,
    at,
    here,
    nodes,
    open_alarms,
    push,
    ready,
    receipted,
    standing,
    until,
)
from tests.support.processes import PASSPHRASE
from tests.support.relay_rotation import CHEAP_KIB
from tests.support.relay_rotation import PASSPHRASE as OF_RELAY
from tests.support.relay_world import short_home

MAP, NOTE = random_bytes(PIECE_BYTES + MIB + 11), b"a short note"


class Shown:
    """What a bar was told."""

    def __init__(self) -> None:
        self.steps: dict[str, int] = {}

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count

        yield advance
        assert done >= total * 0.9, f"{what}: {done} of {total}"
        self.steps[what] = total


async def is_here(node: Node, item: bytes) -> bool:
    found = await standing(node, item)
    return bool(found) and all(each.state == "here" for each in found)


def relay_is_empty(world: NodeWorld) -> bool:
    with Database(sqlite_url(world.relay.home.root / "relay.db")) as database:
        return database.read_now(lambda c: SqlBlobs(c).used(world.relay.partners["XA"].party)).size == 0


async def test_a_restored_node_has_the_files_that_it_had_and_sends_those_that_it_was_to_send() -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        lost, shown = world.places["XV"], Shown()
        on_disk(lost)
        backup = world.root / "xv.backup"
        async with at(world.places["XA"]) as partner:
            async with at(lost) as node:
                await ready(node, ["XA"])
                await ready(partner, ["XV"])
                came = await push(partner, "XV", files={"map.pdf": MAP, "note.txt": NOTE})
                await here(node, came.item, map=MAP, note=NOTE)
                await until(partial(relay_is_empty, world), "the relay keeps what everybody has")
                node.sender.on_files = lambda: None
                going = await push(node, "XA", files={"plan.pdf": MAP})
                made = back_up(lost.home, backup, PASSPHRASE, now_ms=now_ms(), bar=shown.bar)
                assert (made.attachments, made.left_out) == (3, ())
                assert set(shown.steps) == {"looking at attachments", "writing", "verifying"}
                assert not list(lost.home.glob(".backup-*"))
            async with at(restored(world, lost, backup)) as node:
                await ready(node, ["XA"])
                await here(node, came.item, map=MAP, note=NOTE)
                await receipted(node, going.item, "XA")
                await here(partner, going.item, plan=MAP)
                assert await open_alarms(node) == []


async def test_what_is_damaged_destroyed_or_left_out_is_not_in_a_backup_and_does_not_stop_it() -> None:
    async with a_node_world("XA") as world:
        place = world.places["XA"]
        on_disk(place)
        async with at(place) as node:
            await ready(node, [], agree=False)
            items = {}
            for name in ("good", "damaged", "gone", "destroyed"):
                before = node.files.disk.names()
                items[name] = (await push(node, key=name, files={"note.txt": NOTE})).item
                (file,) = node.files.disk.names() - before
                path = place.home / "attachments" / file.hex()
                if name == "damaged":
                    path.write_bytes(path.read_bytes()[:-1] + b"x")
                elif name == "gone":
                    path.unlink()
            await purge(node.core, items["destroyed"], who="owner", hurry=node.obligations.hurry)
            await until(partial(_is_destroyed, node, items["destroyed"]), "its key is still there")
            backup = world.root / "xa.backup"
            made = back_up(place.home, backup, PASSPHRASE, now_ms=now_ms())
            assert made.attachments == 1
            assert set(made.left_out) == {items["damaged"], items["gone"]}
            small = back_up(place.home, world.root / "small", PASSPHRASE, now_ms=now_ms(), attachments=False)
            assert (small.attachments, small.left_out) == (0, ())
        home = world.root / "again"
        assert restore(backup, home, PASSPHRASE, now_ms=now_ms()).attachments == 1
        assert len(list((home / "attachments").iterdir())) == 1


async def _is_destroyed(node: Node, item: bytes) -> bool:
    return await node.core.keybox.without_key([item]) == {item}


async def test_a_backup_with_an_attachment_of_no_report_or_another_content_makes_no_home() -> None:
    async with a_node_world("XA") as world:
        place = world.places["XA"]
        on_disk(place)
        async with at(place) as node:
            await ready(node, [], agree=False)
            await push(node, files={"note.txt": NOTE})
            made = back_up(place.home, world.root / "xa.backup", PASSPHRASE, now_ms=now_ms())
            (row,) = (await node.core.database.read(blobs.files)).values()
        name = f"attachments/{row.file.hex()}"
        assert check(made.manifest, {name: row}) == 1
        with pytest.raises(VerificationFailed):
            check(made.manifest, {})
        with pytest.raises(VerificationFailed):
            check(made.manifest, {name: replace(row, sha256=bytes(32))})


async def test_a_backup_for_which_there_is_no_room_is_refused_before_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_node_world("XA") as world:
        place = world.places["XA"]
        on_disk(place)
        async with at(place) as node:
            await ready(node, [], agree=False)
            full = shutil.disk_usage("/")._replace(free=1)
            monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
            with pytest.raises(StorageFull):
                back_up(place.home, world.root / "xa.backup", PASSPHRASE, now_ms=now_ms())
            assert not list(world.root.glob("*xa.backup*"))


def test_what_a_killed_backup_left_goes_with_the_next_one_and_one_that_runs_stays(tmp_path: Path) -> None:
    left = tmp_path / ".backup-killed"
    left.mkdir()
    (left / "keys.db").write_bytes(b"keys of reports that may be destroyed by now")
    with temporary(tmp_path, "backup") as first:
        assert not left.exists()
        with temporary(tmp_path, "backup") as second:
            assert first.exists() and second.exists()
        assert first.exists() and not second.exists()
    assert not list(tmp_path.iterdir())


def test_a_manifest_has_room_for_many_attachments_and_for_no_other_names() -> None:
    many = tuple(Kept(f"attachments/{number:032x}", 5, bytes(32)) for number in range(50_000))
    manifest = Manifest("XA", "live", 1, many)
    data = encode_manifest(manifest)
    assert len(data) > PIECE_BYTES, "it takes more than one piece"
    assert decode_manifest(data, allowed=permitted) == manifest
    for name in ("attachments/../node.db", "attachments/" + "0" * 31, "attachments/" + "G" * 32, "attachments"):
        assert not permitted(name)


async def test_a_relays_backup_holds_the_attachments_that_wait_there() -> None:
    place = short_home()
    try:
        async with nodes("XA", "XV") as (world, running):
            running["XV"].files.fetching._least_free = 1 << 60
            sent = await push(running["XA"], "XV", files={"map.pdf": MAP})
            await receipted(running["XA"], sent.item, "XV")
            home, file = relay_on_disk(world), place / "relay.backup"
            shown = Shown()
            made = relay_backup.back_up(home, file, OF_RELAY, now_ms=now_ms(), memory_kib=CHEAP_KIB, bar=shown.bar)
            assert made.size > len(MAP) and set(shown.steps) == {"writing", "verifying"}
            seen = [await seen_by(node) for node in running.values()]
            held = _held(home.root / "relay.db", world)
        relay_backup.restore(file, place / "new", OF_RELAY, seen)
        assert _held(place / "new" / "relay.db", world) == held
    finally:
        shutil.rmtree(place)


def _held(path: Path, world: NodeWorld) -> bytes:
    """Return the one file of XA that a relay's store holds, which XV may read."""
    sender, reader = world.relay.partners["XA"].party, world.relay.partners["XV"].party
    with Database(sqlite_url(path)) as database:

        def whole(connection: object) -> bytes:
            store = SqlBlobs(connection)  # type: ignore[arg-type]
            ((_, blob_id),) = store.overdue(1 << 60, 0, 10)
            assert store.readable(sender, blob_id, reader)
            data = b""
            while part := store.part(sender, blob_id, len(data)):
                data += part
            return data

        return database.read_now(whole)
