"""A thief copies every file of a running node: what can and cannot be opened, with and without the passphrase.

Each sentence of docs/security/stolen-disk.md names the test here that shows it.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from exchange.crypto.keystore import open_keystore
from exchange.crypto.signed import sign, verify_signed
from exchange.crypto.xwing import unwrap
from exchange.envelope import binding
from exchange.envelope.codec import decode_delivery, decode_header, decode_leaf
from exchange.envelope.model import REPORT_TYPE
from exchange.errors import VerificationFailed, WrongPassphrase
from exchange.runtime.backup_file import digest_of
from exchange.runtime.clock import now_ms
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from nodes.backup import restore
from nodes.keybox import Keybox
from nodes.keystore import FILE, load_keys
from nodes.permits import Act
from nodes.store import keys as key_store
from nodes.store import reports
from nodes.store.rows import ItemState, Report
from nodes.vault import Opened, open_report, open_title
from tests.support import stolen_disk
from tests.support.directory_builders import EXCHANGE, party_keys
from tests.support.operators import permits
from tests.support.stolen_disk import CITATION, IN_CONTENT, MEMORY_KIB, PASSPHRASE, PEOPLE, TITLES, Loot, steal
from tests.support.traces import files_below, traces


@pytest.fixture(scope="module")
def loot(tmp_path_factory: pytest.TempPathFactory) -> Loot:
    return steal(tmp_path_factory.mktemp("thief"))


def outside_the_spool(loot: Loot, *secrets: bytes) -> list[str]:
    return [trace for trace in traces(loot.home, secrets) if not trace.startswith("spool/")]


# -- without the passphrase --------------------------------------------------------------------------------------------


def test_the_copy_holds_every_kind_of_file(loot: Loot) -> None:
    names = {str(path.relative_to(loot.home)) for path in files_below(loot.home)}
    assert {FILE, "node.db", "node.db-wal", "node.db-shm", "keys.db", "spool/sent/one.json"} <= names


def test_no_title_content_or_label_stands_in_any_file_outside_the_spool(loot: Loot) -> None:
    """Received, sent, waiting, sealed, unanswered, destroyed: in no database, and in none of their logs."""
    phrases = [*TITLES.values(), CITATION, IN_CONTENT]
    assert outside_the_spool(loot, *(phrase.encode() for phrase in phrases)) == []


def test_no_secret_key_stands_in_any_file(loot: Loot) -> None:
    keys = loot.place.keys
    seeds = [keys.statement.seed, keys.envelope.seed, keys.witness.seed, keys.transport_key, keys.master]
    prekeys = [key.seed for key in (*loot.prekeys_held, *loot.prekeys_destroyed)]
    assert len(prekeys) > 2
    assert list(traces(loot.home, [*seeds, *prekeys, *loot.report_keys.values()])) == []


def test_the_partys_root_is_in_no_file(loot: Loot) -> None:
    assert list(traces(loot.home, [party_keys("XV").root.seed])) == []


def test_another_passphrase_opens_nothing_and_each_guess_costs_its_memory(loot: Loot) -> None:
    with pytest.raises(WrongPassphrase):
        load_keys(loot.home, PASSPHRASE + b" ")
    data = (loot.home / FILE).read_bytes()
    cheap = data.replace(MEMORY_KIB.to_bytes(4, "big"), (MEMORY_KIB * 2).to_bytes(4, "big"), 1)
    assert cheap != data
    with pytest.raises(WrongPassphrase):
        open_keystore(cheap, PASSPHRASE)


def test_tokens_of_operators_and_sensors_stand_in_no_file(loot: Loot) -> None:
    assert len(loot.tokens) == 3
    assert list(traces(loot.home, [token.encode() for token in loot.tokens])) == []


def test_who_sends_to_whom_names_of_operators_and_reasons_of_retractions_can_be_read(loot: Loot) -> None:
    clear = [b"XA", b"XN", stolen_disk.OPERATOR.encode(), stolen_disk.REASON.encode()]
    found = "\n".join(traces(loot.home, clear))
    assert all(repr(word) in found for word in clear)
    with Database(sqlite_url(loot.home / "node.db")) as database:
        row = database.read_now(lambda c: reports.report_of(c, item=loot.items["received"]))
    assert row is not None
    assert (row.sender, row.kind, row.tlp) == ("XA", "incident-report", 3)


def test_the_spool_can_be_read(loot: Loot) -> None:
    """What a program drops there stays in clear, also when it was pushed, until somebody removes it."""
    assert stolen_disk.SPOOLED.encode() in (loot.home / "spool" / "sent" / "one.json").read_bytes()


def test_the_log_holds_ids_and_no_contents(loot: Loot) -> None:
    log = "\n".join(loot.log)
    assert "alarm" in log or "purged" in log
    phrases = [*TITLES.values(), stolen_disk.SPOOLED, CITATION, IN_CONTENT, *loot.tokens]
    assert [phrase for phrase in phrases if phrase in log] == []


# -- with the passphrase -----------------------------------------------------------------------------------------------


def opened(loot: Loot, name: str) -> tuple[Report, str, Opened]:
    """Open a report as the thief would: keystore, then keys.db, then node.db."""
    item, keys = loot.items[name], load_keys(loot.home, PASSPHRASE)
    with Database(sqlite_url(loot.home / "node.db")) as database:
        row = database.read_now(lambda c: reports.report_of(c, item=item))
    with Database(sqlite_url(loot.home / "keys.db")) as database:
        found = database.read_now(lambda c: key_store.report_keys(c, keys.master, [item]))
    assert row is not None
    key = found[item]
    return row, open_title(key, item, row.title), open_report(key, item, row.record)


@pytest.mark.parametrize("name", sorted(set(TITLES) - {"destroyed"}))
def test_whoever_has_the_passphrase_too_reads_every_report_that_is_not_destroyed(loot: Loot, name: str) -> None:
    _, title, report = opened(loot, name)
    assert title == TITLES[name]
    assert TITLES[name].encode() in report.statement.content


def test_what_was_destroyed_nobody_opens(loot: Loot) -> None:
    with pytest.raises(KeyError):
        opened(loot, "destroyed")
    with Database(sqlite_url(loot.home / "node.db")) as database:
        row = database.read_now(lambda c: reports.report_of(c, item=loot.items["destroyed"]))
    assert row is not None
    assert (row.state, row.title, row.record) == (ItemState.PURGED, b"", b"")


def test_what_was_recorded_under_a_destroyed_prekey_nobody_opens(loot: Loot) -> None:
    """Not with the passphrase either. What is sealed to the prekeys of days to come, the thief can open."""
    came = decode_delivery(loot.recording)
    leaf = decode_leaf(came.leaf)
    box = Keybox(loot.home, load_keys(loot.home, PASSPHRASE).master)
    box.open()
    try:
        assert box.prekey(leaf.kem_key) is None
        assert [each.public.key_id for each in loot.prekeys_held if box.prekey(each.public.key_id) is None] == []
        core_hash = binding.core_hash(decode_header(came.header.payload).core)
        info = binding.wrap_info(core_hash, leaf.kem_key, leaf.recipient)
        for each in loot.prekeys_held:
            with pytest.raises(VerificationFailed):
                unwrap(came.wrap, each, info)
    finally:
        box.close()
    right = next(each for each in loot.prekeys_destroyed if each.public.key_id == leaf.kem_key)
    assert len(unwrap(came.wrap, right, info)) == 32, "the recording is what it says"


def test_whoever_has_the_passphrase_too_signs_as_the_node_until_its_keys_are_revoked(loot: Loot) -> None:
    keys = load_keys(loot.home, PASSPHRASE)
    signed = sign(keys.statement, REPORT_TYPE, b"a lie", context=EXCHANGE)
    public = party_keys("XV").statement.public
    assert verify_signed(signed, lambda _: public, expected_type=REPORT_TYPE, context=EXCHANGE) == b"a lie"


# -- a backup ----------------------------------------------------------------------------------------------------------


def test_a_backup_shows_nothing_without_the_passphrase_not_even_who_sent_to_whom(loot: Loot) -> None:
    words = [*TITLES.values(), CITATION, IN_CONTENT, stolen_disk.OPERATOR, stolen_disk.REASON, "node.db"]
    secrets = [*(word.encode() for word in words), *loot.items.values(), loot.place.keys.master]
    assert list(traces(loot.backup.parent, secrets)) == []
    with pytest.raises(WrongPassphrase):
        restore(loot.backup, loot.backup.with_name("home"), PASSPHRASE + b" ", now_ms=0)


def test_a_backup_with_the_passphrase_opens_what_the_disk_does_but_no_traffic_at_all(
    loot: Loot, tmp_path: Path
) -> None:
    """It has no prekey, neither of days past nor of days to come."""
    home = tmp_path / "restored"
    both = permits(Act.RESTORE, digest_of(loot.backup).hex(), *PEOPLE)
    restore(loot.backup, home, PASSPHRASE, now_ms=now_ms(), permits=both)
    assert opened(replace(loot, home=home), "received")[1] == TITLES["received"]
    with pytest.raises(KeyError):
        opened(replace(loot, home=home), "destroyed")
    box = Keybox(home, load_keys(home, PASSPHRASE).master)
    box.open()
    try:
        every = (*loot.prekeys_held, *loot.prekeys_destroyed)
        assert [each for each in every if box.prekey(each.public.key_id)] == []
    finally:
        box.close()
