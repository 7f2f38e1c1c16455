"""A relay that lies, with its true keys, is caught each time: by which node, and with which alarm.

The relay itself is honest; what lies stands between it and the node, and can sign as the relay.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

from exchange.crypto.signed import Signed, sign
from exchange.envelope.codec import decode_delivery, encode_delivery
from exchange.envelope.model import Lane
from exchange.merkle import inclusion_path, leaf_hash, root_of
from exchange.receipts.codec import decode_decisions, decode_promise, encode_decisions, encode_promise
from exchange.receipts.model import RelayDecision
from exchange.tlog.checkpoint import Checkpoint, traffic_origin
from exchange.tlog.entry import ENTRY_BYTES
from exchange.tlog.signing import open_checkpoint, sign_checkpoint
from nodes.app import Node
from nodes.auditor import MERGE_MS
from nodes.relay_port import Answered, Delivered, Log, Outcome, Waiting
from nodes.store import receiving, reports, sending
from nodes.store.rows import Reach
from nodes.trust import Snapshot
from tests.support.directory_builders import EXCHANGE, ed25519, log_keys
from tests.support.node_world import QUICK, nodes, open_alarms, push, reach, reached, receipted, stored, until

PROMISE, LOG = ed25519("relay/promise"), log_keys("relay")


class Liar:
    """Stands before a relay: what it does not lie about is the relay's own word."""

    def __init__(self, relay: Any) -> None:
        """Any: the relay of a node, or another liar."""
        self._relay = relay

    def __getattr__(self, name: str) -> Any:
        """Pass on."""
        return getattr(self._relay, name)


def signed_promise(signed: Signed, **changes: object) -> Signed:
    """Return another promise for the same envelope, signed by the relay."""
    promise = replace(decode_promise(signed.payload), **changes)  # type: ignore[arg-type]
    return sign(PROMISE, "promise", encode_promise(promise), context=EXCHANGE)


def between(node: Node, change: Callable[[Waiting], Waiting | None]) -> None:
    """Let `change` change, or drop, everything that is delivered to a node."""
    take = node.receiver.take

    async def changed(frame: Delivered) -> object:
        kept = [each for waiting in frame.waiting if (each := change(waiting)) is not None]
        return await take(Delivered(kept, frame.now_ms)) if kept else None

    node.receiver.take = changed  # type: ignore[method-assign,assignment]


def with_promise(waiting: Waiting, **changes: object) -> Waiting:
    """Return a delivery under another promise."""
    delivery = decode_delivery(waiting.delivery)
    changed = replace(delivery, promise=signed_promise(delivery.promise, **changes))
    return Waiting(waiting.lane, waiting.position, encode_delivery(changed))


async def alarmed(node: Node, kind: str) -> None:
    """Wait until an alarm of this kind is open."""

    async def rings() -> bool:
        return kind in await open_alarms(node)

    await until(rings, f"no alarm of kind {kind}")


async def aside(node: Node) -> list[tuple[int, str]]:
    """Return step and reason of what was set aside."""
    return [(each.step, each.reason) for each in await node.core.database.read(receiving.list_set_aside)]


# -- deliveries --------------------------------------------------------------------------------------------------------


async def test_a_delivery_that_never_comes_shows_in_the_senders_stream_head() -> None:
    async with nodes("XA", "XV") as (_, running):
        dropped: list[Waiting] = []

        def drop_first(waiting: Waiting) -> Waiting | None:
            if not dropped:
                dropped.append(waiting)
                return None
            return waiting

        between(running["XV"], drop_first)
        lost = await push(running["XA"], "XV")
        await reached(running["XA"], lost.item, "XV", Reach.PROMISED)
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        quick = QUICK.model_copy(update={"stream_head_quiet_s": 0.001, "gap_alarm_s": 0.001})
        for node in running.values():
            object.__setattr__(node.core, "timing", quick)
        await asyncio.sleep(0.01)
        await running["XA"].numbers.streams.tell()
        await alarmed(running["XV"], "gap")
        assert await stored(running["XV"], lost.item) is None


async def test_a_promise_under_an_older_directory_than_the_senders_is_refused() -> None:
    async with nodes("XA", "XV") as (_, running):
        size = running["XA"].core.trust.now.size
        between(running["XV"], lambda waiting: with_promise(waiting, directory_size=size - 1))
        sent = await push(running["XA"], "XV")
        await reached(running["XA"], sent.item, "XV", Reach.REFUSED)
        assert await aside(running["XV"]) == [(10, "DIRECTORY_BELOW_SENDER")]


