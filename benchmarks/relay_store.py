"""What the relay's store costs: disk for each byte that it must keep, and the start of a relay that holds much.

`python -m benchmarks.relay_store --envelopes 100000` fills a store with envelopes of real sizes and random bytes, as
acceptance writes them, and prints file size ÷ raw bytes (header, slots, body, promise, decisions, two log entries), and
the time until `concord relay serve` listens on it ÷ on an empty one, interleaved, median.
"""

import argparse
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection

from benchmarks.table import Line, at_most, show
from exchange.crypto.random import random_bytes
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.limits import KIB
from exchange.names import PartyId
from exchange.relay.app import MIGRATIONS
from exchange.relay.home import RelayHome
from exchange.relay.mailbox import Accepted
from exchange.relay.sequencer import Log, Sequencer
from exchange.relay.slots import Slot, encode_slots
from exchange.relay.store.logs import SqlLogs
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.runtime.clock import now_ms
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from exchange.tlog.entry import EntryKind, TrafficEntry, encode_entry
from tests.support.directory_builders import EXCHANGE, an_exchange
from tests.support.processes import RelayProcess, prepare
from tests.support.relay_world import a_home, secrets

FRAME = 64
HEADER, LEAF, WRAP, PROMISE, DECISIONS = 700, 180, 1_168, 420, 180
"""Bytes of the parts of an envelope, and of what answers for it, as real ones have them."""

DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Run:
    """What is measured."""

    envelopes: int = 20_000
    recipients: int = 8
    body: int = 4 * KIB
    rounds: int = 5


def an_accepted(number: int, run: Run, now: int) -> Accepted:
    """Return an envelope of random bytes."""
    slots = tuple(
        Slot(PartyId(f"YA.p{place}"), place, random_bytes(LEAF), (random_bytes(32),) * 8, random_bytes(WRAP))
        for place in range(run.recipients)
    )
    return Accepted(
        id=number,
        hash=random_bytes(32),
        sender=PartyId("XA"),
        envelope_id=random_bytes(16),
        lane=Lane.ROUTINE,
        kind=int(EnvelopeKind.REPORT),
        expires_ms=now + 30 * DAY_MS,
        header=random_bytes(HEADER),
        slots=slots,
        parts=encode_slots(slots),
        body=random_bytes(run.body),
        promise=random_bytes(PROMISE),
        decisions=random_bytes(DECISIONS),
    )


def fill(url: str, run: Run) -> int:
    """Store envelopes as acceptance does, frame by frame; return their raw bytes."""
    sequencer, now, raw = Sequencer(), now_ms(), 0
    with Database(url) as database:
        head = encode_entry(TrafficEntry(EntryKind.DIRECTORY_HEAD, random_bytes(32), now))
        database.write_now(lambda c: sequencer.append(SqlLogs(c), Log.TRAFFIC, [head]))
        for first in range(0, run.envelopes, FRAME):
            made = [an_accepted(0, run, now) for _ in range(min(FRAME, run.envelopes - first))]
            entries = [
                encode_entry(TrafficEntry(kind, digest, now))
                for each in made
                for kind, digest in ((EntryKind.ENVELOPE, each.hash), (EntryKind.DECISIONS, random_bytes(32)))
            ]

            def store(connection: Connection, made: list[Accepted] = made, entries: list[bytes] = entries) -> None:
                at = sequencer.append(SqlLogs(connection), Log.TRAFFIC, entries)
                SqlMailboxes(connection).deposit([replace(each, id=at + 2 * place) for place, each in enumerate(made)])

            database.write_now(store)
            raw += sum(each.size + len(each.promise) + len(each.decisions) for each in made) + sum(map(len, entries))
        database.checkpoint_truncate_now()
    return raw


@contextmanager
def a_relay() -> Iterator[RelayProcess]:
    """A relay's home with an empty store; not started."""
    home: RelayHome = a_home(an_exchange(()))
    try:
        with RelayProcess(home, prepare(home, secrets(), EXCHANGE)) as process:
            yield process
    finally:
        shutil.rmtree(home.root)


def start_s(process: RelayProcess) -> float:
    """Return how long a relay takes until it listens."""
    began = time.perf_counter()
    process.start()
    took = time.perf_counter() - began
    process.stop()
    return took


def lines(run: Run | None = None) -> list[Line]:
    """Measure and return the lines."""
    run = run or Run()
    with ExitStack() as stack:
        empty, full = stack.enter_context(a_relay()), stack.enter_context(a_relay())
        # The first start founds the exchange.
        start_s(empty), start_s(full)
        path: Path = full.home.root / "relay.db"
        upgrade(sqlite_url(path), MIGRATIONS)
        before = path.stat().st_size
        raw = fill(sqlite_url(path), run)
        disk = path.stat().st_size - before
        start_s(full)  # signs what is new
        taken = [(start_s(full), start_s(empty)) for _ in range(run.rounds)]
    ratio = statistics.median(one / other for one, other in taken)
    what = f"{run.envelopes:,} envelopes, N={run.recipients}, {run.body / KIB:.0f} KiB"
    return [
        Line(
            f"relay: disk ÷ raw bytes, {what}",
            f"{disk / raw:.2f}",
            "1.3",
            "1.1",
            f"{raw / 2**20:,.0f} MiB raw",
            at_most(disk / raw, 1.3, 1.1),
        ),
        Line(
            f"relay: start with {run.envelopes:,} stored ÷ empty",
            f"{ratio:.2f}",
            "2",
            "1.2",
            f"empty {statistics.median(other for _, other in taken):.2f} s",
            at_most(ratio, 2, 1.2),
        ),
    ]


def main() -> None:
    """Measure with what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("envelopes", 20_000), ("recipients", 8), ("body", 4 * KIB), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    show(lines(Run(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
