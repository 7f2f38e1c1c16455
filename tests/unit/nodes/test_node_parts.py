"""Small parts of a node, each by itself: keys at rest, days of prekeys, digests, what a refusal means."""

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import sign, verify_signed
from exchange.crypto.xwing import XWingKey
from exchange.directory.prekeys import day_of
from exchange.envelope.binding import item_hash
from exchange.envelope.codec import encode_report
from exchange.envelope.model import REPORT_TYPE, ReportStatement
from exchange.errors import ConfigurationError, VerificationFailed, WrongPassphrase
from exchange.names import party_id
from exchange.policy.codec import encode_label, encode_release
from exchange.policy.decision import WAITS, Reason
from exchange.policy.text import parse_label
from exchange.receipts.model import Refusal
from nodes import vault
from nodes.answers import HELD_MOST_MS, HELD_TRIES, STEP_DECIDE, STEP_PREKEYS, TRIES_MOST, _after_refusal
from nodes.keybox import FILE, RECENT, Keybox
from nodes.keystore import create_keys, load_keys, save_keys
from nodes.link import Link
from nodes.outbox import push_digest
from nodes.prekeys import DAY_MS, KEEP_MOST_MS, KEEP_MS, first_day_kept, strangers
from nodes.signer import Signer
from nodes.store.keys import Prekey
from nodes.store.rows import Addressee, Reach
from tests.support.directory_builders import EXCHANGE, NOON, an_exchange, composite
from tests.support.node_world import a_label
from tests.support.policy_builders import a_holding
from tests.support.receipts import a_refusal

MASTER = bytes(range(32))
ITEM, OTHER, STRAY = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32


# -- keys at rest ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def a_keybox(home: Path, master: bytes = MASTER) -> AsyncIterator[Keybox]:
    box = Keybox(home, master)
    box.open()
    try:
        yield box
    finally:
        box.close()


async def test_a_report_key_is_the_same_until_it_is_destroyed_and_then_gone(tmp_path: Path) -> None:
    async with a_keybox(tmp_path) as box:
        first = await box.new_keys([ITEM, OTHER])
        assert await box.new_keys([ITEM]) == {ITEM: first[ITEM]}
        both = await box.new_keys([STRAY, ITEM])
        assert both[ITEM] == first[ITEM] != both[STRAY]
        await box.destroy([ITEM])
        assert await box.keys([ITEM, OTHER]) == {OTHER: first[OTHER]}
        assert await box.without_key([ITEM, OTHER]) == {ITEM}


async def test_of_more_keys_than_are_held_in_memory_each_is_found_until_it_is_destroyed(tmp_path: Path) -> None:
    items = [number.to_bytes(32, "big") for number in range(RECENT + 2)]
    async with a_keybox(tmp_path) as box:
        made = await box.new_keys(items)
        assert await box.keys(items) == made
        await box.destroy([items[0], items[-1]])
        assert await box.keys([items[0], items[1], items[-2], items[-1]]) == {
            items[1]: made[items[1]],
            items[-2]: made[items[-2]],
        }


async def test_a_destroyed_key_is_in_none_of_the_files(tmp_path: Path) -> None:
    async with a_keybox(tmp_path) as box:
        await box.new_keys([ITEM])
        with sqlite3.connect(tmp_path / FILE) as file:
            ((wrapped,),) = file.execute("SELECT wrapped FROM report_key").fetchall()
        file.close()
        held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert wrapped[-48:] in held
        await box.destroy([ITEM])
        held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert wrapped[-48:] not in held


async def test_keys_do_not_open_under_another_master_key(tmp_path: Path) -> None:
    async with a_keybox(tmp_path) as box:
        await box.new_keys([ITEM])
    async with a_keybox(tmp_path, bytes(32)) as box:
        with pytest.raises(VerificationFailed):
            await box.keys([ITEM])


async def test_prekeys_survive_a_restart_and_go_by_day(tmp_path: Path) -> None:
    made = [Prekey(day, XWingKey.generate()) for day in (10, 11)]
    async with a_keybox(tmp_path) as box:
        await box.add_prekeys(made)
    async with a_keybox(tmp_path) as box:
        found = box.prekey(made[0].key.public.key_id)
        assert found is not None and found.seed == made[0].key.seed
        assert await box.destroy_prekeys_before(11) == 1
        assert box.prekey(made[0].key.public.key_id) is None
        assert [day for day, _ in await box.prekey_days()] == [11]


