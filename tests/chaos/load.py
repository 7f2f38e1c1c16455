"""What is pushed while everything breaks: on all lanes, to changing audiences, some with files, some to correct others.

What is pushed follows from the seed; how much of it, from how far the pushers get.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from threading import Event, Thread
from uuid import UUID

from exchange.errors import ExchangeError, NeedsConfirmation
from nodes.node_client import connect
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.attachment_pb2 import AttachFileRequest
from nodes.v1.node_service_pb2_grpc import NodeServiceStub
from tests.chaos.field import TITLE, Field
from tests.support.reports import a_report

LANES = ("flash", "priority", "routine", "routine")
AGAIN_S = 0.3
PATIENCE_S = 120.0
"""A node that cannot be pushed to for so long is lost."""

AUDIENCE_MOST = 4
FILES = 0.1
"""How many reports bring a file."""

FILE_BYTES = (1_000, 300_000)
CORRECTIONS = 0.15
"""How many correct an earlier one."""

VERSIONS = 20
"""Of one report at most."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """A report that a node has accepted."""

    item: str
    sender: str
    audience: frozenset[str]
    lane: str
    id: str
    """Its STIX id."""
    version: int
    content: bytes
    supersedes: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 by name."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """What is pushed until it is accepted."""

    key: str
    report: pb.ReportFile
    id: str
    version: int
    audience: frozenset[str]
    lane: str
    supersedes: str
    files: Mapping[str, bytes]


@dataclass(slots=True)
class Load:
    """Pushers, one for each partner."""

    exchange: Field
    rate: float
    """Reports a second, of all together."""
    seed: int
    pushed: list[Pushed] = field(default_factory=list)
    again: int = 0
    """Pushes that had to be repeated."""
    refused: list[str] = field(default_factory=list)
    """Pushes that a node refused for good: there should be none."""
    _stop: Event = field(default_factory=Event)
    _threads: list[Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin to push."""
        for number, party in enumerate(self.exchange.parties):
            thread = Thread(target=self._push, args=(party, Random(self.seed * 1_000 + number)), name=f"push-{party}")
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Push what was begun, and no more. Whatever a push needs must run by now."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _push(self, party: str, random: Random) -> None:
        pause = len(self.exchange.parties) / self.rate
        newest: dict[str, Pushed] = {}
        while not self._stop.wait(random.uniform(0, 2 * pause)):
            pushed = self._until_accepted(party, self._draft(party, random, list(newest.values())))
            if pushed is not None:
                self.pushed.append(pushed)
                newest[pushed.id] = pushed

    def _draft(self, party: str, random: Random, earlier: Sequence[Pushed]) -> _Draft:
        key, fresh = str(UUID(int=random.getrandbits(128))), f"report--{UUID(int=random.getrandbits(128), version=4)}"
        others = [each for each in self.exchange.parties if each != party]
        audience = frozenset(random.sample(others, random.randint(1, min(AUDIENCE_MOST, len(others)))))
        lane, kind, before = random.choice(LANES), random.random(), None
        # A file of a version that was replaced need not be fetched any more: what is corrected has none.
        correctable = [each for each in earlier if not each.files and each.version < VERSIONS]
        if kind < CORRECTIONS and correctable:
            before = random.choice(correctable)
            fresh, audience = before.id, before.audience
        files = {}
        if CORRECTIONS <= kind < CORRECTIONS + FILES:
            files = {"map.bin": random.randbytes(random.randint(*FILE_BYTES))}
        version = 0 if before is None else before.version + 1
        content = a_report(
            name=f"{lane} from {party}, version {version}", id=fresh, modified=f"2021-07-14T05:{30 + version}:00.000Z"
        )
        report = pb.ReportFile(content=content, label_yaml=_label(sorted(audience), lane))
        return _Draft(key, report, fresh, version, audience, lane, before.item if before else "", files)

    def _until_accepted(self, party: str, draft: _Draft) -> Pushed | None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                with connect(self.exchange.home.node(party)) as node:
                    item = _accepted(node, draft)
            except ExchangeError as error:
                # Whom nothing was ever sent to may change while somebody looks at it: then people look again.
                again = error.retryable or isinstance(error, NeedsConfirmation)
                if not again or time.monotonic() > deadline:
                    self.refused.append(f"{party}: {error}")
                    return None
                self.again += 1
                time.sleep(AGAIN_S)
            else:
                files = {name: sha256(data).hexdigest() for name, data in draft.files.items()}
                about = (draft.audience, draft.lane, draft.id, draft.version, draft.report.content, draft.supersedes)
                return Pushed(item, party, *about, files)


def _accepted(node: NodeServiceStub, draft: _Draft) -> str:
    """Push it, whether or not an attempt before this one was heard, and return its item."""
    asked = pb.WhoGetsRequest(report=draft.report, supersedes=draft.supersedes)
    confirmed = [hint.accept for hint in node.WhoGets(asked).hints]
    attached = [node.AttachFile(_parts(name, data)).id for name, data in draft.files.items()]
    request = pb.PushReportRequest(
        report=draft.report,
        idempotency_key=draft.key,
        confirmed=confirmed,
        supersedes=draft.supersedes,
        attached=attached,
    )
    return node.PushReport(request).item


def _parts(name: str, data: bytes) -> Iterator[AttachFileRequest]:
    yield AttachFileRequest(name=name, media_type="application/octet-stream", size=len(data))
    yield AttachFileRequest(data=data)


def _label(audience: Sequence[str], lane: str) -> bytes:
    return (
        "tlp: amber\ncategories: [alert]\npurposes: [protect_life]\npersonal_data: none\n"
        f'basis: {{kind: mou, citation: "{TITLE}, clause 1"}}\n'
        f"release: {{to: [{', '.join(audience)}]}}\nlane: {lane}\n"
    ).encode()
