"""Traces: how long each leg of a report's path takes in this process, for who operates it.

Nothing of a trace travels: no context goes to the relay or to a partner, and none is taken from there. Which trace is
which report's is known to this process's memory alone: a trace has a random number, and a span says its leg, how long
it took, how many went together and how it ended. So spans of a sender, the relay and a recipient cannot be joined, and
none names a report, an envelope or a partner (docs/decisions/0031-traces-end-at-the-door.md).

Where the extra `otel` is not installed or no collector is configured, every call here does nothing. Nothing else
imports opentelemetry.
"""

import random
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from enum import StrEnum
from ipaddress import ip_address
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from exchange.errors import BadInput, ConfigurationError
from exchange.runtime.config import Section

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor

REMEMBERED = 65_536
"""Reports whose traces are remembered; of who comes later the oldest is forgotten, and begins another trace."""

SPANS_WAITING = 4_096
EXPORT_S = 5.0
"""A collector is waited for so long; what it does not take is dropped."""

ROOT = "report"
TOGETHER, OUTCOME = "concord.together", "concord.outcome"
"""All that a span says besides its leg and its time."""

Reports = Iterable[tuple[bytes, str]]
"""What names each report in this process, and how a leg ended for it; empty when as it should."""


class Leg(StrEnum):
    """Legs of a report's path."""

    PUSH = "push"
    """Sender: signed, and durable in the outbox."""
    SEAL = "seal"
    SUBMIT = "submit"
    """Sender: from the frame's leaving to the stored answer."""
    VERIFY = "verify"
    """Relay: signature, hashes, leaves."""
    DECIDE = "decide"
    LOG = "log"
    """Relay: from judged to logged, stored and promised, its turn included."""
    DELIVER = "deliver"
    """Relay: read and handed to one recipient's stream."""
    JUDGE = "judge"
    """Recipient: opened, and decided on again."""
    STORE = "store"
    ACKNOWLEDGE = "acknowledge"


CONTINUES = frozenset({Leg.DELIVER, Leg.ACKNOWLEDGE})
"""Legs that begin no trace: they know an envelope by its place, and not whether there is a report in it."""


class TracingSettings(Section):
    """Where traces go."""

    endpoint: str = Field(
        default="", description="Collector that takes OTLP over HTTP: its URL for traces. Empty: nothing is traced."
    )
    share: float = Field(default=1.0, gt=0, le=1, description="Of all reports this share is traced, by chance.")

    @field_validator("endpoint")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        if value:
            check_endpoint(value)
        return value


def check_endpoint(url: str) -> str:
    """Return a collector's URL; BadInput when it is none, or in clear over a network."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise BadInput(
            f"tracing.endpoint: {url[:80]!r} is no URL of a collector", hint="http://127.0.0.1:4318/v1/traces"
        )
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise BadInput(
            "tracing.endpoint: over a network traces go by https only", hint="or to a collector on this machine"
        )
    return url


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def place_name(position: int, lane: int = 0) -> bytes:
    """Return what names an envelope by its place, where its hash is not at hand."""
    return bytes([lane]) + position.to_bytes(8, "big")


class Tracing:
    """Nothing is traced. As a context manager it ends what it began."""

    def begin(self) -> int:
        """Return what `end` is told of when a leg began."""
        return 0

    def end(self, leg: Leg, since: int, reports: Reports) -> None:
        """Note that a leg of these reports, which went through it together, is over. For any thread.

        `reports` is looked at only where something is traced.
        """

    def same(self, names: Iterable[tuple[bytes, bytes]]) -> None:
        """Note that the second name means the report that the first means; looked at as `reports` is."""

    def close(self) -> None:
        """Hand on what waits, if that takes no longer than the collector is waited for."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: "TracebackType | None"
    ) -> None:
        """Close."""
        self.close()


def tracing_of(settings: TracingSettings, service: str) -> Tracing:
    """Return what traces as the configuration says, for `concord-node` or `concord-relay`.

    Raises:
        ConfigurationError: a collector is configured, and the extra is not installed.
    """
    if not settings.endpoint:
        return Tracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            "tracing.endpoint is set, and OpenTelemetry is not installed",
            hint="pip install 'concord-exchange[otel]', or leave tracing.endpoint empty",
        ) from error
    exporter = OTLPSpanExporter(endpoint=settings.endpoint, timeout=EXPORT_S)
    processor = BatchSpanProcessor(exporter, max_queue_size=SPANS_WAITING, export_timeout_millis=EXPORT_S * 1_000)
    return Recording(processor, service, share=settings.share)


class Recording(Tracing):
    """Makes spans."""

    def __init__(self, processor: "SpanProcessor", service: str, *, share: float = 1.0) -> None:
        """Give spans to `processor`; a share of all reports is traced."""
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - the extra, where it is installed
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

        resource = Resource({"service.name": service})
        self._provider: TracerProvider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("concord")
        self._share = share
        self._random = random.SystemRandom()
        self._lock = threading.Lock()
        # By name of a report: the context of its root; None when it is not traced.
        self._roots: OrderedDict[bytes, Context | None] = OrderedDict()

    def begin(self) -> int:
        """Return the time."""
        return time.time_ns()

    def end(self, leg: Leg, since: int, reports: Reports) -> None:
        """Make a span for each of these."""
        now, found = time.time_ns(), [(name, outcome) for name, outcome in reports if name and since]
        for name, outcome in found:
            root = self._root(name, since, begins=leg not in CONTINUES)
            if root is None:
                continue
            attributes: dict[str, str | int] = {TOGETHER: len(found)}
            if outcome:
                attributes[OUTCOME] = outcome
            span = self._tracer.start_span(leg.value, root, attributes=attributes, start_time=since)
            span.end(now)

    def same(self, names: Iterable[tuple[bytes, bytes]]) -> None:
        """Remember it."""
        with self._lock:
            for name, other in names:
                if name in self._roots:
                    self._keep(other, self._roots[name])

    def close(self) -> None:
        """Hand on what waits."""
        self._provider.shutdown()

    def _root(self, name: bytes, since: int, *, begins: bool) -> "Context | None":
        """Return the context of a report's root span, which is made when the report is met first; None for none."""
        with self._lock:
            if name in self._roots or not begins:
                return self._roots.get(name)
            root = self._made(since) if self._random.random() < self._share else None
            self._keep(name, root)
            return root

    def _made(self, since: int) -> "Context":
        from opentelemetry.context import Context  # noqa: PLC0415
        from opentelemetry.trace import set_span_in_context  # noqa: PLC0415

        span = self._tracer.start_span(ROOT, Context(), start_time=since)
        span.end(since)
        return set_span_in_context(span, Context())

    def _keep(self, name: bytes, root: "Context | None") -> None:
        self._roots[name] = root
        if len(self._roots) > REMEMBERED:
            self._roots.popitem(last=False)
