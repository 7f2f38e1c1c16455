"""The relay alone: envelopes that were sealed before, and readers that only acknowledge.

`python -m benchmarks.relay_alone` runs the relay as a process with everything on: signatures verified, decided, logged,
stored and flushed to disk, promised, delivered, acknowledged, freed. One sender submits over one stream in frames of
64, each under one signature, as a node does that has so much waiting; N readers collect over a stream each and keep
nothing. Sender and readers share one process, so that the relay has a core of its own. Figures: what was answered and
what was delivered a second until the last reader has all, and the relay's CPU time of a delivery.

With N=140 the same is measured beside N=8. A node for each of 140 recipients would measure the nodes: on two cores all
of them together have one. What one recipient costs its own node does not change with N, so the relay's share is what
can stop the exchange from growing.
"""

import argparse
import asyncio
import contextlib
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.cpu import seconds_by_name
from benchmarks.table import Line, at_least, show
from exchange.envelope.seal import seal_all
from exchange.limits import FRAME_BYTES, KIB
from exchange.policy.agreement import AgreementRef
from exchange.v1 import relay_service_pb2 as pb
from tests.support.directory_builders import EXCHANGE, an_exchange
from tests.support.processes import RelayProcess, prepare
from tests.support.relay_world import Partner, World, a_home, a_prepared, acknowledgement, head_of, secrets

SENDER = "XA"
FRAME = 64
WINDOW = 8 << 20
"""As a node asks for."""

WAIT_S = 300.0
STREAMS_S = 1.0
"""Until all readers have their stream."""

FEW, MANY = 8, 140
LIMITS = (
    "[limits]\njoins_per_minute = 10000\ncalls_per_minute = 100000\nreports_per_minute = 100000000\n"
    "statements_per_day = 100000\nheld_bytes = 100000000000\n"
)
"""So that no quota slows down what is measured. They are looked at all the same."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one measurement came to."""

    submitted: float
    """Envelopes a second until the last answer."""
    delivered: float
    """Deliveries a second until the last reader has all."""
    cpu: float
    """CPU seconds of the relay for one delivery."""


@dataclass(slots=True)
class Alone:
    """A running relay with one sender and its readers."""

    world: World
    process: RelayProcess
    readers: Sequence[str]
    basis: AgreementRef
    size: int
    _next: int = field(default=1)

    async def measure(self, envelopes: int) -> Figures:
        """Seal so many, then submit, deliver and acknowledge them."""
        sealed = await asyncio.to_thread(self._seal, envelopes)
        partners = self.world.partners
        async with asyncio.TaskGroup() as reading:
            for name in self.readers:
                reading.create_task(collect(partners[name], envelopes))
            await asyncio.sleep(STREAMS_S)
            used, began = self._cpu(), time.perf_counter()
            await submit(partners[SENDER], sealed)
            answered = time.perf_counter() - began
        deliveries, took = envelopes * len(self.readers), time.perf_counter() - began
        return Figures(envelopes / answered, deliveries / took, (self._cpu() - used) / deliveries)

    def _cpu(self) -> float:
        return seconds_by_name([("relay", self.process.pid)])["relay"]

    def _seal(self, envelopes: int) -> list[bytes]:
        keys, head = self.world.partners[SENDER].keys, head_of(self.world.exchange)
        numbers = range(self._next, self._next + envelopes)
        self._next += envelopes
        content = bytes(self.size)
        prepared = [a_prepared(keys, self.readers, self.basis, head, seq=seq, content=content) for seq in numbers]
        frames = (seal_all(prepared[at : at + FRAME], keys.envelope) for at in range(0, envelopes, FRAME))
        return [each.submission_bytes for frame in frames for each in frame]


async def submit(partner: Partner, sealed: Sequence[bytes]) -> None:
    """Submit over one stream and take every promise."""
    requests = (pb.SubmitRequest(frame=at, submissions=frame) for at, frame in enumerate(frames(sealed)))
    async for response in partner.stub.Submit(requests, timeout=WAIT_S):
        for outcome in response.outcomes:
            assert outcome.answer.payload_type.endswith("promise.v1+protobuf"), outcome