def a_signed_report() -> tuple[bytes, bytes, bytes]:
    """Return item, signed statement and release of a report."""
    parsed = parse_label(a_label("XV"), originator=party_id("XA"), now_ms=NOON)
    statement = ReportStatement(
        exchange=EXCHANGE,
        originator=party_id("XA"),
        label=encode_label(parsed.label),
        kind="alert",
        media_type="application/stix+json;version=2.1",
        content=b"{}",
        thread_id=bytes(16),
        supersedes=b"",
        authored_ms=NOON,
        salt=bytes(16),
    )
    payload = encode_report(statement)
    signed = sign(composite("XA/statement"), REPORT_TYPE, payload, context=EXCHANGE)
    return item_hash(payload), encode_signed(signed), encode_release(parsed.release)


def test_a_stored_report_opens_to_what_was_stored_and_only_in_its_own_place() -> None:
    item, signed, release = a_signed_report()
    holding = a_holding()
    title, record = vault.seal_report(MASTER, item, title="Überfall", signed=signed, release=release, holding=holding)
    opened = vault.open_report(MASTER, item, record)
    assert encode_signed(opened.signed) == signed
    assert opened.audience is not None and opened.holding == holding and opened.duties
    assert opened.release is None, "of another's report the audience decides nothing here"
    own = vault.open_report(MASTER, item, vault.seal_report(MASTER, item, title="", signed=signed, release=release)[1])
    assert own.release == own.audience == opened.audience and own.holding is None
    assert vault.open_title(MASTER, item, title) == "Überfall"
    for wrong in (lambda: vault.open_report(MASTER, OTHER, record), lambda: vault.open_title(MASTER, OTHER, title)):
        with pytest.raises(VerificationFailed):
            wrong()
    with pytest.raises(VerificationFailed):
        vault.open_report(MASTER, item, record[:-1] + bytes([record[-1] ^ 1]))


def test_a_stix_id_is_found_by_who_has_the_master_key_only() -> None:
    stix = "report--22222222-2222-4222-8222-222222222222"
    assert vault.stix_digest(MASTER, stix) == vault.stix_digest(MASTER, stix)
    assert vault.stix_digest(MASTER, stix) != vault.stix_digest(bytes(32), stix)
    assert vault.stix_digest(MASTER, stix) != hashlib.sha256(stix.encode()).digest()


def test_a_keystore_holds_the_keys_of_a_node_and_nothing_in_clear(tmp_path: Path) -> None:
    keys = create_keys(now_ms=NOON)
    save_keys(tmp_path, keys, b"open sesame", memory_kib=64 * 1024)
    found = load_keys(tmp_path, b"open sesame")
    assert (found.statement.seed, found.envelope.seed, found.master) == (
        keys.statement.seed,
        keys.envelope.seed,
        keys.master,
    )
    assert (found.transport_ca, found.stream) == (keys.transport_ca, 1)
    data = (tmp_path / "node.keys").read_bytes()
    assert not any(secret in data for secret in (keys.statement.seed[:16], keys.envelope.seed[:16], keys.master[:16]))
    assert keys.master.hex() not in repr(keys) and repr(keys.master) not in repr(keys)
    with pytest.raises(WrongPassphrase):
        load_keys(tmp_path, b"open barley")
    (tmp_path / "node.keys").chmod(0o644)
    with pytest.raises(ConfigurationError):
        load_keys(tmp_path, b"open sesame")


# -- days of prekeys ---------------------------------------------------------------------------------------------------


@given(
    days=st.lists(st.integers(100, 200), min_size=1, max_size=40, unique=True),
    now=st.integers(90, 260),
    drained=st.integers(0, 260),
)
def test_a_prekey_goes_when_it_has_served_and_at_the_latest_after_thirty_days(
    days: list[int], now: int, drained: int
) -> None:
    now_ms, drained_ms = now * DAY_MS + 1, min(drained, now) * DAY_MS
    keep = first_day_kept(days, now_ms, drained_ms)
    for day in days:
        end_ms = (day + 1) * DAY_MS
        if day < keep:
            assert now_ms >= end_ms + KEEP_MS
            assert drained_ms >= end_ms + KEEP_MS or now_ms >= end_ms + KEEP_MOST_MS
        else:
            assert now_ms < end_ms + KEEP_MOST_MS or day != keep


