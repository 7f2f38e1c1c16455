"""The gate of the operators' socket: every call is looked up in the table of roles before its method is reached.

1. a method that the table does not know is refused, whoever calls
2. what anybody may call needs no session: without one its caller is nobody
3. the caller is found by the call's token; while the node has no operators it is the socket's owner
4. one of the caller's roles must be in the method's row
5. a call that is refused, here or by its use case, is written down: alike whether what was asked for is here or not
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from exchange.errors import ExchangeError, NotAllowed, NotAuthenticated, NotFound, PolicyDenied
from exchange.runtime.health import SERVICE
from exchange.runtime.interceptors import Context, Handler, behaviour_of, with_behaviour
from nodes.bearer import bearer_token
from nodes.caller import Admitted, Caller, nobody
from nodes.operators import Operators
from nodes.roles import ANYBODY, MAY, may_call

REFUSALS = (NotAuthenticated, NotAllowed, PolicyDenied, NotFound)
"""Errors that the audit keeps: somebody asked for what is not for them, or not here."""

SUBJECTS = ("id", "name", "supersedes", "before")
"""Fields of requests that say what a call is about."""


class Gate(grpc.aio.ServerInterceptor):
    """Admits callers; put it behind the ErrorInterceptor, which turns its refusals into answers."""

    def __init__(self, operators: Operators) -> None:
        """Admit these operators."""
        self._operators = operators

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Wrap the method; None, a method that is not there, stays, and so does what says whether the node serves."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(SERVICE):
            return handler
        behaviour, method = behaviour_of(handler), handler_call_details.method.rpartition("/")[2]
        wrap = self._generator if inspect.isasyncgenfunction(behaviour) else self._coroutine
        return with_behaviour(handler, wrap(behaviour, method))

    async def caller(self, method: str, context: Context) -> Caller:
        """Return who calls.

        Raises:
            NotAllowed: nobody may call this method.
            NotAuthenticated: no session, or not any more.
        """
        # 1
        if method not in MAY and method not in ANYBODY:
            raise NotAllowed(f"{method} has no row in the table of roles")
        try:
            # 3
            token = "" if self._operators.is_open else bearer_token(context, hint="concord operator login")
            return await self._operators.caller(token)
        except NotAuthenticated:
            # 2
            if method in ANYBODY:
                return nobody()
            raise

    @asynccontextmanager
    async def _admitted(self, method: str, request: Any, context: Context) -> AsyncIterator[Admitted]:
        caller = nobody()
        try:
            caller = await self.caller(method, context)
            # 4
            if method not in ANYBODY and not may_call(method, caller.roles):
                needed = " or ".join(sorted(MAY[method]))
                raise NotAllowed(f"{caller.name} may not call {method}", hint=f"it takes a role: {needed}")
            yield Admitted(caller, context)
        except ExchangeError as error:
            # 5
            if isinstance(error, REFUSALS):
                await self._operators.note_refusal(caller.name, method, _subject(request), error)
            raise

    def _coroutine(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        async def call(request: Any, context: Context) -> Any:
            async with self._admitted(method, request, context) as admitted:
                return await behaviour(request, admitted)

        return call

    def _generator(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            async with (
                self._admitted(method, request, context) as admitted,
                aclosing(behaviour(request, admitted)) as responses,
            ):
                async for response in responses:
                    yield response

        return call


def _subject(request: Any) -> str:
    """Return what a call is about, as far as its request says; Any: the request of any method."""
    return next((str(value) for name in SUBJECTS if (value := getattr(request, name, ""))), "")
