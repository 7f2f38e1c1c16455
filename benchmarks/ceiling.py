"""The pure-crypto ceiling: what the bare primitives of this envelope allow on all cores, with no I/O and no protocol.

One report for N recipients is: a composite signature, one chunked encryption, N wraps and an Ed25519 header signature;
at the relay one Ed25519 check; at each recipient an Ed25519 check, an unwrap, a decryption and a composite check. One
signature a report, nothing batched.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from queue import Queue

from exchange.crypto.chunked import decrypt, encrypt
from exchange.crypto.random import random_bytes
from exchange.crypto.signing import CompositeKey, Ed25519Key, sign_bytes, verify_bytes
from exchange.crypto.xwing import XWingKey, unwrap, wrap

CONTEXT = b"bench.concord.example"
INFO = b"concord/v1/wrap benchmark"


def one_report(recipients: int, size: int) -> Callable[[], None]:
    """Return a function that does the bare work of one report of `size` bytes."""
    statement, envelope = CompositeKey.generate(), Ed25519Key.generate()
    prekeys = [XWingKey.generate() for _ in range(recipients)]
    content = random_bytes(size)

    def work() -> None:
        secret = random_bytes(32)
        signature = sign_bytes(statement, content, CONTEXT)
        body = encrypt(secret, content + signature, INFO)
        wraps = [wrap(secret, key.public.raw, INFO) for key in prekeys]
        header = sign_bytes(envelope, body[:600], CONTEXT)
        verify_bytes(envelope.public, header, body[:600], CONTEXT)
        for key, wrapped in zip(prekeys, wraps, strict=True):
            verify_bytes(envelope.public, header, body[:600], CONTEXT)
            plain = decrypt(unwrap(wrapped, key, INFO), body, INFO)
            verify_bytes(statement.public, plain[size:], plain[:size], CONTEXT)

    return work


def _measure(recipients: int, size: int, seconds: float, results: "Queue[float]") -> None:
    work = one_report(recipients, size)
    work()
    start = time.perf_counter()
    done = 0
    while (elapsed := time.perf_counter() - start) < seconds:
        work()
        done += 1
    results.put(done * recipients / elapsed)


def deliveries_per_second(*, recipients: int, size: int, seconds: float = 3.0) -> float:
    """Return what one process on each core reaches together."""
    context = multiprocessing.get_context("spawn")
    results: Queue[float] = context.Queue()  # type: ignore[assignment]  # multiprocessing's queue has the same methods
    cores = len(os.sched_getaffinity(0))
    arguments = (recipients, size, seconds, results)
    workers = [context.Process(target=_measure, args=arguments) for _ in range(cores)]
    for worker in workers:
        worker.start()
    total = sum(results.get() for _ in workers)
    for worker in workers:
        worker.join()
    return total


def cpu_seconds_a_delivery(*, recipients: int, size: int, reports: int = 50) -> float:
    """Return the CPU seconds of one delivery's share of the bare work; what else the machine does hardly moves it."""
    work = one_report(recipients, size)
    work()
    start = time.process_time()
    for _ in range(reports):
        work()
    return (time.process_time() - start) / (reports * recipients)


if __name__ == "__main__":
    print(f"{deliveries_per_second(recipients=8, size=4096):,.0f} deliveries/s (pure crypto, 8 recipients, 4 KiB)")
