"""A report's path as traces show it: one at each of sender, relay and recipient, and nothing that joins the three."""

import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from exchange.runtime.interceptors import ErrorInterceptor
from exchange.runtime.tracing import TracingSettings
from tests.support.node_world import a_node_world, at, push, ready, receipted
from tests.support.relay_world import settings
from tests.support.traces import traces

WHY = "the extra otel is not installed: make test-tracing"


class Collector:
    """What OTLP over HTTP brings, by path. Any: messages of the extra."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.bodies: dict[str, list[bytes]] = {}

    def settings(self, who: str) -> TracingSettings:
        """Return where one party's traces go."""
        return TracingSettings(endpoint=f"http://127.0.0.1:{self._port}/{who}")

    def spans(self, who: str) -> list[Any]:
        """Return a party's spans."""
        service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason=WHY)
        requests = [service.ExportTraceServiceRequest.FromString(body) for body in self.bodies.get(f"/{who}", [])]
        # What is answered late is sent once more.
        found = {
            span.span_id: span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }
        return list(found.values())


@contextmanager
def a_collector() -> Iterator[Collector]:
    """Run one on this machine."""
    pytest.importorskip("opentelemetry.sdk.trace", reason=WHY)

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.bodies.setdefault(self.path, []).append(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
    collector = Collector(server.server_port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_a_reports_path_is_one_trace_at_each_party_and_nothing_joins_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metadata: set[str] = set()
    intercept = ErrorInterceptor.intercept_service

    async def watched(self: ErrorInterceptor, continuation: Any, details: Any) -> Any:
        metadata.update(str(key) for key, _ in details.invocation_metadata or ())
        return await intercept(self, continuation, details)

    monkeypatch.setattr(ErrorInterceptor, "intercept_service", watched)
    with a_collector() as collector:
        given = settings().model_copy(update={"tracing": collector.settings("relay")})
        async with a_node_world("XA", "XV", given=given) as world, AsyncExitStack() as stack:
            await world.relay.agree("XA", "XV")
            running = {}
            for name, place in world.places.items():
                place.config = place.config.model_copy(update={"tracing": collector.settings(name)})
                running[name] = await stack.enter_async_context(at(place))
            await ready(running["XA"], ["XV"])
            sent = [await push(running["XA"], "XV", key=str(number)) for number in range(2)]
            for each in sent:
                await receipted(running["XA"], each.item, "XV")
            await stack.aclose()
            legs = {
                "XA": ["push", "seal", "submit"],
                "XV": ["acknowledge", "judge", "store"],
            }
            for name, wanted in legs.items():
                _check(collector.spans(name), wanted, reports=2)
            ids = {span.trace_id for name in legs for span in collector.spans(name)}
            homes = [world.relay.home.root, *(place.home for place in world.places.values())]
            assert not [found for home in homes for found in traces(home, sorted(ids))]
        _check(collector.spans("relay"), ["decide", "deliver", "log", "verify"], reports=2)
        of = {name: {span.trace_id for span in collector.spans(name)} for name in ("XA", "XV", "relay")}
        assert not (of["XA"] & of["XV"] or of["XA"] & of["relay"] or of["XV"] & of["relay"])
        told = b"".join(body for bodies in collector.bodies.values() for body in bodies)
        secrets = [b"XA", b"XV", b"Roadblock", *(each.item for each in sent)]
        secrets += [each.item.hex().encode() for each in sent]
        assert not any(secret in told for secret in secrets)
    assert not [key for key in metadata if "trace" in key or key in {"baggage", "b3"}], "no context travels"


def _check(spans: list[Any], legs: list[str], *, reports: int) -> None:
    """Check that there are so many traces, each with these legs under one root."""
    by_trace: dict[bytes, list[Any]] = {}
    for span in spans:
        by_trace.setdefault(span.trace_id, []).append(span)
    assert len(by_trace) == reports
    for found in by_trace.values():
        (root,) = [span for span in found if not span.parent_span_id]
        others = [span for span in found if span.parent_span_id]
        names = sorted(span.name for span in others)
        assert names == legs and root.name == "report", [str(span) for span in others]
        assert {span.parent_span_id for span in others} == {root.span_id}
        assert {item.key for span in found for item in span.attributes} <= {"concord.together", "concord.outcome"}
