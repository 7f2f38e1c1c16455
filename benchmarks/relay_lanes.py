"""A flash envelope through the relay alone: with nothing else on its way, and while its recipient drains a backlog.

`python -m benchmarks.relay_lanes` prints p50 from the call of the submission to the moment at which the reader has the
envelope. The backlog lies in the relay's store; the reader takes what comes and acknowledges it at the pace of a node,
so that the window is full of routine envelopes all the time. Whatever a flash report takes longer through a backlog
(benchmarks/lanes.py) and does not take here, it takes in the nodes.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from benchmarks.relay_alone import SENDER, WAIT_S, WINDOW, a_process, submit
from benchmarks.relay_store import Run as Stored
from benchmarks.relay_store import fill
from benchmarks.table import Line, at_most, show
from exchange.envelope.model import Lane
from exchange.errors import Unavailable
from exchange.limits import KIB
from exchange.policy.agreement import AgreementRef
from exchange.runtime.engine import sqlite_url
from exchange.v1 import envelope_pb2
from exchange.v1 import relay_service_pb2 as pb
from tests.support.directory_builders import PartyKeys
from tests.support.relay_world import Partner, World, a_sealed, acknowledgement, head_of

READER = "YA.p0"
"""One of those for whom `fill` stores."""

PAUSE_S = 0.02
MOST_MORE_MS = 50.0


@dataclass(frozen=True, slots=True)
class Run:
    """What is measured."""

    backlog: int = 20_000
    flash: int = 50
    pace_s: float = 0.002
    """What a node takes for one routine report."""


class Reading:
    """Collects all that comes, and acknowledges it later."""

    def __init__(self, partner: Partner, pace_s: float) -> None:
        """Collect as `partner`."""
        self._partner = partner
        self._pace_s = pace_s
        self._requests: asyncio.Queue[pb.DeliverRequest] = asyncio.Queue()
        self._frames: asyncio.Queue[pb.DeliverResponse] = asyncio.Queue()
        self.flash: asyncio.Queue[float] = asyncio.Queue()
        """When each flash envelope came."""
        self.acknowledged = 0

    async def read(self) -> None:
        """Collect until cancelled."""
        self._requests.put_nowait(pb.DeliverRequest(window_bytes=WINDOW))
        async for frame in self._partner.stub.Deliver(self._feed(), timeout=WAIT_S):
            for each in frame.waiting:
                if each.lane == envelope_pb2.Lane.LANE_FLASH:
                    self.flash.put_nowait(time.perf_counter())
            self._frames.put_nowait(frame)

    async def acknowledge(self) -> None:
        """Acknowledge frame by frame until cancelled."""
        while frame := await self._frames.get():
            routine = sum(each.lane == envelope_pb2.Lane.LANE_ROUTINE for each in frame.waiting)
            await asyncio.sleep(self._pace_s * routine)
            self.acknowledged += routine
            if frame.waiting:
                self._requests.put_nowait(acknowledgement(frame.waiting))

    async def _feed(self) -> AsyncIterator[pb.DeliverRequest]:
        while True:
            yield await self._requests.get()


@dataclass(slots=True)
class Flash:
    """Submits flash envelopes to the reader, one after the other."""

    sender: PartyKeys
    reader: PartyKeys
    basis: AgreementRef
    sequence: int = 0

    async def through(self, world: World, run: Run, backlog: int) -> list[float]:
        """Return the milliseconds of each."""
        sender, partner = world.connect(self.sender), world.connect(self.reader)
        reading, found = Reading(partner, run.pace_s), []
        tasks = [asyncio.create_task(reading.read()), asyncio.create_task(reading.acknowledge())]
        try:
            await asyncio.sleep(1.0)
            for _ in range(run.flash):
                self.sequence += 1
                head, names = head_of(world.exchange), [READER]
                made = a_sealed(self.sender, names, self.basis, head, seq=self.sequence, lane=Lane.FLASH)
                began = time.perf_counter()
                await submit(sender, [made.submission_bytes])
                found.append((await asyncio.wait_for(reading.flash.get(), WAIT_S) - began) * 1000)
                await asyncio.sleep(PAUSE_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await sender.channel.close()
            await partner.channel.close()
        if backlog and reading.acknowledged >= backlog:
            raise Unavailable("the backlog was gone before the last flash envelope", hint="ask for a larger --backlog")
        return found


async def measure(run: Run) -> tuple[list[float], list[float]]:
    """Return what flash envelopes take when the relay is idle, and through a backlog."""
    with a_process() as (world, process):
        for name in (SENDER, READER):
            await world.join(name)
        flash = Flash(world.partners[SENDER].keys, world.partners[READER].keys, await world.agree(SENDER, READER))
        for partner in world.partners.values():
            await partner.channel.close()
        idle = await flash.through(world, run, 0)
        process.stop()
        await asyncio.to_thread(fill, sqlite_url(world.home.root / "relay.db"), Stored(run.backlog, body=4 * KIB))
        again = World(world.home, world.exchange, process.start())
        return idle, await flash.through(again, run, run.backlog)


def lines(run: Run | None = None) -> list[Line]:
    """Measure and return the line."""
    run = run or Run()
    idle, through = (statistics.median(found) for found in asyncio.run(measure(run)))
    return [
        Line(
            f"relay alone: flash envelope through {run.backlog:,} routine ones, half within",
            f"{through:.0f} ms",
            f"+ {MOST_MORE_MS:.0f} ms",
            "× 2",
            f"idle {idle:.0f} ms, × {through / idle:.1f}",
            at_most(through, idle + MOST_MORE_MS, min(2 * idle, idle + MOST_MORE_MS)),
        )
    ]


def main() -> None:
    """Measure with what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = Run()
    parser.add_argument("--backlog", type=int, default=usual.backlog)
    parser.add_argument("--flash", type=int, default=usual.flash)
    parser.add_argument("--pace-s", type=float, default=usual.pace_s, help="what a node takes for a routine report")
    show(lines(Run(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
