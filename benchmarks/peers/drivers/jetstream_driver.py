"""Send through and receive from NATS JetStream. Runs in the peers' environment and knows nothing of Concord.

    jetstream_driver.py receive URL CERTIFICATES RECIPIENTS REPORTS
    jetstream_driver.py send URL CERTIFICATES REPORTS SIZE RATE

The recipients share a process: each has a durable consumer, fetches up to 100 messages at a time and acknowledges
every one. The sender has up to 256 under way, each acknowledged by the server; at a RATE above 0 it sends so many a
second. A message begins with the moment of its call. What is written to stdout stands in figures.py.
"""

import asyncio
import json
import os
import ssl
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import nats
import uvloop
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig

STREAM, SUBJECT = "REPORTS", "reports.all"
FETCH = 100
WINDOW = 256
UNACKNOWLEDGED = 5_000
STAMP = 8
ANSWER_S = 30.0
FETCH_S = 2.0
MOST_S = 240.0


@dataclass
class Taken:
    """What the recipients have."""

    delivered: int = 0
    last_ns: int = 0
    waits_ms: list[float] = field(default_factory=list)


async def connect(url: str, certificates: Path) -> tuple[Client, JetStreamContext]:
    """Connect with a certificate of the run."""
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    context.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    client = await nats.connect(url, tls=context, allow_reconnect=False)
    return client, client.jetstream(timeout=ANSWER_S)


async def receive(url: str, certificates: Path, recipients: int, reports: int) -> None:
    """Make the stream, and take every report at every recipient."""
    client, stream = await connect(url, certificates)
    await stream.add_stream(name=STREAM, subjects=[SUBJECT], storage="file")
    subscriptions = [
        await stream.pull_subscribe(
            SUBJECT, durable=f"recipient{number}", stream=STREAM, config=ConsumerConfig(max_ack_pending=UNACKNOWLEDGED)
        )
        for number in range(recipients)
    ]
    print("ready", flush=True)
    used, taken = time.process_time(), Taken()
    try:
        async with asyncio.timeout(MOST_S):
            await asyncio.gather(*(take(each, reports, taken) for each in subscriptions))
    except TimeoutError:
        pass  # what was not delivered is missing from the figures
    print(json.dumps({**vars(taken), "failed": 0, "cpu_s": time.process_time() - used}), flush=True)
    await client.close()


async def take(subscription: JetStreamContext.PullSubscription, reports: int, taken: Taken) -> None:
    """Take every report at one recipient."""
    got = 0
    while got < reports:
        try:
            messages = await subscription.fetch(FETCH, timeout=FETCH_S)
        except TimeoutError:
            continue
        now = time.monotonic_ns()
        for message in messages:
            taken.waits_ms.append((now - int.from_bytes(message.data[:STAMP], "big")) / 1e6)
            await message.ack()
        got += len(messages)
        taken.delivered += len(messages)
        taken.last_ns = now


async def send(url: str, certificates: Path, reports: int, size: int, rate: float) -> None:
    """Send reports of random bytes."""
    client, stream = await connect(url, certificates)
    bodies = [os.urandom(size - STAMP) for _ in range(reports)]
    window = asyncio.Semaphore(WINDOW)

    async def publish(body: bytes) -> None:
        async with window:
            await stream.publish(SUBJECT, time.monotonic_ns().to_bytes(STAMP, "big") + body)

    began, used = time.monotonic_ns(), time.process_time()
    if rate:
        for number, body in enumerate(bodies):
            await asyncio.sleep(max(0.0, number / rate - (time.monotonic_ns() - began) / 1e9))
            await publish(body)
    else:
        await asyncio.gather(*map(publish, bodies))
    print(json.dumps({"began_ns": began, "cpu_s": time.process_time() - used}), flush=True)
    await client.close()


def main(role: str, url: str, certificates: str, *numbers: str) -> None:
    """Do what the command line says."""
    if role == "receive":
        recipients, reports = numbers
        uvloop.run(receive(url, Path(certificates), int(recipients), int(reports)))
    else:
        reports, size, rate = numbers
        uvloop.run(send(url, Path(certificates), int(reports), int(size), float(rate)))


if __name__ == "__main__":
    main(*sys.argv[1:])
