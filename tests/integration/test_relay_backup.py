"""A relay's backup opens with its passphrase alone; it makes a relay only if it continues what partners have seen."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.crypto.codec import decode_signed
from exchange.errors import BadInput, ConfigurationError, Conflict, ExchangeError, MalformedInput, WrongPassphrase
from exchange.names import PartyId
from exchange.relay.app import running
from exchange.relay.backup import back_up, restore
from exchange.relay.home import RelayHome, RelaySecrets
from exchange.runtime.clock import now_ms
from exchange.runtime.lifecycle import Drain
from exchange.runtime.secrets import write_private
from exchange.runtime.seen_file import PROMISE_BYTES, LogsSeen, read_logs_seen, write_logs_seen
from nodes.parts import Node
from nodes.witness_service import WitnessMethods
from tests.support.directory_builders import EXCHANGE
from tests.support.node_world import NodeWorld, nodes, push, receipted, until
from tests.support.relay_rotation import CHEAP_KIB, PASSPHRASE
from tests.support.relay_world import secrets, settings, short_home


@pytest.fixture
def place() -> Iterator[Path]:
    """A place whose path leaves room for a socket's name."""
    made = short_home()
    yield made
    shutil.rmtree(made)


def on_disk(world: NodeWorld) -> RelayHome:
    """Write what `concord relay init` writes and tests keep in memory."""
    home = world.relay.home
    write_private(home.config, f'exchange = "{EXCHANGE}"\n'.encode())
    secrets().save(home.keys, PASSPHRASE, memory_kib=CHEAP_KIB)
    return home


async def seen_by(node: Node) -> LogsSeen:
    """Return what a node has seen of the logs, by way of the file."""
    found = await WitnessMethods(node.core, node.watch.proving).get()
    promise = decode_signed(found.promise_seen, limit=PROMISE_BYTES, what="it") if found.promise_seen else None
    seen = LogsSeen(EXCHANGE, node.core.me, found.directory_seen, found.traffic_seen, promise)
    assert read_logs_seen(write_logs_seen(seen)) == seen
    return seen


async def audited(node: Node) -> None:
    """Let a node take in the newest checkpoint of the traffic log."""

    async def covers() -> bool:
        return all(each.result != "failed" for each in [step async for step in node.auditor.verify(full=False)])

    await until(covers, "the logs do not hold")


async def test_a_restored_relay_goes_on_where_partners_have_seen_it_last(place: Path) -> None:
    async with nodes("XA", "XV") as (world, running_):
        home = on_disk(world)
        item = await push(running_["XA"], "XV")
        await receipted(running_["XA"], item.item, "XV")
        for node in running_.values():
            await audited(node)
        seen = [await seen_by(node) for node in running_.values()]
        backup = place / "relay.backup"
        made = back_up(home, backup, PASSPHRASE, now_ms=now_ms(), memory_kib=CHEAP_KIB)
        assert not made.server and PASSPHRASE not in backup.read_bytes()
    found = restore(backup, place / "new", PASSPHRASE, seen)
    assert found.compared == ("XA", "XV") and found.traffic_size > 0
    again = RelayHome(place / "new")
    async with running(again, settings(), RelaySecrets.load(again.keys, PASSPHRASE), Drain()) as listening:
        assert listening.info.exchange == EXCHANGE


async def test_a_backup_that_lacks_what_was_promised_or_shown_makes_no_relay(place: Path) -> None:
    async with nodes("XA", "XV") as (world, running_):
        home, backup = on_disk(world), place / "relay.backup"
        first = await push(running_["XA"], "XV")
        await receipted(running_["XA"], first.item, "XV")
        back_up(home, backup, PASSPHRASE, now_ms=now_ms(), memory_kib=CHEAP_KIB)
        second = await push(running_["XA"], "XV")
        await receipted(running_["XA"], second.item, "XV")
        await audited(running_["XV"])
        seen = [await seen_by(node) for node in running_.values()]
    with pytest.raises(Conflict, match=r"XA was promised entry .* of the traffic log") as refused:
        restore(backup, place / "new", PASSPHRASE, seen)
    assert "XV" in str(refused.value), "each loss is named"
    assert not (place / "new").exists() and not (place / ".new.restoring").exists()


async def test_too_few_who_say_what_they_have_seen_make_no_relay(place: Path) -> None:
    async with nodes("XA", "XV", "XO") as (world, running_):
        home, backup = on_disk(world), place / "relay.backup"
        await world.name_witnesses("XA", "XV", "XO", quorum=2)
        await world.relay.mirror()
        for node in running_.values():
            await node.core.trust.wait_for(world.relay.exchange.directory.size, 10)
        back_up(home, backup, PASSPHRASE, now_ms=now_ms(), memory_kib=CHEAP_KIB)
        seen = {name: await seen_by(node) for name, node in running_.items()}
    with pytest.raises(BadInput, match="1 witnesses say what they have seen; 2 of XA, XO, XV must"):
        restore(backup, place / "new", PASSPHRASE, [seen["XA"]])
    with pytest.raises(BadInput, match="0 witnesses"):
        restore(backup, place / "new", PASSPHRASE, [])
    assert restore(backup, place / "new", PASSPHRASE, [seen["XA"], seen["XO"]]).directory_size > 0


async def test_without_witnesses_every_member_is_asked_and_a_backup_opens_for_its_passphrase_alone(place: Path) -> None:
    async with nodes("XA", "XV") as (world, running_):
        home, backup = on_disk(world), place / "relay.backup"
        back_up(home, backup, PASSPHRASE, now_ms=now_ms(), memory_kib=CHEAP_KIB)
        with pytest.raises(Conflict):
            back_up(home, backup, PASSPHRASE, now_ms=now_ms(), memory_kib=CHEAP_KIB)
        seen = await seen_by(running_["XA"])
    with pytest.raises(BadInput, match="every member must say what it has seen; missing: XV"):
        restore(backup, place / "new", PASSPHRASE, [seen])
    with pytest.raises(WrongPassphrase):
        restore(backup, place / "new", b"another", [seen])
    damaged = place / "damaged"
    damaged.write_bytes(backup.read_bytes()[:-1])
    with pytest.raises(ExchangeError):
        restore(damaged, place / "new", PASSPHRASE, [seen])
    junk = place / "junk"
    junk.write_bytes(b"no backup")
    with pytest.raises(MalformedInput):
        restore(junk, place / "new", PASSPHRASE, [seen])
    assert not (place / "new").exists()


async def test_a_restored_relay_signs_nothing_that_does_not_continue_what_was_seen(place: Path) -> None:
    """What partners have seen is kept beside the store: putting an older one back later is noticed at the start."""
    async with nodes("XA", "XV") as (world, running_):
        home, backup = on_disk(world), place / "relay.backup"
        item = await push(running_["XA"], "XV")
        await receipted(running_["XA"], item.item, "XV")
        await audited(running_["XA"])
        seen = [await seen_by(running_["XA"]), LogsSeen(EXCHANGE, PartyId("XV"), "", "", None)]
        back_up(home, backup, PASSPHRASE, now_ms=now_ms(), memory_kib=CHEAP_KIB)
    assert seen[0].traffic
    restore(backup, place / "new", PASSPHRASE, seen)
    again = RelayHome(place / "new")
    (again.root / "relay.db").unlink()
    with pytest.raises(ConfigurationError, match="does not continue"):
        async with running(again, settings(), secrets(), Drain()):
            pass
