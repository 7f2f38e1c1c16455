"""A backup is made while the node runs, opens with its passphrase alone, and becomes a node that repeats nothing."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from exchange.errors import Conflict, ExchangeError, MalformedInput, NotAllowed, WrongPassphrase
from exchange.policy.model import Tlp
from exchange.runtime.backup_file import Kept, Manifest, decode_manifest, digest_of, encode_manifest
from exchange.runtime.clock import now_ms
from exchange.runtime.secrets import write_private
from nodes.backup import RESTORED, back_up, check_files, permitted, restore
from nodes.config import change_store, load
from nodes.keystore import load_keys, next_stream, save_keys
from nodes.operators import Profile
from nodes.parts import Node
from nodes.permits import Act, node_subject, read_permit, write_permit
from nodes.roles import Role
from nodes.store import reports
from nodes.store.rows import Reach
from tests.support.node_world import (
    NodeWorld,
    Place,
    a_node_world,
    at,
    count_reports,
    open_alarms,
    push,
    ready,
    receipted,
    stored,
    until,
)
from tests.support.operators import DAY_MS, key_of, permits
from tests.support.processes import LEAST_MEMORY_KIB, PASSPHRASE


def on_disk(place: Place) -> None:
    """Write what `concord node init` writes and tests keep in memory."""
    config = place.config
    text = f'party = "{config.party}"\nexchange = "{config.exchange}"\nrelay_address = "{config.relay_address}"\n'
    write_private(place.home / "node.toml", f"{text}keystore_memory_kib = {LEAST_MEMORY_KIB}\n".encode())
    save_keys(place.home, place.keys, PASSPHRASE, memory_kib=LEAST_MEMORY_KIB)


def restored(world: NodeWorld, place: Place, backup: Path) -> Place:
    """Make a new home of a backup, and destroy the old one."""
    home = world.root / f"{place.name}-restored"
    restore(backup, home, PASSPHRASE, now_ms=now_ms())
    shutil.rmtree(place.home)
    return replace(place, home=home, keys=load_keys(home, PASSPHRASE))


async def test_a_restored_node_goes_on_under_a_new_stream_with_all_that_it_held() -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        lost = world.places["XV"]
        on_disk(lost)
        backup = world.root / "xv.backup"
        async with at(world.places["XA"]) as partner:
            async with at(lost) as node:
                await ready(node, ["XA"])
                await ready(partner, ["XV"])
                came, gone = await push(partner, "XV"), await push(node, "XA")
                await receipted(partner, came.item, "XV")
                await receipted(node, gone.item, "XA")
                made = back_up(lost.home, backup, PASSPHRASE, now_ms=now_ms())
                assert made.reports == 2
            place = restored(world, lost, backup)
            assert place.keys.stream > lost.keys.stream
            async with at(place) as node:
                await ready(node, ["XA"])
                assert await count_reports(node) == 2
                again = await push(node, "XA", key="again")
                await receipted(node, again.item, "XA")
                await until(partial(_sealed_for_new_prekeys, partner, node), "XA does not know the new prekeys")
                late = await push(partner, "XV", key="late")
                await receipted(partner, late.item, "XV")
                assert await open_alarms(node) == await open_alarms(partner) == []


def _sealed_for_new_prekeys(partner: Node, node: Node) -> bool:
    prekey = partner.core.trust.now.prekey(node.core.me, now_ms())
    return prekey is not None and node.core.keybox.prekey(prekey.key_id) is not None


async def test_what_was_sealed_and_not_answered_goes_again_and_is_held_once() -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        lost = world.places["XV"]
        on_disk(lost)
        backup = world.root / "xv.backup"
        async with at(world.places["XA"]) as partner:
            async with at(lost) as node:
                await ready(node, ["XA"])
                first = await push(node, "XA")
                # The backup is of the moment in which the envelope was sealed and the answer was not there.
                await until(partial(_reached, node, first.item), "it is not sealed")
                back_up(lost.home, backup, PASSPHRASE, now_ms=now_ms())
                await receipted(node, first.item, "XA")
            async with at(restored(world, lost, backup)) as node:
                await ready(node, ["XA"])
                await receipted(node, first.item, "XA")
            assert await count_reports(partner) == 1
            assert await open_alarms(partner) == []


async def _reached(node: Node, item: bytes) -> bool:
    row = await node.core.database.read(partial(reports.addressee, item=item, recipient="XA"))
    return row is not None and row.state is not Reach.WAITING


async def test_a_backup_holds_no_prekeys_and_opens_with_the_passphrase_alone() -> None:
    async with a_node_world("XA") as world:
        place = world.places["XA"]
        on_disk(place)
        backup = world.root / "xa.backup"
        async with at(place) as node:
            await ready(node, [], agree=False)
            await until(lambda: node.prekeys.days_ahead() > 0, "no prekeys")
            seeds = [key.seed for key in node.core.keybox._prekeys.values()]
            assert len(seeds) > 30
            back_up(place.home, backup, PASSPHRASE, now_ms=now_ms())
        with pytest.raises(Conflict):
            back_up(place.home, backup, PASSPHRASE, now_ms=now_ms())
        with pytest.raises(WrongPassphrase):
            back_up(place.home, world.root / "other", b"another passphrase", now_ms=now_ms())
        assert not (world.root / "other").exists() and not (world.root / ".other.part").exists()
        home = world.root / "again"
        with pytest.raises(WrongPassphrase):
            restore(backup, home, b"another passphrase", now_ms=now_ms())
        assert not home.exists()
        restore(backup, home, PASSPHRASE, now_ms=now_ms())
        assert check_files(home, PASSPHRASE) == 0
        sealed = backup.read_bytes()
        assert not any(seed in sealed for seed in seeds)
        with pytest.raises(Conflict):
            restore(backup, home, PASSPHRASE, now_ms=now_ms())


@pytest.mark.parametrize("how", ["cut", "flipped", "longer", "not one"])
async def test_a_damaged_backup_makes_no_home(how: str) -> None:
    async with a_node_world("XA") as world:
        place = world.places["XA"]
        on_disk(place)
        backup, home = world.root / "xa.backup", world.root / "again"
        async with at(place) as node:
            await ready(node, [], agree=False)
            back_up(place.home, backup, PASSPHRASE, now_ms=now_ms())
        data = bytearray(backup.read_bytes())
        if how == "cut":
            data = data[: -(len(data) // 3)]
        elif how == "flipped":
            data[-100] ^= 1
        elif how == "longer":
            data += (8).to_bytes(4, "big") + bytes(8)
        else:
            data = bytearray(b"a text")
        backup.write_bytes(data)
        with pytest.raises(ExchangeError):
            restore(backup, home, PASSPHRASE, now_ms=now_ms())
        assert not home.exists()
        # What was half made is in nobody's way.
        backup.unlink()
        back_up(place.home, backup, PASSPHRASE, now_ms=now_ms())
        restore(backup, home, PASSPHRASE, now_ms=now_ms())


async def admitted(node: Node, *names: str) -> None:
    """Admit administrators; their keys are those of their names."""
    for name in names:
        profile = Profile(name, key_of(name).public, frozenset({Role.ADMINISTRATOR}), Tlp.RED, now_ms() + DAY_MS)
        await node.operators.add(profile, by="owner")


async def test_a_node_with_operators_is_backed_up_and_restored_by_two_of_them() -> None:
    async with a_node_world("XA") as world:
        place = world.places["XA"]
        on_disk(place)
        backup, home = world.root / "xa.backup", world.root / "xa-restored"
        subject = node_subject(place.config.exchange, "XA")
        async with at(place) as node:
            await ready(node, [], agree=False)
            await admitted(node, "root", "sami")
            for few in ((), ("root",)):
                with pytest.raises(NotAllowed, match="takes two"):
                    back_up(place.home, backup, PASSPHRASE, now_ms=now_ms(), permits=permits(Act.BACKUP, subject, *few))
                assert not backup.exists() and not (world.root / ".xa.backup.part").exists()
            both = permits(Act.BACKUP, subject, "root", "sami")
            made = back_up(place.home, backup, PASSPHRASE, now_ms=now_ms(), permits=both)
            assert made.manifest.permitted == ("root", "sami")
        digest = digest_of(backup).hex()
        for wrong in (
            [],
            permits(Act.RESTORE, digest, "root"),
            permits(Act.RESTORE, bytes(32).hex(), "root", "sami"),
            both,
        ):
            with pytest.raises(NotAllowed):
                restore(backup, home, PASSPHRASE, now_ms=now_ms(), permits=wrong)
            # Nor does what was unsealed to look for the operators stay there to be used.
            assert not home.exists() and not (world.root / ".xa-restored.restoring").exists()
        made_of = restore(
            backup, home, PASSPHRASE, now_ms=now_ms(), permits=permits(Act.RESTORE, digest, "root", "sami")
        )
        assert made_of.permitted == ("root", "sami")
        async with at(replace(place, home=home, keys=load_keys(home, PASSPHRASE))) as node:
            lines = await node.operators.audit(limit=9)
            assert {(line.operator, line.subject) for line in lines if line.action == RESTORED} == {
                ("root", digest),
                ("sami", digest),
            }


async def test_operators_whose_time_is_over_meanwhile_still_permit_to_restore_what_was_backed_up_in_it() -> None:
    async with a_node_world("XA") as world:
        place = world.places["XA"]
        on_disk(place)
        backup = world.root / "xa.backup"
        subject = node_subject(place.config.exchange, "XA")
        async with at(place) as node:
            await admitted(node, "root", "sami")
            both = permits(Act.BACKUP, subject, "root", "sami")
            back_up(place.home, backup, PASSPHRASE, now_ms=now_ms(), permits=both)
        late_ms = now_ms() + 400 * DAY_MS
        digest = digest_of(backup).hex()
        given = [
            read_permit(write_permit(Act.RESTORE, digest, key_of(name), now_ms=late_ms, days=1))
            for name in ("root", "sami")
        ]
        restore(backup, world.root / "later", PASSPHRASE, now_ms=late_ms, permits=given)


@pytest.mark.parametrize("back", ["", "another database"])
async def test_a_node_on_postgresql_is_backed_up_and_restored_into_either_kind(
    postgres_url: str, another_postgres_url: str, back: str
) -> None:
    async with a_node_world("XV") as world:
        place = await world.place("XA")
        place.config = place.config.model_copy(update={"store_url": postgres_url})
        on_disk(place)
        change_store(place.home, postgres_url)
        await world.relay.agree("XA", "XV")
        backup = world.root / "xa.backup"
        async with at(world.places["XV"]) as partner:
            async with at(place) as node:
                await ready(node, ["XV"])
                await ready(partner, ["XA"])
                came, gone = await push(partner, "XA"), await push(node, "XV")
                await receipted(partner, came.item, "XA")
                await receipted(node, gone.item, "XV")
                assert back_up(place.home, backup, PASSPHRASE, now_ms=now_ms()).reports == 2
            home = world.root / "xa-restored"
            with pytest.raises(Conflict, match="holds something already"):
                restore(backup, home, PASSPHRASE, now_ms=now_ms())
            assert not home.exists()
            url = another_postgres_url if back else ""
            restore(backup, home, PASSPHRASE, now_ms=now_ms(), store_url=url)
            assert (home / "node.db").exists() is (not back)
            assert load(home).store_url == url
            config = place.config.model_copy(update={"store_url": url})
            async with at(replace(place, home=home, config=config, keys=load_keys(home, PASSPHRASE))) as node:
                await ready(node, ["XV"])
                assert await count_reports(node) == 2
                again = await push(node, "XV", key="again")
                await receipted(node, again.item, "XV")


@pytest.mark.parametrize("name", ["../node.keys", "/etc/passwd", "spool/x.json", "node.db-wal", "..yaml"])
def test_a_manifest_names_files_of_a_node_and_no_others(name: str) -> None:
    data = encode_manifest(Manifest("XA", "test.concord.example", 1, (Kept(name, 1, bytes(32)),)))
    with pytest.raises(MalformedInput):
        decode_manifest(data, allowed=permitted)


def test_two_lives_of_one_backup_never_share_numbers() -> None:
    at_ms = now_ms()
    first = next_stream(1, at_ms)
    assert next_stream(1, at_ms + 1000) > first > 1
    assert next_stream(first, at_ms) == first + 1


async def test_what_a_node_had_sealed_for_nobody_yet_is_in_the_backup() -> None:
    async with a_node_world("XA") as world:
        place = world.places["XA"]
        on_disk(place)
        backup = world.root / "xa.backup"
        async with at(place) as node:
            await ready(node, [], agree=False)
            pushed = await push(node)
            back_up(place.home, backup, PASSPHRASE, now_ms=now_ms())
        async with at(restored(world, place, backup)) as node:
            assert await stored(node, pushed.item) is not None
            assert await node.shelf.opened(pushed.item) is not None
