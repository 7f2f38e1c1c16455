"""Counters for the operator, read over HTTP from this machine alone. No metric names a partner's content.

Names start with `concord_`. One registry a process, made by its app and handed to what counts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exchange.errors import ConfigurationError

if TYPE_CHECKING:
    import threading
    from wsgiref.simple_server import WSGIServer

LOCALHOST = "127.0.0.1"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of a histogram of durations."""


class _Gauges(Collector):
    def __init__(
        self, name: str, what: str, labels: Sequence[str], measure: Callable[[], Mapping[tuple[str, ...], float]]
    ) -> None:
        self._family = partial(GaugeMetricFamily, name, what, labels=labels)
        self._measure = measure

    def collect(self) -> Iterable[Metric]:
        family = self._family()
        for values, number in self._measure().items():
            family.add_metric(values, number)
        yield family


class Metrics:
    """The metrics of one process; as a context manager it stops the HTTP port at the end."""

    def __init__(self) -> None:
        """Empty, and not served."""
        self.registry = CollectorRegistry()
        self._served: tuple[WSGIServer, threading.Thread] | None = None

    def counter(self, name: str, what: str, labels: Sequence[str] = ()) -> Counter:
        """Return a new counter `concord_<name>_total`."""
        return Counter(name, what, labels, namespace="concord", registry=self.registry)

    def gauge(self, name: str, what: str, labels: Sequence[str] = ()) -> Gauge:
        """Return a new gauge `concord_<name>`."""
        return Gauge(name, what, labels, namespace="concord", registry=self.registry)

    def gauges(
        self, name: str, what: str, labels: Sequence[str], measure: Callable[[], Mapping[tuple[str, ...], float]]
    ) -> None:
        """Show gauges `concord_<name>` whose labels come and go: `measure` returns them by the labels' values."""
        self.registry.register(_Gauges(f"concord_{name}", what, labels, measure))

    def seconds(self, name: str, what: str, labels: Sequence[str] = ()) -> Histogram:
        """Return a new histogram of durations, `concord_<name>_seconds`."""
        return Histogram(
            name, what, labels, namespace="concord", unit="seconds", registry=self.registry, buckets=SECONDS
        )

    def serve(self, port: int | None) -> int | None:
        """Serve /metrics on this port of 127.0.0.1 and return the port; None serves nothing, 0 takes a free one."""
        if port is None:
            return None
        try:
            self._served = start_http_server(port, addr=LOCALHOST, registry=self.registry)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"metrics cannot be served on port {port}: {error}", hint="configure another port, or none"
            ) from error
        return int(self._served[0].server_port)

    def close(self) -> None:
        """Stop serving."""
        served, self._served = self._served, None
        if served is not None:
            server, thread = served
            server.shutdown()
            server.server_close()
            thread.join()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop serving."""
        self.close()