async def test_a_promise_that_goes_back_in_the_directory_is_refused_with_an_alarm() -> None:
    async with nodes("XA", "XV") as (world, running):
        first = await push(running["XA"], "XV")
        await receipted(running["XA"], first.item, "XV")
        await world.place("XO")  # the directory grows
        size = running["XV"].core.trust.now.size
        await until(lambda: running["XV"].core.trust.now.size > size, "the directory did not grow")
        await until(lambda: running["XA"].core.trust.now.size > size, "the directory did not grow")
        second = await push(running["XA"], "XV")
        await receipted(running["XA"], second.item, "XV")
        between(running["XV"], lambda waiting: with_promise(waiting, directory_size=size, log_index=10_000))
        old = running["XA"].core.trust.now
        running["XA"].core.trust._snapshot = await _as_it_was(old, size)
        third = await push(running["XA"], "XV")
        await reached(running["XA"], third.item, "XV", Reach.REFUSED)
        assert await aside(running["XV"]) == [(10, "DIRECTORY_DECREASES")]
        await alarmed(running["XV"], "relay")


async def _as_it_was(snapshot: Snapshot, size: int) -> Snapshot:
    """Return a snapshot whose head is that of an earlier size: a sender that the relay keeps in the past."""

    class Past(Snapshot):
        @property
        def head(self) -> Any:
            return type(snapshot.head)(size, snapshot.roots[size])

    return Past(snapshot.directory, snapshot.roots, snapshot.views, snapshot.bundles)


async def test_a_sender_that_was_shown_another_directory_is_noticed_by_its_recipient() -> None:
    async with nodes("XA", "XV") as (_, running):
        trust = running["XV"].core.trust
        honest = trust._replace

        def elsewhere(snapshot: Snapshot) -> bool:
            roots = [root if size < 2 else bytes(32) for size, root in enumerate(snapshot.roots)]
            return honest(replace(snapshot, roots=roots))

        # Also what is replayed from now on: prekeys of the others may still be on their way.
        trust._replace = elsewhere  # type: ignore[method-assign]
        elsewhere(trust.now)
        sent = await push(running["XA"], "XV")
        await alarmed(running["XV"], "directory")
        assert await aside(running["XV"]) == [(10, "DIRECTORY_DIFFERS")]
        assert await stored(running["XV"], sent.item) is None
        # What XV answers shows XA the same: its head, too, is another one.
        await alarmed(running["XA"], "directory")


async def test_a_promise_that_the_relay_did_not_sign_is_refused() -> None:
    async with nodes("XA", "XV") as (_, running):

        def forge(waiting: Waiting) -> Waiting:
            delivery = decode_delivery(waiting.delivery)
            forged = sign(LOG.ed25519, "promise", delivery.promise.payload, context=EXCHANGE)
            return Waiting(waiting.lane, waiting.position, encode_delivery(replace(delivery, promise=forged)))

        between(running["XV"], forge)
        sent = await push(running["XA"], "XV")
        await reached(running["XA"], sent.item, "XV", Reach.PROMISED)

        async def set_aside() -> bool:
            return await aside(running["XV"]) == [(1, "BAD_ENVELOPE")]

        await until(set_aside, "the delivery was not set aside")
        assert await stored(running["XV"], sent.item) is None


async def test_an_envelope_for_somebody_else_is_refused() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        seen: list[Waiting] = []

        def keep(waiting: Waiting) -> Waiting:
            seen.append(waiting)
            return waiting

        between(running["XO"], keep)
        sent = await push(running["XA"], "XO")
        await receipted(running["XA"], sent.item, "XO")
        report = next(each for each in seen if each.lane is Lane.ROUTINE)
        await running["XV"].receiver.take(Delivered([report], 0))
        assert await aside(running["XV"]) == [(4, "BAD_ENVELOPE")]


# -- answers -----------------------------------------------------------------------------------------------------------


def under_another_agreement(outcome: Outcome) -> Outcome:
    decided = decode_decisions(outcome.decisions)
    decisions = tuple(RelayDecision(each.leaf_index, bytes(32)) for each in decided.decisions)
    payload = encode_decisions(replace(decided, decisions=decisions))
    return Outcome(signed_promise(outcome.answer, decisions_sha256=sha256(payload).digest()), payload)


async def test_a_relay_that_decides_under_another_agreement_is_an_alarm() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        _lie_to_sender(node, under_another_agreement)
        sent = await push(node, "XV")
        await receipted(node, sent.item, "XV")
        await alarmed(node, "relay")


async def test_an_answer_that_the_relay_did_not_sign_counts_for_nothing() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        told: list[Outcome] = []

        def forge(outcome: Outcome) -> Outcome:
            told.append(outcome)
            if len(told) > 2:
                return outcome
            return Outcome(sign(LOG.ed25519, "promise", outcome.answer.payload, context=EXCHANGE), outcome.decisions)

        _lie_to_sender(node, forge)
        sent = await push(node, "XV")
        await receipted(node, sent.item, "XV")
        await alarmed(node, "relay")
        # The receipt can overtake the honest answer.
        await until(lambda: len(told) > 2, "the honest answer did not come")
        kept = await node.core.database.read(partial(sending.promises, after=-1, limit=9, unchecked=False))
        assert kept and all(each.promise for each in kept)


