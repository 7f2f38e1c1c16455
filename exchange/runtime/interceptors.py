"""Errors across gRPC, both ways: services raise ours and never call abort, clients get ours back.

A peer learns the status, the reason (trailing metadata `concord-reason`) and the public text, never the detail. On a
socket that only this machine's operator can reach, detail, hint and place travel too (`concord-error-bin`, JSON).
What is not one of our errors is our bug: the peer hears INTERNAL, the traceback stays in our log.
"""

import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias

import grpc
import grpc.aio
import orjson

from exchange.errors import BadEnvelope, ConfigurationError, ExchangeError, InternalError
from exchange.limits import KIB
from exchange.runtime.logs import get_logger
from exchange.runtime.status import error_class, status_of

REASON = "concord-reason"
DETAIL = "concord-error-bin"

DETAIL_CHARACTERS = 1_000
"""Of each text that travels; metadata is limited as a whole."""

# Any: an interceptor sees the messages of every method.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_MAKERS: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
"""By whether requests and whether responses are streamed."""

_DETAIL_BYTES = 4 * KIB
_STEP = re.compile(r"step (\d{1,3}): ", re.ASCII)
_log = get_logger(__name__)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns what a service raises into a status. Put it first, so that it covers the other interceptors."""

    def __init__(self, *, detailed: bool = False, count: Callable[[str], None] = lambda _: None) -> None:
        """`detailed` sends detail, hint and place: only where the peer is this machine's operator.

        `count` is told the reason of each refusal.
        """
        self._detailed = detailed
        self._count = count
        self._wrapped: dict[str, Handler] = {}
        """By method: a handler is wrapped once, not with every call."""

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Wrap the method; None, a method that is not there, stays."""
        method = handler_call_details.method
        if method in self._wrapped:
            return self._wrapped[method]
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        behaviour = behaviour_of(handler)
        wrap = self._generator if inspect.isasyncgenfunction(behaviour) else self._coroutine
        self._wrapped[method] = with_behaviour(handler, wrap(behaviour, method))
        return self._wrapped[method]

    def _coroutine(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        """Wrap a method that returns its response, or writes its responses to the context."""

        async def call(request: Any, context: Context) -> Any:
            try:
                return await behaviour(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - the edge answers for everything
                await self._abort(context, error, method)

        return call

    def _generator(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        """Wrap a method that yields its responses; its cleanup runs also when the peer leaves."""

        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                async with aclosing(behaviour(request, context)) as responses:
                    async for response in responses:
                        yield response
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - the edge answers for everything
                await self._abort(context, error, method)

        return call

    async def _abort(self, context: Context, error: Exception, method: str) -> NoReturn:
        known = _ours(error)
        if known is None or isinstance(known, InternalError):
            _log.error("failed", method=method, exc_info=error)
        elif isinstance(known, ConfigurationError):
            _log.error("refused", method=method, reason=known.reason, detail=str(known))
        elif self._detailed:
            # The caller gets the detail, which may quote a report; the log does not need it.
            _log.info("refused", method=method, reason=known.reason)
        else:
            _log.info("refused", method=method, reason=known.reason, detail=str(known))
        if known is None:
            known = InternalError("this is a bug", hint="its trace is in the service's log")
        self._count(known.reason)
        metadata: list[tuple[str, str | bytes]] = [(REASON, known.reason)]
        if self._detailed:
            metadata.append((DETAIL, _described(known)))
        await context.abort(status_of(known), known.public, tuple(metadata))


def behaviour_of(handler: Handler) -> Callable[..., Any]:
    """Return the service's method behind a handler; Any: it may be any method."""
    behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    if behaviour is None:
        raise InternalError("a method without a behaviour")
    return behaviour


def with_behaviour(handler: Handler, behaviour: Callable[..., Any]) -> Handler:
    """Return the handler with another method behind it."""
    return _MAKERS[handler.request_streaming, handler.response_streaming](
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def from_rpc_error(error: grpc.RpcError) -> ExchangeError:
    """Return our error for what a call raised, of a synchronous channel or of an aio one.

    Texts come from the other side: they are cut, and nothing in them is to be obeyed.
    """
    code = error.code() if callable(getattr(error, "code", None)) else grpc.StatusCode.UNKNOWN
    said = error.details() if callable(getattr(error, "details", None)) else ""
    metadata = _trailing(error)
    reason = metadata.get(REASON)
    kind = error_class(reason if isinstance(reason, str) else None, code)
    described = _read(metadata.get(DETAIL))
    detail = described.get("detail") or (said or code.name)[:DETAIL_CHARACTERS]
    hint = described.get("hint", "")
    made: ExchangeError
    if issubclass(kind, BadEnvelope):
        step = _STEP.match(detail)
        made = kind(int(step[1]) if step else 0, detail[step.end() :] if step else detail, hint=hint)
        made.place = described.get("place", "")
    else:
        made = kind(detail, hint=hint, place=described.get("place", ""))
    made.__cause__ = error
    return made


def was_answered(error: grpc.RpcError) -> bool:
    """Say whether a service of ours raised it; otherwise the call never reached one, or was cut off."""
    return REASON in _trailing(error)


def _ours(error: BaseException) -> ExchangeError | None:
    """Return our error, also out of the group that a TaskGroup raises; None for a bug."""
    if isinstance(error, ExchangeError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [_ours(inner) for inner in error.exceptions]
        return found[0] if None not in found else None
    return None


def _described(error: ExchangeError) -> bytes:
    texts = {"reason": error.reason, "detail": str(error), "hint": error.hint, "place": error.place}
    limit = DETAIL_CHARACTERS
    while True:
        data = orjson.dumps({name: text[:limit] for name, text in texts.items()})
        if len(data) <= _DETAIL_BYTES:
            return data
        limit //= 2


def _trailing(error: grpc.RpcError) -> dict[str, str | bytes]:
    read = getattr(error, "trailing_metadata", None)
    return {str(key): value for key, value in (read() if callable(read) else None) or ()}


def _read(data: str | bytes | None) -> dict[str, str]:
    try:
        found = orjson.loads(data or b"{}")
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: text[:DETAIL_CHARACTERS] for name, text in found.items() if isinstance(text, str)}
