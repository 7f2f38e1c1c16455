"""Post to and poll a TAXII 2.1 collection. Runs in the peers' environment and knows nothing of Concord.

    opentaxii_driver.py receive URL REPORTS PAUSE_S
    opentaxii_driver.py send URL REPORTS SIZE BATCH

URL is that of the collection's objects. Each process keeps one connection. The sender waits for each answer. A
recipient asks for what was added after the newest that it has, page by page, and pauses only when there is nothing.
Whoever is answered with a server's error asks again, for a while. What is written to stdout stands in figures.py.
"""

import http.client
import itertools
import json
import os
import sys
import time
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

MEDIA_TYPE = "application/taxii+json;version=2.1"
NEWEST = "X-TAXII-Date-Added-Last"
PAGE = 1_000
AGAIN_S = 0.05
AGAIN = 20
"""How often at most one call is made again."""

MOST_S = 240.0
ACCEPTED, OK, SERVER_ERROR = 202, 200, 500
FRAME = 350
"""Bytes of an indicator without its description."""


class Collection:
    """One connection to a collection."""

    def __init__(self, url: str) -> None:
        """Nothing is asked yet."""
        parts = urlsplit(url)
        self._path = parts.path
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=MOST_S)
        self._until = time.monotonic() + MOST_S
        self.failed = 0

    @property
    def over(self) -> bool:
        """Whether it has taken too long."""
        return time.monotonic() > self._until

    def post(self, body: bytes) -> None:
        """Add objects."""
        status, _, text = self._ask("POST", self._path, body)
        if status != ACCEPTED or json.loads(text)["status"] != "complete":
            raise SystemExit(f"posting was answered with {status}: {text[:200]!r}")

    def page(self, parameters: dict[str, str]) -> tuple[dict[str, object], str | None]:
        """Return a page of objects, and when the newest of them was added."""
        status, newest, text = self._ask("GET", f"{self._path}?{urlencode(parameters)}")
        if status != OK:
            raise SystemExit(f"polling was answered with {status}: {text[:200]!r}")
        return json.loads(text), newest

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str | None, bytes]:
        headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        for number in itertools.count():
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            text = response.read()
            if response.status < SERVER_ERROR or number == AGAIN:
                break
            self.failed += 1
            time.sleep(AGAIN_S)
        return response.status, response.headers.get(NEWEST), text


def an_indicator(size: int) -> dict[str, str]:
    """Return an indicator of about `size` bytes that is unlike every other."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--{uuid4()}",
        "created": now,
        "modified": now,
        "valid_from": now,
        "pattern_type": "stix",
        "pattern": "[ipv4-addr:value='198.51.100.1']",
        "description": os.urandom(max(1, (size - FRAME) // 2)).hex(),
    }


def send(url: str, reports: int, size: int, batch: int) -> None:
    """Post reports, so many at a time; they are made before the first call."""
    collection = Collection(url)
    objects = [an_indicator(size) for _ in range(reports)]
    bodies = [json.dumps({"objects": objects[first : first + batch]}).encode() for first in range(0, reports, batch)]
    began, used = time.monotonic_ns(), time.process_time()
    for body in bodies:
        if collection.over:
            break  # what was not sent is missing at the recipients
        collection.post(body)
    print(json.dumps({"began_ns": began, "cpu_s": time.process_time() - used}), flush=True)


def receive(url: str, reports: int, pause_s: float) -> None:
    """Poll until every report is there."""
    collection = Collection(url)
    got: set[object] = set()
    newest: str | None = None
    last = 0
    print("ready", flush=True)
    used = time.process_time()
    while len(got) < reports and not collection.over:
        before = len(got)
        parameters = {"limit": str(PAGE)} | ({"added_after": newest} if newest else {})
        more = True
        while more:
            page, added = collection.page(parameters)
            objects = page.get("objects") or []
            assert isinstance(objects, list)
            got.update(each["id"] for each in objects)
            newest, more = added or newest, bool(page.get("more"))
            parameters["next"] = str(page.get("next"))
        if len(got) > before:
            last = time.monotonic_ns()
        else:
            time.sleep(pause_s)
    figures = {"delivered": len(got), "last_ns": last, "waits_ms": [], "failed": collection.failed}
    print(json.dumps({**figures, "cpu_s": time.process_time() - used}), flush=True)


def main(role: str, url: str, *numbers: str) -> None:
    """Do what the command line says."""
    if role == "receive":
        reports, pause = numbers
        receive(url, int(reports), float(pause))
    else:
        reports, size, batch = numbers
        send(url, int(reports), int(size), int(batch))


if __name__ == "__main__":
    main(*sys.argv[1:])