def test_an_embassy_cut_off_for_a_week_keeps_what_it_needs() -> None:
    today = 1_000
    last_seen_ms = (today - 7) * DAY_MS
    assert first_day_kept(range(today - 9, today + 20), today * DAY_MS, last_seen_ms) == today - 9


def test_after_draining_a_prekey_lives_three_days_past_its_own() -> None:
    now_ms = 1_000 * DAY_MS
    assert first_day_kept(range(990, 1_030), now_ms, now_ms) == 997


# -- outbox and answers ------------------------------------------------------------------------------------------------


def test_a_push_is_known_by_its_key_else_by_content_and_label_and_apart_for_each_caller() -> None:
    assert push_digest("", b"a", b"bc") != push_digest("", b"ab", b"c")
    assert push_digest("k", b"a", b"b") == push_digest("k", b"other", b"")
    assert push_digest("", b"a", b"b") == push_digest("", b"a", b"b")
    digests = {push_digest("k", b"a", b"b", who=who) for who in ("", "sensor/a", "sensor/b")}
    assert len(digests) == 3


def after(refusal: Refusal, row: Addressee, *, recipients: int = 2) -> Addressee:
    return _after_refusal(row, refusal, recipients, 1_000, 10)


def a_row(**changes: object) -> Addressee:
    made = Addressee(ITEM, "XV", 1, 3, Reach.SEALED, envelope=OTHER)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_recipient_that_a_refusal_names_is_refused_and_the_others_go_at_once() -> None:
    refusal = replace(a_refusal(), step=STEP_DECIDE, recipient="XV")
    assert after(refusal, a_row()).state is Reach.REFUSED
    innocent = after(refusal, a_row(recipient="XO"))
    assert (innocent.state, innocent.due_ms, innocent.alone, innocent.envelope) == (Reach.WAITING, 1_000, False, b"")
    assert after(refusal, a_row(recipient="XO", tries=TRIES_MOST - 1)).state is Reach.WAITING


def test_who_is_refused_under_a_newer_directory_is_decided_on_again_later_and_alone() -> None:
    refusal = replace(a_refusal(), step=STEP_DECIDE, recipient="XV")
    again = _after_refusal(a_row(), refusal, 2, 1_000, 10, stale=True)
    assert (again.state, again.due_ms, again.alone, again.tries) == (Reach.WAITING, 1_010, True, 1)
    assert again.on_change, "as soon as this node's own directory changes"
    last = _after_refusal(a_row(tries=TRIES_MOST - 1), refusal, 1, 1_000, 10, stale=True)
    assert (last.state, last.tries) == (Reach.WAITING, TRIES_MOST - 1)


@pytest.mark.parametrize("reason", sorted(WAITS))
def test_a_relay_that_refuses_for_what_may_yet_change_gives_nothing_up(reason: Reason) -> None:
    refusal = replace(a_refusal(), step=STEP_DECIDE, recipient="", reason=reason)
    row = a_row()
    for _ in range(3 * TRIES_MOST):
        row = after(refusal, row, recipients=1)
        assert row.state is Reach.WAITING and row.on_change
        row = replace(row, state=Reach.SEALED)


def test_a_sender_that_is_suspended_keeps_its_recipients_together() -> None:
    refusal = replace(a_refusal(), step=STEP_DECIDE, recipient="", clause="", reason=Reason.SENDER_SUSPENDED)
    again = after(refusal, a_row(), recipients=2)
    assert (again.state, again.alone, again.due_ms) == (Reach.WAITING, False, 1_010)


def test_a_refusal_that_names_nobody_parts_the_recipients_and_then_slows_down() -> None:
    refusal = replace(a_refusal(), step=STEP_DECIDE, recipient="", clause="")
    parted = after(refusal, a_row())
    assert (parted.state, parted.due_ms, parted.alone) == (Reach.WAITING, 1_000, True)
    waits = []
    row = replace(parted, state=Reach.SEALED)
    while (row := after(refusal, row, recipients=1)).state is Reach.WAITING:
        waits.append(row.due_ms - 1_000)
        row = replace(row, state=Reach.SEALED)
    assert waits == sorted(waits) and waits[0] > 0 and len(waits) == TRIES_MOST - 2
    assert row.state is Reach.REFUSED