def frames(sealed: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Cut what is submitted as a node does."""
    frame: list[bytes] = []
    for each in sealed:
        if len(frame) == FRAME or sum(map(len, frame)) + len(each) > FRAME_BYTES:
            yield frame
            frame = []
        frame.append(each)
    yield frame


async def collect(partner: Partner, count: int) -> None:
    """Collect and acknowledge so many."""
    requests: asyncio.Queue[pb.DeliverRequest | None] = asyncio.Queue()
    requests.put_nowait(pb.DeliverRequest(window_bytes=WINDOW))

    async def feed() -> AsyncIterator[pb.DeliverRequest]:
        while (request := await requests.get()) is not None:
            yield request

    got = 0
    async for response in partner.stub.Deliver(feed(), timeout=WAIT_S):
        got += len(response.waiting)
        if response.waiting:
            requests.put_nowait(acknowledgement(response.waiting))
        if got >= count:
            requests.put_nowait(None)


@contextlib.contextmanager
def a_process() -> Iterator[tuple[World, RelayProcess]]:
    """A relay's process on a store of its own, and nobody in its exchange."""
    exchange = an_exchange(())
    home = a_home(exchange)
    try:
        with RelayProcess(home, prepare(home, secrets(), EXCHANGE, settings=LIMITS)) as process:
            yield World(home, exchange, process.start()), process
    finally:
        shutil.rmtree(home.root)


@asynccontextmanager
async def alone(recipients: int, size: int = 4 * KIB) -> AsyncIterator[Alone]:
    """A relay with one sender and so many readers under one agreement."""
    names = [f"YA.p{number}" for number in range(recipients)]
    with a_process() as (world, process):
        for name in (SENDER, *names):
            await world.join(name)
        basis = await world.agree(SENDER, *names)
        yield Alone(world, process, names, basis, size)
        for partner in world.partners.values():
            await partner.channel.close()


@dataclass(frozen=True, slots=True)
class Run:
    """What is measured."""

    deliveries: int = 8_400
    """Of each measurement."""
    size: int = 4 * KIB
    rounds: int = 5


async def measured(run: Run) -> tuple[list[Figures], list[Figures]]:
    """Return the figures of few and of many readers, interleaved, so that both see the same machine."""
    async with alone(FEW, run.size) as few, alone(MANY, run.size) as many:
        found: tuple[list[Figures], list[Figures]] = ([], [])
        for one in (few, many):
            await one.measure(FRAME)
        for _ in range(run.rounds):
            for one, figures in zip((few, many), found, strict=True):
                figures.append(await one.measure(run.deliveries // len(one.readers)))
        return found


async def deliveries_per_second(recipients: int = FEW, run: Run | None = None) -> list[float]:
    """Return the deliveries a second of each round with so many readers."""
    run = run or Run()
    async with alone(recipients, run.size) as one:
        await one.measure(FRAME)
        return [(await one.measure(run.deliveries // recipients)).delivered for _ in range(run.rounds)]


def lines(run: Run | None = None) -> list[Line]:
    """Measure and return the lines."""
    run = run or Run()
    few, many = asyncio.run(measured(run))
    ratio = statistics.median(one.delivered / other.delivered for one, other in zip(many, few, strict=True))
    cpu = statistics.median(each.cpu for each in few)
    cpus = statistics.median(each.cpu for each in many)
    submitted = statistics.median(each.submitted for each in few)
    delivered = statistics.median(each.delivered for each in few)
    what = f"relay alone, N={FEW}, {run.size / KIB:.0f} KiB: "
    return [
        Line(what + "deliveries a second", f"{delivered:,.0f}", beside=f"{submitted:,.0f} submissions a second"),
        Line(what + "its CPU time of a delivery", f"{cpu * 1e6:.0f} µs"),
        Line(
            f"relay alone: deliveries a second, N={MANY} ÷ N={FEW}",
            f"{ratio:.2f}",
            "0.85",
            "0.95",
            f"CPU of a delivery {cpus * 1e6:.0f} µs, {cpus / cpu:.2f} of N={FEW}",
            at_least(ratio, 0.85, 0.95),
        ),
    ]


def main() -> None:
    """Measure with what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = Run()
    parser.add_argument("--deliveries", type=int, default=usual.deliveries, help="of each measurement")
    parser.add_argument("--size", type=int, default=usual.size, help="bytes of a report")
    parser.add_argument("--rounds", type=int, default=usual.rounds)
    show(lines(Run(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
