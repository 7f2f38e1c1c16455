"""Two relay processes on one PostgreSQL beside one: what sharing the database costs.

`python -m benchmarks.relay_together` lets senders submit sealed envelopes over one stream each and recipients collect
and acknowledge them, once all at the first relay and once half of them at each, interleaved, and prints the median
ratio. Both relays run all the time; the database is a real server from the wheel, every commit flushed. Full work of
the relay: verified, decided, logged, stored, promised, delivered, acknowledged. Sealing is done before.
"""

import argparse
import asyncio
import contextlib
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.relay_alone import collect, submit
from benchmarks.table import Line, at_least, show
from exchange.envelope.seal import seal_all
from exchange.limits import KIB
from exchange.policy.agreement import AgreementRef
from tests.support import postgres
from tests.support.directory_builders import EXCHANGE, an_exchange
from tests.support.processes import RelayProcess, prepare
from tests.support.relay_world import World, a_home, a_prepared, head_of, secrets
from tests.support.twins import copy_of

SENDERS = ("XA", "XO", "XM", "XN")
RECIPIENTS = ("XV", "XT", "XH", "XQ", "YA", "YB", "YC", "YD")
LIMITS = (
    "[limits]\njoins_per_minute = 10000\ncalls_per_minute = 100000\nreports_per_minute = 100000000\n"
    "statements_per_day = 100000\n"
)


@dataclass(frozen=True, slots=True)
class Run:
    """What is measured."""

    envelopes: int = 400
    """Of each sender in each measurement."""
    recipients: int = 8
    body: int = 4 * KIB
    rounds: int = 5


@contextmanager
def two_relays(server: postgres.Server) -> Iterator[tuple[World, World]]:
    """Two relays on one database."""
    exchange = an_exchange(())
    first = a_home(exchange)
    second = copy_of(first)
    settings = f'database = "{server.new_database("bench")}"\n{LIMITS}'
    try:
        with contextlib.ExitStack() as stack:
            worlds = []
            for home in (first, second):
                process = RelayProcess(home, prepare(home, secrets(), EXCHANGE, settings=settings))
                worlds.append(World(home, exchange, stack.enter_context(process).start()))
            yield worlds[0], worlds[1]
    finally:
        for home in (first, second):
            shutil.rmtree(home.root)


async def measure(worlds: Sequence[World], sealed: dict[str, list[bytes]], recipients: Sequence[str]) -> float:
    """Return envelopes a second with partners spread over these relays."""
    keys = worlds[0].partners
    people = {name: worlds[at % len(worlds)].connect(keys[name].keys) for at, name in enumerate((*sealed, *recipients))}
    total = sum(map(len, sealed.values()))
    try:
        collecting = [asyncio.create_task(collect(people[name], total)) for name in recipients]
        await asyncio.sleep(0.5)
        began = time.perf_counter()
        await asyncio.gather(*(submit(people[name], frames) for name, frames in sealed.items()))
        await asyncio.gather(*collecting)
        return total / (time.perf_counter() - began)
    finally:
        for partner in people.values():
            await partner.channel.close()


def seal(world: World, name: str, basis: AgreementRef, run: Run, first: int) -> list[bytes]:
    """Return what one sender submits in one measurement."""
    keys, head = world.partners[name].keys, head_of(world.exchange)
    prepared = [
        a_prepared(keys, list(RECIPIENTS[: run.recipients]), basis, head, seq=seq, content=bytes(run.body))
        for seq in range(first, first + run.envelopes)
    ]
    return [each.submission_bytes for each in seal_all(prepared, keys.envelope)]


async def ratios(worlds: tuple[World, World], run: Run) -> list[tuple[float, float]]:
    """Return (one relay, two relays) of each round."""
    recipients = RECIPIENTS[: run.recipients]
    for name in (*SENDERS, *recipients):
        await worlds[0].join(name)
    basis = await worlds[0].agree(*SENDERS, *recipients)
    found = []
    for number in range(2 * run.rounds):
        first = 1 + number * run.envelopes
        sealed = {name: await asyncio.to_thread(seal, worlds[0], name, basis, run, first) for name in SENDERS}
        # Interleaved, so that both see the same machine.
        found.append(await measure(worlds if number % 2 else worlds[:1], sealed, recipients))
    for partner in worlds[0].partners.values():
        await partner.channel.close()
    return list(zip(found[::2], found[1::2], strict=True))


def lines(run: Run | None = None) -> list[Line]:
    """Measure and return the line."""
    run = run or Run()
    if postgres.wheel_is_missing():
        return [Line("relay: two processes on one PostgreSQL ÷ one", "-", "0.85", beside="no server's wheel here")]
    with postgres.running_server() as server, two_relays(server) as worlds:
        found = asyncio.run(ratios(worlds, run))
    ratio = statistics.median(two / one for one, two in found)
    one = statistics.median(one for one, _ in found)
    what = f"relay: two processes on one PostgreSQL ÷ one, N={run.recipients}"
    return [Line(what, f"{ratio:.2f}", "0.85", beside=f"one {one:,.0f} envelopes/s", held=at_least(ratio, 0.85))]


def main() -> None:
    """Measure with what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("envelopes", 400), ("recipients", 8), ("body", 4 * KIB), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    show(lines(Run(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