def test_a_refusal_of_the_envelope_itself_is_not_held_against_its_recipients() -> None:
    refusal = replace(a_refusal(), step=7, recipient="", clause="", reason="BAD_ENVELOPE")
    again = after(refusal, a_row())
    assert (again.state, again.alone) == (Reach.WAITING, False)
    assert again.due_ms > 1_000


def test_refusals_of_the_envelope_itself_are_never_final_and_slow_down_to_a_few_minutes() -> None:
    refusal = replace(a_refusal(), step=5, recipient="", clause="", reason="SENDER_KEY_NOT_VALID")
    row, waits = a_row(), []
    for _ in range(3 * TRIES_MOST):
        row = _after_refusal(row, refusal, 2, 0, 4_000)
        assert row.state is Reach.WAITING and refusal.reason in row.why and not row.alone
        waits.append(row.due_ms)
        row = replace(row, state=Reach.SEALED)
    assert waits[0] == 4_000 and waits == sorted(waits) and waits[-1] == HELD_MOST_MS
    assert row.tries == HELD_TRIES < TRIES_MOST - 1  # a refusal for the recipient's sake still has tries of its own
    named = _after_refusal(a_row(tries=TRIES_MOST), replace(refusal, recipient="XV"), 2, 0, 4_000)
    assert (named.state, named.tries) == (Reach.WAITING, TRIES_MOST)


def test_whose_prekey_is_refused_again_and_again_holds_up_nobody_else() -> None:
    refusal = replace(a_refusal(), step=STEP_PREKEYS, recipient="", clause="")
    assert not after(refusal, a_row()).alone
    assert after(refusal, a_row(tries=HELD_TRIES)).alone


async def test_statements_that_wait_together_stand_under_one_signature() -> None:
    with ThreadPoolExecutor(1) as executor:
        signer = Signer(lambda: composite("XA/statement"), exchange=EXCHANGE, executor=executor)
        signed = await asyncio.gather(*(signer.sign("report", random_bytes(40)) for _ in range(20)))
    key = composite("XA/statement").public
    for each in signed:
        verify_signed(each, lambda _: key, expected_type="report", context=EXCHANGE)
    assert len({each.signatures[0].sig for each in signed}) < 5


async def test_a_failed_signature_reaches_those_who_wait_for_it() -> None:
    with ThreadPoolExecutor(1) as executor:
        signer = Signer(lambda: composite("XA/statement"), exchange=EXCHANGE, executor=executor)
        with pytest.raises(Exception, match="cannot name"):
            await signer.sign("No Such Name", b"payload")
        assert await signer.sign("report", b"payload")


def test_the_link_is_connected_while_any_part_hears_the_relay() -> None:
    link = Link(lambda: 5_000)
    assert link.state == "connecting"
    link.heard("deliver", 4_000)
    link.heard("submit")
    assert (link.state, link.skew_ms) == ("connected", 1_000)
    link.lost("submit", ConfigurationError("gone"))
    assert link.state == "connected"
    link.lost("deliver", ConfigurationError("gone"))
    assert (link.state, link.error) == ("unreachable", "CONFIGURATION: gone")


def test_a_life_that_began_anew_knows_strangers_by_their_place_in_the_log() -> None:
    day = day_of(NOON)
    exchange = an_exchange(("XA", "XV"))
    before, mine, after = (exchange.publish_prekeys("XV", day + number) for number in range(3))
    named = exchange.directory.bundles(party_id("XV"))
    hashes = [hashlib.sha256(each.payload).digest() for each in (before, mine, after)]

    def foreign(ours: dict[bytes, int], stream: int) -> list[bytes]:
        return [each.statement.bundle_sha256 for each in strangers(named, ours, stream=stream)]

    began = NOON // 1000
    assert foreign({hashes[1]: NOON}, 1) == [hashes[2], hashes[0]]
    assert foreign({hashes[1]: NOON}, began) == [hashes[2]]
    # A bundle of the former life, which came with the backup, does not count as the first of this one.
    assert foreign({hashes[0]: NOON - 1, hashes[1]: NOON}, began) == [hashes[2]]
    assert foreign({hashes[0]: NOON - 1}, began) == []
