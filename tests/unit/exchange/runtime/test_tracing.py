"""Traces: nothing where none are configured; where they are, one for each report, which says nothing of it."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from exchange.errors import BadInput, ConfigurationError
from exchange.runtime import tracing
from exchange.runtime.tracing import (
    OUTCOME,
    ROOT,
    TOGETHER,
    Leg,
    Recording,
    Tracing,
    TracingSettings,
    check_endpoint,
    place_name,
    tracing_of,
)

ONE, TWO = b"1" * 32, b"2" * 32


class Never:
    """What may not be looked at."""

    def __iter__(self) -> Iterator[Any]:
        """Fail. Any: it stands for names of every kind."""
        raise AssertionError("looked at although nothing is traced")


def test_without_a_collector_nothing_is_traced_and_nothing_looked_at() -> None:
    with tracing_of(TracingSettings(), "concord-node") as off:
        assert type(off) is Tracing
        off.end(Leg.PUSH, off.begin(), Never())
        off.same(Never())


def test_a_collector_without_the_extra_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigurationError, match="not installed") as caught:
        tracing_of(TracingSettings(endpoint="http://127.0.0.1:4318/v1/traces"), "concord-node")
    assert "concord-exchange[otel]" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    ["https://collector.example/v1/traces", "http://127.0.0.1:4318/v1/traces", "http://[::1]/", "http://localhost"],
)
def test_a_collector_is_here_or_spoken_to_in_secret(url: str) -> None:
    assert check_endpoint(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://collector.example/v1/traces",
        "http://192.0.2.1:4318",
        "http://localhost.example",
        "collector:4318",
        "ftp://localhost",
        "https://somebody:password@collector.example",
        "https://collector.example/?key=1",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        check_endpoint(url)


class Collected:
    """Spans in memory. Any: the extra's own."""

    def __init__(self, share: float = 1.0) -> None:
        """Skip where the extra is not installed."""
        why = "the extra otel is not installed: make test-tracing"
        memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter", reason=why)
        export = pytest.importorskip("opentelemetry.sdk.trace.export", reason=why)
        self._exporter = memory.InMemorySpanExporter()
        self.tracing = Recording(export.SimpleSpanProcessor(self._exporter), "concord-node", share=share)

    @property
    def spans(self) -> list[Any]:
        """What was made so far, without roots."""
        return [each for each in self._exporter.get_finished_spans() if each.name != ROOT]

    @property
    def roots(self) -> list[Any]:
        """Roots."""
        return [each for each in self._exporter.get_finished_spans() if each.name == ROOT]


def test_all_legs_of_one_report_are_one_trace_under_one_root_and_another_report_is_another() -> None:
    collected = Collected()
    with collected.tracing as on:
        since = on.begin()
        on.end(Leg.PUSH, since, [(ONE, ""), (TWO, "")])
        on.end(Leg.SEAL, since, [(ONE, "")])
        on.same([(ONE, place_name(7))])
        on.end(Leg.DELIVER, since, [(place_name(7), "")])
        on.end(Leg.SUBMIT, since, [(TWO, "NOT_DELIVERABLE")])
    first, second = collected.roots
    of = {(each.name, each.context.trace_id) for each in collected.spans}
    assert of == {
        *((leg, first.context.trace_id) for leg in ("push", "seal", "deliver")),
        *((leg, second.context.trace_id) for leg in ("push", "submit")),
    }
    assert {each.parent.span_id for each in collected.spans} == {first.context.span_id, second.context.span_id}
    (refused,) = [each for each in collected.spans if each.name == "submit"]
    assert dict(refused.attributes) == {TOGETHER: 1, OUTCOME: "NOT_DELIVERABLE"}
    assert {dict(each.attributes)[TOGETHER] for each in collected.spans if each.name == "push"} == {2}
    assert all(each.start_time == since and each.end_time >= since for each in collected.spans)


def test_nothing_that_names_a_report_is_in_a_span_and_no_number_is_made_of_it() -> None:
    told = []
    for _ in range(2):
        collected = Collected()
        with collected.tracing as on:
            on.end(Leg.PUSH, on.begin(), [(ONE, "")])
        told.append("".join(each.to_json() for each in (*collected.roots, *collected.spans)))
        assert ONE.hex()[:16] not in told[-1] and ONE.decode()[:8] not in told[-1]
        assert json.loads(collected.spans[0].to_json())["resource"]["attributes"] == {"service.name": "concord-node"}
        told.append(collected.roots[0].context.trace_id)
    assert told[1] != told[3], "another process joins nothing by the same report"


def test_a_delivery_and_an_acknowledgement_begin_no_trace() -> None:
    collected = Collected()
    with collected.tracing as on:
        for leg in (Leg.DELIVER, Leg.ACKNOWLEDGE):
            on.end(leg, on.begin(), [(place_name(1), "")])
        on.end(Leg.PUSH, 0, [(ONE, "")])
        on.end(Leg.PUSH, on.begin(), [(b"", "")])
    assert not collected.spans and not collected.roots


def test_a_share_is_traced_whole_and_the_rest_not_at_all() -> None:
    collected = Collected(share=0.5)
    names = [number.to_bytes(32, "big") for number in range(200)]
    with collected.tracing as on:
        for leg in (Leg.PUSH, Leg.SEAL):
            on.end(leg, on.begin(), [(name, "") for name in names])
    assert 0 < len(collected.roots) < len(names) and len(collected.spans) == 2 * len(collected.roots)


def test_no_more_is_remembered_than_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "REMEMBERED", 2)
    collected = Collected()
    with collected.tracing as on:
        for name in (ONE, TWO, b"3" * 32, ONE):
            on.end(Leg.PUSH, on.begin(), [(name, "")])
        assert len(on._roots) == 2
    assert len({each.context.trace_id for each in collected.spans}) == 4
