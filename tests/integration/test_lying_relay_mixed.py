"""Lies and honest work in any order over one world: each report ends where it belongs, once, or evidence says why not.

A relay that drops, delays, replays, edits, forges promises, dates them back, delivers to others, forks the traffic log,
freezes or forks the directory may do each of these a few times to any node, while nodes push reports to each other.
Then it relents. Every recipient then holds each report once and has receipted it, or the nodes have signed evidence
that the relay withheld it, or what it signed about it stands against it; nobody else holds any. A fork leaves its
victim with a file that proves it; a promise that was dated back does not stand in the log, as its victim's audit finds.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from exchange.envelope.codec import decode_delivery
from exchange.errors import VerificationFailed
from exchange.receipts.codec import decode_promise
from exchange.tlog.entry import ENTRY_BYTES
from exchange.v1 import relay_service_pb2 as pb
from nodes.evidence_check import Result
from nodes.opening import STEP_HEAD
from nodes.parts import Node
from nodes.relay_port import Log
from nodes.store import sending, trust
from nodes.store.rows import Reach
from tests.support.lying_relay import (
    HASTY,
    Deceived,
    Frozen,
    OnReports,
    OtherDirectory,
    OtherTraffic,
    Several,
    alarmed,
    aside,
    core_of,
    deceived,
    promised,
    verdicts,
    with_false_promise,
    with_lower_marking,
)
from tests.support.node_world import count_reports, open_alarms, push, reach, stored, until

NAMES = ("XA", "XV", "XO")
PATIENT = HASTY.model_copy(update={"directory_most_s": 120.0})
MINUTE_MS = 60_000
SHOWN_S = 30.0
T = TypeVar("T")


class Mixed(RuleBasedStateMachine):
    """One world, its lies, and who ought to hold what."""

    def __init__(self) -> None:
        """Run the world on a loop of its own."""
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.relay: Deceived = self.run(self.stack.enter_async_context(deceived(*NAMES, timing=PATIENT)))
        self.lies = Several()
        self.relay.tell(self.lies)
        self.sent: dict[bytes, tuple[str, frozenset[str]]] = {}
        self.grown = False
        self.forked = ""
        self.split = ""
        self.dated: list[tuple[str, bytes, int]] = []
        self.believed = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let the world go on until this is done."""
        return self.loop.run_until_complete(work)

    # -- honest work

    @rule(sender=st.sampled_from(NAMES), left_out=st.sampled_from((*NAMES, "")), count=st.integers(1, 3))
    def push(self, sender: str, left_out: str, count: int) -> None:
        """Push reports to the others, or to one of them."""
        to = frozenset(NAMES) - {sender, left_out}
        for _ in range(count):
            accepted = self.run(push(self.relay[sender], *sorted(to)))
            self.sent[accepted.item] = (sender, to)

    @initialize(first=st.sampled_from(NAMES))
    def begin(self, first: str) -> None:
        """Let there be honest work before the first lie."""
        for sender in (first, *NAMES):
            accepted = self.run(push(self.relay[sender], *sorted(set(NAMES) - {sender})))
            self.sent[accepted.item] = (sender, frozenset(NAMES) - {sender})

    @rule()
    def wait(self) -> None:
        """Let some time pass."""
        self.run(asyncio.sleep(0.3))

    # -- lies

    @rule(victim=st.sampled_from(NAMES), times=st.integers(1, 2))
    def drop(self, victim: str, times: int) -> None:
        """Drop the next reports."""
        self.lies.lies.append(OnReports(victim, lambda _: [], times))

    @rule(victim=st.sampled_from(NAMES))
    def drop_all(self, victim: str) -> None:
        """Drop every report from now on, until it relents."""
        self.lies.lies.append(OnReports(victim, lambda _: []))

    @rule(victim=st.sampled_from(NAMES))
    def delay(self, victim: str) -> None:
        """Deliver the next report behind the one after it."""
        held: list[pb.Waiting] = []

        def late(waiting: pb.Waiting) -> list[pb.Waiting]:
            held.append(waiting)
            return [] if len(held) == 1 else [waiting, held[0]]

        self.lies.lies.append(OnReports(victim, late, times=2))

    @rule(victim=st.sampled_from(NAMES))
    def replay(self, victim: str) -> None:
        """Deliver the next reports three times."""
        self.lies.lies.append(OnReports(victim, lambda waiting: [waiting] * 3, times=3))

    @rule(victim=st.sampled_from(NAMES))
    def edit(self, victim: str) -> None:
        """Lower the marking of the next report."""
        self.lies.lies.append(OnReports(victim, lambda waiting: [with_lower_marking(waiting)], times=1))

    @rule(victim=st.sampled_from(NAMES))
    def forge(self, victim: str) -> None:
        """Deliver the next report under a promise that is none."""
        self.lies.lies.append(OnReports(victim, lambda waiting: [with_false_promise(waiting)], times=1))

    @rule(victim=st.sampled_from(NAMES), other=st.sampled_from(NAMES))
    def misdirect(self, victim: str, other: str) -> None:
        """Deliver what is for one to another as well, with what it gets next."""
        stolen: list[bytes] = []

        def steal(waiting: pb.Waiting) -> list[pb.Waiting]:
            stolen.append(waiting.delivery)
            return [waiting]

        def add(waiting: pb.Waiting) -> list[pb.Waiting]:
            added = [pb.Waiting(lane=waiting.lane, position=waiting.position, delivery=each) for each in stolen]
            return [*added, waiting]

        if victim != other:
            self.lies.lies += [OnReports(victim, steal, times=2), OnReports(other, add, times=2)]

    @rule(victim=st.sampled_from(NAMES))
    def date_before_sender(self, victim: str) -> None:
        """Promise the next report under an older directory than its sender had."""

        def under_older(waiting: pb.Waiting) -> list[pb.Waiting]:
            return [promised(waiting, directory_size=core_of(waiting).directory.size - 1)]

        self.lies.lies.append(OnReports(victim, under_older, times=1))

    @rule(victim=st.sampled_from(NAMES))
    def date_back(self, victim: str) -> None:
        """Promise the next report as if it had come two minutes before."""

        def earlier(waiting: pb.Waiting) -> list[pb.Waiting]:
            true = decode_promise(decode_delivery(waiting.delivery).promise.payload)
            before_ms = true.received_ms - 2 * MINUTE_MS
            self.dated.append((victim, true.envelope_hash, before_ms))
            return [promised(waiting, received_ms=before_ms)]

        self.lies.lies.append(OnReports(victim, earlier, times=1))

    @precondition(lambda self: not self.forked)
    @rule(victim=st.sampled_from(NAMES))
    def fork_traffic(self, victim: str) -> None:
        """Show one node another traffic log than it has seen."""
        self.forked = victim
        self.run(self._fork_traffic(self.relay[victim]))

    async def _fork_traffic(self, node: Node) -> None:
        kept = None
        async with asyncio.timeout(SHOWN_S):
            # The relay signs its log anew a moment after it has grown.
            while kept is None or not kept[0]:
                await node.auditor._checked_traffic()
                kept = await node.core.database.read(partial(trust.checkpoint_of, log=Log.TRAFFIC))
                await asyncio.sleep(0.05)
        entries = await node.relay.read_log(Log.TRAFFIC, 0, kept[0])
        self.lies.lies.append(OtherTraffic(node.core.me, [bytes(ENTRY_BYTES), *entries[1:]]))
        with pytest.raises(VerificationFailed):
            await node.auditor._checked_traffic()
        await alarmed(node, "traffic")

    @precondition(lambda self: not self.grown)
    @rule(victim=st.sampled_from(NAMES))
    def fork_directory(self, victim: str) -> None:
        """Show one node other entries of the directory than all others see."""
        self.grown, self.split = True, victim
        self.run(self._fork_directory(self.relay[victim]))

    async def _fork_directory(self, node: Node) -> None:
        shown = list(await node.relay.read_log(Log.DIRECTORY, 0, 4_096))
        await until(lambda: node.core.trust.now.size == len(shown), "it is behind")
        another = OtherDirectory(node.core.me, shown, lambda entries: [b"another history", *entries[1:]])
        self.lies.lies.append(another)
        await self.relay.world.place("XN")

    @precondition(lambda self: not self.grown)
    @rule(victim=st.sampled_from(NAMES))
    def freeze(self, victim: str) -> None:
        """Show one node no newer directory, which then grows."""
        self.grown = True
        self.lies.lies.append(Frozen(victim))
        self.run(self.relay.world.place("XN"))

    @rule()
    def relent(self) -> None:
        """Stop lying for now."""
        self.lies.lies.clear()

    # -- the end

    def teardown(self) -> None:
        """Relent, and look where everything is."""
        try:
            self.lies.lies.clear()
            if self.grown:
                self.run(self.relay.world.place("XT"))  # whoever was kept behind hears of the directory again
            self.run(self._settled())
            self.run(self._exposed_forks())
            self.run(self._exposed_dates())
        finally:
            self.run(self.stack.aclose())
            self.run(_end_all())
            self.loop.close()

    async def _settled(self) -> None:
        for item, (sender, to) in self.sent.items():
            for name in to:
                await until(partial(self._over, item, sender, name), f"{name} has nothing of {item.hex()[:12]}")
            for name in set(NAMES) - to - {sender}:
                assert await stored(self.relay[name], item) is None, f"{name} holds what is not for it"
        for name in NAMES:
            await until(partial(self._once, name), f"{name} holds something twice, or what nobody sent")

    async def _once(self, name: str) -> bool:
        own = sum(sender == name for sender, _ in self.sent.values())
        came = [await stored(self.relay[name], item) for item, (_, to) in self.sent.items() if name in to]
        return await count_reports(self.relay[name]) == own + sum(found is not None for found in came)

    async def _exposed_forks(self) -> None:
        for victim, kind in ((self.forked, "traffic"), (self.split, "directory")):
            if victim:
                await alarmed(self.relay[victim], kind)
                await until(partial(self._proven, victim), f"{victim} cannot prove the fork")

    async def _proven(self, name: str) -> bool:
        return any(found.get("history") is Result.WRONG for found in await verdicts(self.relay[name]))

    async def _exposed_dates(self) -> None:
        for victim, envelope, before_ms in self.dated:
            node = self.relay[victim]
            kept = await node.core.database.read(partial(sending.promise_of, envelope=envelope))
            if kept is not None and kept.received_ms == before_ms:
                found = [each async for each in node.auditor.verify(full=False) if each.result]
                assert any(each.result == "failed" for each in found), "what was dated back stands in the log"
                self.believed += 1

    async def _over(self, item: bytes, sender: str, name: str) -> bool:
        """Say whether a report has come and was receipted, or both ends can show what the relay did instead."""
        row = await reach(self.relay[sender], item, name)
        if row is not None and row.state is Reach.RECEIPTED and await stored(self.relay[name], item) is not None:
            return True
        if self.split in (sender, name):
            return "directory" in await open_alarms(self.relay[self.split])
        if row is not None and row.state is Reach.REFUSED:
            return any(step == STEP_HEAD for step, _ in await aside(self.relay[name]))
        return await self._exposed(self.relay[sender]) and await self._exposed(self.relay[name])

    @staticmethod
    async def _exposed(node: Node) -> bool:
        return "withheld" in await open_alarms(node) and any("delivery" in found for found in await verdicts(node))


async def _end_all() -> None:
    """End what still waits for something."""
    waiting = asyncio.all_tasks() - {asyncio.current_task()}
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


def test_whatever_a_relay_mixes_every_report_is_delivered_once_to_whom_it_is_for_or_evidence_says_why_not() -> None:
    run_state_machine_as_test(
        Mixed,
        settings=settings(
            max_examples=4,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_dates_and_both_forks_in_one_world_leave_every_report_in_its_place_or_evidence() -> None:
    """The graver lies, in one order: what the machine above mixes by chance happens here each time."""
    machine = Mixed()
    machine.begin(first="XA")
    machine.date_back(victim="XV")
    machine.push(sender="XA", left_out="", count=1)
    machine.wait()
    machine.date_before_sender(victim="XO")
    machine.push(sender="XV", left_out="", count=1)
    machine.fork_traffic(victim="XA")
    machine.fork_directory(victim="XO")
    machine.push(sender="XA", left_out="", count=2)
    machine.push(sender="XO", left_out="XA", count=1)
    machine.wait()
    machine.relent()
    machine.push(sender="XV", left_out="", count=1)
    machine.teardown()
    assert machine.believed, "a date was believed until the audit found it out"