def _lie_to_sender(node: Node, change: Callable[[Outcome], Outcome]) -> None:
    """Change the answers of the stream that is open, and of those to come."""
    honest = node.sender._take

    async def lied(answered: Answered) -> None:
        await honest(Answered(answered.number, [change(outcome) for outcome in answered.outcomes]))

    node.sender._take = lied  # type: ignore[method-assign]


# -- logs --------------------------------------------------------------------------------------------------------------


class ForkedLog(Liar):
    """Shows another traffic log than the one that promises were given in."""

    def __init__(self, relay: Any, entries: Sequence[bytes]) -> None:
        """Show these entries."""
        super().__init__(relay)
        self._entries = list(entries)

    async def checkpoint(self, log: Log) -> str:
        """Sign the other log."""
        if log is Log.DIRECTORY:
            return str(await self._relay.checkpoint(log))
        root = root_of([leaf_hash(entry) for entry in self._entries])
        return sign_checkpoint(Checkpoint(traffic_origin(EXCHANGE), len(self._entries), root), LOG)

    async def inclusion_proof(self, _: Log, index: int, size: int) -> tuple[bytes, Sequence[bytes]]:
        """Prove inclusion in the other log."""
        return self._entries[index], inclusion_path([leaf_hash(entry) for entry in self._entries[:size]], index)

    async def read_log(self, _: Log, start: int, count: int) -> Sequence[bytes]:
        """Read the other log."""
        return self._entries[start : start + count]


async def a_sent_report(node: Node) -> list[bytes]:
    """Send a report and return the entries of the relay's traffic log once they cover it."""
    sent = await push(node, "XV")
    await receipted(node, sent.item, "XV")
    row = await reach(node, sent.item, "XV")
    assert row is not None
    promise = await node.core.database.read(partial(sending.promise_of, envelope=row.envelope))
    assert promise is not None
    entries: list[bytes] = []

    async def covered() -> bool:
        entries[:] = await node.relay.read_log(Log.TRAFFIC, 0, 4_096)
        note = await node.relay.checkpoint(Log.TRAFFIC)
        return open_checkpoint(note, traffic_origin(EXCHANGE), LOG.public).size > promise.log_index

    await until(covered, "the log does not cover the promise")
    return entries


async def results(node: Node, *, full: bool = False) -> dict[str, str]:
    """Return the result of each step of a verification."""
    return {step.step: step.result async for step in node.auditor.verify(full=full) if step.result}


def later(node: Node) -> None:
    """Let a node's clock be past the time in which a promise must be kept."""
    clock = node.core.clock
    object.__setattr__(node.core, "clock", lambda: clock() + 2 * MERGE_MS)


async def test_a_promised_envelope_that_is_not_in_the_log_is_an_alarm_with_the_promise_kept() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        entries = await a_sent_report(node)
        node.auditor._relay = ForkedLog(node.relay, [entry[:1] + bytes(32) + entry[33:] for entry in entries])
        later(node)
        assert (await results(node))["promises"] == "failed"
        await alarmed(node, "traffic")
        assert await node.core.database.read(sending.count_promises) > 0


async def test_a_log_that_forgets_is_an_alarm() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        entries = await a_sent_report(node)
        assert (await results(node))["checkpoint"] == "ok"
        node.auditor._relay = ForkedLog(node.relay, entries[:2])
        assert (await results(node))["checkpoint"] == "failed"
        await alarmed(node, "traffic")


async def test_a_log_that_does_not_continue_the_one_before_is_an_alarm() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        entries = await a_sent_report(node)
        assert (await results(node))["checkpoint"] == "ok"
        forked = [bytes(ENTRY_BYTES), *entries[1:], *entries, *entries]
        node.auditor._relay = ForkedLog(node.relay, forked)
        assert (await results(node))["checkpoint"] == "failed"
        await alarmed(node, "traffic")


async def test_entries_that_do_not_give_the_checkpoints_root_are_an_alarm() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        entries = await a_sent_report(node)

        class OtherEntries(Liar):
            async def read_log(self, _: Log, start: int, count: int) -> Sequence[bytes]:
                return [bytes(ENTRY_BYTES), *entries[1:]][start : start + count] or [bytes(ENTRY_BYTES)] * count

        node.auditor._relay = OtherEntries(node.relay)
        found = await results(node, full=True)
        assert (found["promises"], found["every entry"]) == ("ok", "failed")
        await alarmed(node, "traffic")


async def test_a_relay_that_gives_no_proof_of_an_old_promise_is_an_alarm_without_being_asked() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        entries = await a_sent_report(node)
        node.auditor._relay = ForkedLog(node.relay, entries[:1])
        later(node)
        await node.auditor.look_after()
        await alarmed(node, "traffic")
        assert await node.core.database.read(reports.count_unreceipted) == 0
