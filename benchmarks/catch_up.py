"""A recipient that was away collects what waits: whether the last of it comes as quickly as the first.

`python -m benchmarks.catch_up` fills a relay's store with envelopes for eight recipients as acceptance does, starts the
relay, and lets one of them collect and acknowledge all that waits for it. Figures: deliveries a second of the last
quarter over those of the first, and by how much the relay's memory grew. What tells a repeat from a new envelope, the
index of every envelope that was ever promised, is the real one and as large as the backlog.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.cpu import seconds_by_name
from benchmarks.memory import forget_peak, resident
from benchmarks.relay_alone import WAIT_S, WINDOW, a_process
from benchmarks.relay_store import Run as Stored
from benchmarks.relay_store import fill
from benchmarks.table import Line, at_least, at_most, show
from exchange.limits import KIB, MIB
from exchange.runtime.engine import sqlite_url
from exchange.v1 import relay_service_pb2 as pb
from tests.support.relay_world import Partner, World, acknowledgement

READER = "YA.p0"
"""One of those for whom `fill` stores."""

QUARTERS = 4


@dataclass(frozen=True, slots=True)
class Run:
    """What is measured."""

    envelopes: int = 20_000
    recipients: int = 8
    body: int = 4 * KIB


@dataclass(frozen=True, slots=True)
class Look:
    """The relay when a quarter of the backlog was collected."""

    at: float
    cpu: float
    resident: int
    peak: int


async def collect(partner: Partner, pid: int, envelopes: int) -> list[Look]:
    """Collect and acknowledge so many; return a look at the relay before, and after each quarter."""
    requests: asyncio.Queue[pb.DeliverRequest | None] = asyncio.Queue()
    requests.put_nowait(pb.DeliverRequest(window_bytes=WINDOW))

    async def feed() -> AsyncIterator[pb.DeliverRequest]:
        while (request := await requests.get()) is not None:
            yield request

    forget_peak(pid)
    got, looks = 0, [look(pid)]
    async for response in partner.stub.Deliver(feed(), timeout=WAIT_S):
        got += len(response.waiting)
        if response.waiting:
            requests.put_nowait(acknowledgement(response.waiting))
        if got >= envelopes * len(looks) // QUARTERS:
            looks.append(look(pid))
        if got >= envelopes:
            requests.put_nowait(None)
    return looks[: QUARTERS + 1]


def look(pid: int) -> Look:
    """Look at the relay's process."""
    cpu = seconds_by_name([("relay", pid)])["relay"]
    return Look(time.perf_counter(), cpu, resident(pid, "VmRSS"), resident(pid, "VmHWM"))


async def measure(run: Run) -> list[Look]:
    """Fill a store and let one recipient collect what waits for it."""
    with a_process() as (world, process):
        partner = await world.join(READER)
        await partner.channel.close()
        process.stop()
        url = sqlite_url(world.home.root / "relay.db")
        await asyncio.to_thread(fill, url, Stored(run.envelopes, run.recipients, run.body))
        again = World(world.home, world.exchange, process.start())
        partner = again.connect(partner.keys)
        try:
            # A channel that stands: what it takes to make one is not part of the backlog.
            await partner.stub.GetCheckpoint(pb.GetCheckpointRequest(log=pb.Log.LOG_TRAFFIC), timeout=WAIT_S)
            return await collect(partner, process.pid, run.envelopes)
        finally:
            await partner.channel.close()


def lines(run: Run | None = None) -> list[Line]:
    """Measure and return the lines."""
    run = run or Run()
    looks = asyncio.run(measure(run))
    each = run.envelopes / QUARTERS
    speeds = [each / (after.at - before.at) for before, after in pairwise(looks)]
    cpus = [(after.cpu - before.cpu) / each * 1e6 for before, after in pairwise(looks)]
    grown = (looks[-1].peak - looks[0].resident) / MIB
    held = [each.resident / MIB for each in looks]
    ratio = speeds[-1] / speeds[0]
    what = f"relay: catch-up of {run.envelopes:,} waiting, "
    return [
        Line(
            what + "last ÷ first quarter",
            f"{ratio:.2f}",
            "0.8",
            "0.9",
            f"{_listed(speeds)} deliveries/s; CPU {_listed(cpus)} µs; median {statistics.median(speeds):,.0f}/s",
            at_least(ratio, 0.8, 0.9),
        ),
        Line(
            what + "memory grown",
            f"{grown:.1f} MiB",
            "32 MiB",
            "8 MiB",
            f"from {held[0]:.0f} MiB; after each quarter {_listed(held[1:])}",
            at_most(grown, 32, 8),
        ),
    ]


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:,.0f}" for value in values)


def main() -> None:
    """Measure with what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = Run()
    parser.add_argument("--envelopes", type=int, default=usual.envelopes)
    parser.add_argument("--recipients", type=int, default=usual.recipients)
    parser.add_argument("--body", type=int, default=usual.body)
    show(lines(Run(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
