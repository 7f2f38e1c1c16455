"""Errors across a real gRPC connection, in all four kinds of calls."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from secrets import token_hex
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog.testing

from exchange import errors
from exchange.errors import (
    BadEnvelope,
    BadLabel,
    ConfigurationError,
    ExchangeError,
    InternalError,
    NotAuthenticated,
    PolicyDenied,
    RateLimited,
    StorageFull,
    Unavailable,
)
from exchange.runtime import interceptors
from exchange.runtime.grpc_options import local_options
from exchange.runtime.interceptors import DETAIL, REASON, ErrorInterceptor, from_rpc_error, was_answered
from tests.support.errors import every_error

SECRET = "detail-for-the-operator-alone"
KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream", "written"]


class Failing(grpc.GenericRpcHandler):
    """Raises what it is told to, in the kind of method that the name asks for."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.cleaned = asyncio.Event()

    async def _fail(self, _: Any, __: Any) -> bytes:
        raise self.error

    async def _yield_then_fail(self, _: Any, __: Any) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            raise self.error
        finally:
            self.cleaned.set()

    async def _write_then_fail(self, _: Any, context: Any) -> None:
        await context.write(b"first")
        raise self.error

    async def _wait(self, _: Any, __: Any) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            self.cleaned.set()

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        makers: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
            "unary_unary": (grpc.unary_unary_rpc_method_handler, self._fail),
            "unary_stream": (grpc.unary_stream_rpc_method_handler, self._yield_then_fail),
            "stream_unary": (grpc.stream_unary_rpc_method_handler, self._fail),
            "stream_stream": (grpc.stream_stream_rpc_method_handler, self._yield_then_fail),
            "written": (grpc.stream_stream_rpc_method_handler, self._write_then_fail),
            "waiting": (grpc.unary_stream_rpc_method_handler, self._wait),
        }
        made = makers.get(str(details.method).rsplit("/", maxsplit=1)[-1])
        return made[0](made[1]) if made else None


@contextlib.asynccontextmanager
async def connected(
    handler: Failing, path: Path, *, detailed: bool = False, count: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Any]:
    """A channel to a server with this handler. Any: its stubs want the messages' types, and these have none."""
    # gRPC would keep a connection to the same path for the next channel.
    address = f"unix:{path / token_hex(4)}"
    server = grpc.aio.server(interceptors=[ErrorInterceptor(detailed=detailed, count=count)])
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(address)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address, options=local_options()) as channel:
            yield channel
    finally:
        await server.stop(None)


async def requests() -> AsyncIterator[bytes]:
    yield b""


async def drained(call: Any) -> None:
    async for _ in call:
        pass


async def call(channel: Any, kind: str) -> None:
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "unary_unary": lambda: channel.unary_unary("/t/unary_unary")(b""),
        "unary_stream": lambda: drained(channel.unary_stream("/t/unary_stream")(b"")),
        "stream_unary": lambda: channel.stream_unary("/t/stream_unary")(requests()),
        "stream_stream": lambda: drained(channel.stream_stream("/t/stream_stream")(requests())),
        "written": lambda: drained(channel.stream_stream("/t/written")(requests())),
        "missing": lambda: channel.unary_unary("/t/missing")(b""),
    }
    await calls[kind]()


async def raised(error: BaseException, path: Path, kind: str, *, detailed: bool = False) -> grpc.aio.AioRpcError:
    async with connected(Failing(error), path, detailed=detailed) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, kind)
    return caught.value


def everything(error: grpc.aio.AioRpcError) -> str:
    return f"{error.details()} {error.trailing_metadata()} {error.initial_metadata()} {error.debug_error_string()}"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_peer_learns_status_reason_and_public_text_and_never_the_detail(tmp_path: Path, kind: str) -> None:
    error = await raised(PolicyDenied(SECRET, hint=SECRET, place=SECRET), tmp_path, kind)
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert error.details() == PolicyDenied.public
    assert SECRET not in everything(error)
    known = from_rpc_error(error)
    assert type(known) is PolicyDenied and str(known) == PolicyDenied.public


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bug_is_internal_and_says_nothing_but_is_logged(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = await raised(ValueError(SECRET), tmp_path, kind, detailed=True)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert SECRET not in everything(error)
    assert type(from_rpc_error(error)) is InternalError
    assert "ValueError" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
async def test_on_the_operators_own_socket_detail_hint_and_place_travel(tmp_path: Path, kind: str) -> None:
    known = from_rpc_error(
        await raised(BadLabel("no such TLP", hint="use amber", place="line 3"), tmp_path, kind, detailed=True)
    )
    assert type(known) is BadLabel
    assert (str(known), known.hint, known.place) == ("no such TLP", "use amber", "line 3")


async def test_a_detail_is_either_in_the_answer_or_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for detailed in (True, False):
        log = structlog.testing.CapturingLogger()
        monkeypatch.setattr(interceptors, "_log", log)
        await raised(BadLabel(SECRET), tmp_path, "unary_unary", detailed=detailed)
        (logged,) = log.calls
        assert logged.kwargs["reason"] == "BAD_LABEL"
        assert logged.kwargs.get("detail") == (None if detailed else SECRET)


async def test_whether_a_service_answered_is_told_apart_from_no_answer(tmp_path: Path) -> None:
    assert was_answered(await raised(Unavailable("the relay is away"), tmp_path, "unary_unary"))
    async with grpc.aio.insecure_channel(f"unix:{tmp_path / 'nobody'}", options=local_options()) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "unary_unary")
    assert not was_answered(caught.value)


