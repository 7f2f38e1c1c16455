"""Lies and honest work in any order over one world: each report ends where it belongs, once, or evidence says why not.

A relay that drops, delays, replays, edits, forges promises, delivers to others and freezes the directory may do each of
these a few times to any node, while nodes push reports to each other. Then it relents. Every recipient then holds each
report once and has receipted it, or the nodes have signed evidence that the relay withheld it; nobody else holds any.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from exchange.v1 import relay_service_pb2 as pb
from nodes.parts import Node
from nodes.store.rows import Reach
from tests.support.lying_relay import (
    HASTY,
    Deceived,
    Frozen,
    OnReports,
    Several,
    deceived,
    verdicts,
    with_false_promise,
    with_lower_marking,
)
from tests.support.node_world import count_reports, open_alarms, push, reach, stored, until

NAMES = ("XA", "XV", "XO")
PATIENT = HASTY.model_copy(update={"directory_most_s": 120.0})
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
            own = sum(sender == name for sender, _ in self.sent.values())
            came = [await stored(self.relay[name], item) for item, (_, to) in self.sent.items() if name in to]
            assert await count_reports(self.relay[name]) == own + sum(found is not None for found in came)

    async def _over(self, item: bytes, sender: str, name: str) -> bool:
        """Say whether a report has come and was receipted, or both ends can show that it was withheld."""
        row = await reach(self.relay[sender], item, name)
        if row is not None and row.state is Reach.RECEIPTED and await stored(self.relay[name], item) is not None:
            return True
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
