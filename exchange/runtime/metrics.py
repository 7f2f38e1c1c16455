"""Counters for the operator, read over HTTP from this machine alone. No metric names a partner's content.

Names start with `concord_`. One registry a process, made by its app and handed to what counts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exchange.errors import ConfigurationError, ExchangeError

if TYPE_CHECKING:
    import threading
    from wsgiref.simple_server import WSGIServer

LOCALHOST = "127.0.0.1"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of a histogram of durations."""


COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Bounds of a histogram of how many went together."""

Measured = Mapping[tuple[str, ...], Sequence[float]]
"""By the labels' values, a number for each family."""


class _Table(Collector):
    """Families that are read together, whose labels come and go."""

    def __init__(
        self, families: Sequence[Callable[[], Metric]], measure: Callable[[], Measured], failed: Counter
    ) -> None:
        self._families = families
        self._measure = measure
        self._failed = failed

    def collect(self) -> Iterable[Metric]:
        families = [make() for make in self._families]
        try:
            measured = self._measure()
        except ExchangeError:
            # What can be told is told: a store that cannot be read is when people look.
            self._failed.labels(families[0].name).inc()
            measured = {}
        for values, numbers in measured.items():
            for family, number in zip(families, numbers, strict=True):
                family.add_metric(values, number)  # type: ignore[attr-defined] # of each kind of family, not of Metric
        yield from families


class Metrics:
    """The metrics of one process; as a context manager it stops the HTTP port at the end."""

    def __init__(self) -> None:
        """Empty, and not served."""
        self.registry = CollectorRegistry()
        self._failed = self.counter("measure_failed", "Times that a metric could not be measured.", ["metric"])
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
        self.gauges_together({name: what}, labels, lambda: {key: (number,) for key, number in measure().items()})

    def gauges_together(self, names: Mapping[str, str], labels: Sequence[str], measure: Callable[[], Measured]) -> None:
        """Show several gauges `concord_<name>` with the same labels, of one measure; `names` says what each is.

        `measure` is called in the thread that serves the metrics. When it fails with an error of ours they are left
        out, and `concord_measure_failed_total` counts it.
        """
        families = [partial(GaugeMetricFamily, f"concord_{name}", what, labels=labels) for name, what in names.items()]
        self.registry.register(_Table(families, measure, self._failed))

    def counters(self, name: str, what: str, label: str, measure: Callable[[], Mapping[str, int]]) -> None:
        """Show counters `concord_<name>_total` that a part keeps itself, by the values of their label."""
        family = partial(CounterMetricFamily, f"concord_{name}", what, labels=(label,))
        self.registry.register(
            _Table([family], lambda: {(key,): (number,) for key, number in measure().items()}, self._failed)
        )

    def sizes(self, name: str, what: str) -> Histogram:
        """Return a new histogram of how many went together, `concord_<name>`."""
        return Histogram(name, what, namespace="concord", registry=self.registry, buckets=COUNTS)

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