@pytest.mark.parametrize("kind", every_error())
async def test_every_error_arrives_as_what_it_was(tmp_path: Path, kind: type[ExchangeError]) -> None:
    sent = BadEnvelope(7, "odd") if kind is BadEnvelope else kind("odd")
    known = from_rpc_error(await raised(sent, tmp_path, "unary_unary", detailed=True))
    assert type(known) is kind and str(known) == str(sent) and known.retryable == kind.retryable
    if isinstance(known, BadEnvelope):
        assert known.step == 7
    known = from_rpc_error(await raised(sent, tmp_path, "unary_unary"))
    assert type(known) is kind


async def test_an_error_out_of_a_task_group_is_that_error(tmp_path: Path) -> None:
    group = ExceptionGroup("tasks", [StorageFull("x"), ExceptionGroup("more", [StorageFull("y")])])
    assert type(from_rpc_error(await raised(group, tmp_path, "unary_unary"))) is StorageFull
    with_bug = ExceptionGroup("tasks", [StorageFull("x"), ValueError("y")])
    assert type(from_rpc_error(await raised(with_bug, tmp_path, "unary_unary"))) is InternalError


async def test_a_long_detail_is_cut_to_what_metadata_may_hold(tmp_path: Path) -> None:
    known = from_rpc_error(
        await raised(BadLabel("ق" * 100_000, hint="ق" * 9_000), tmp_path, "unary_unary", detailed=True)
    )
    assert type(known) is BadLabel and 100 < len(str(known)) < 1_001


async def test_a_method_that_is_not_there_stays_unimplemented(tmp_path: Path) -> None:
    error = await raised(ValueError(), tmp_path, "missing")
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert type(from_rpc_error(error)) is InternalError


async def test_a_peer_that_leaves_a_stream_lets_the_method_clean_up(tmp_path: Path) -> None:
    handler = Failing(ValueError())
    async with connected(handler, tmp_path) as channel:
        stream = channel.unary_stream("/t/waiting")(b"")
        assert await stream.read() == b"first"
        stream.cancel()
        async with asyncio.timeout(10):
            await handler.cleaned.wait()


class Answer(grpc.RpcError):
    """What a synchronous channel raises."""

    def __init__(self, code: grpc.StatusCode, details: str, metadata: tuple[tuple[str, str | bytes], ...] = ()) -> None:
        self._parts = (code, details, metadata)

    def code(self) -> grpc.StatusCode:
        return self._parts[0]

    def details(self) -> str:
        return self._parts[1]

    def trailing_metadata(self) -> Any:
        return self._parts[2]


@pytest.mark.parametrize(
    "code, kind",
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Unavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, RateLimited),
        (grpc.StatusCode.UNAUTHENTICATED, NotAuthenticated),
        (grpc.StatusCode.DATA_LOSS, InternalError),
    ],
)
def test_a_status_without_a_reason_comes_from_between_us(code: grpc.StatusCode, kind: type[ExchangeError]) -> None:
    known = from_rpc_error(Answer(code, "failed to connect"))
    assert type(known) is kind and str(known) == "failed to connect"


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"detail": 3}', b"\xff", json.dumps({"detail": "x" * 9999}).encode()]
)
def test_what_the_other_side_describes_badly_is_ignored_or_cut(data: bytes) -> None:
    known = from_rpc_error(Answer(grpc.StatusCode.UNAVAILABLE, "said", ((REASON, "CONFIGURATION"), (DETAIL, data))))
    assert type(known) is ConfigurationError and len(str(known)) <= 1_000


def test_an_unknown_reason_of_a_newer_peer_falls_back_to_the_status() -> None:
    assert type(from_rpc_error(Answer(grpc.StatusCode.NOT_FOUND, "", ((REASON, "NEW_THING"),)))) is errors.NotFound


def test_an_rpc_error_that_says_nothing_is_our_bug() -> None:
    assert type(from_rpc_error(grpc.RpcError())) is InternalError


@pytest.mark.parametrize(
    "error, reason", [(Unavailable("away"), "UNAVAILABLE"), (ValueError("a bug"), "INTERNAL")], ids=["ours", "bug"]
)
async def test_each_refusal_is_counted_by_its_reason(error: Exception, reason: str, tmp_path: Path) -> None:
    counted: list[str] = []
    async with connected(Failing(error), tmp_path, count=counted.append) as channel:
        for kind in ("unary_unary", "stream_stream"):
            with pytest.raises(grpc.aio.AioRpcError):
                await call(channel, kind)
    assert counted == [reason, reason]
