"""The gate of the operators' socket: every call is looked up in the table of roles before its method is reached.

1. a method that the table does not know is refused, whoever calls
2. what anybody may call needs no session
3. the caller is found: the socket's owner while the node has no operators
4. one of the caller's roles must be in the method's row
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
import grpc.aio

from exchange.errors import NotAllowed
from exchange.runtime.interceptors import Context, Handler, behaviour_of, with_behaviour
from nodes.caller import Admitted, Caller, the_owner
from nodes.roles import ANYBODY, MAY, may_call


class Gate(grpc.aio.ServerInterceptor):
    """Admits callers; put it behind the ErrorInterceptor, which turns its refusals into answers."""

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Wrap the method; None, a method that is not there, stays."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        behaviour, method = behaviour_of(handler), handler_call_details.method.rpartition("/")[2]
        wrap = self._generator if inspect.isasyncgenfunction(behaviour) else self._coroutine
        return with_behaviour(handler, wrap(behaviour, method))

    async def admit(self, method: str) -> Caller:
        """Return who calls, or raise NotAllowed."""
        # 1
        if method not in MAY and method not in ANYBODY:
            raise NotAllowed(f"{method} has no row in the table of roles")
        # 2 and 3
        caller = the_owner()
        # 4
        if method not in ANYBODY and not may_call(method, caller.roles):
            raise NotAllowed(f"{caller.name} may not call {method}")
        return caller

    def _coroutine(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        async def call(request: Any, context: Context) -> Any:
            return await behaviour(request, Admitted(await self.admit(method), context))

        return call

    def _generator(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            admitted = Admitted(await self.admit(method), context)
            async with aclosing(behaviour(request, admitted)) as responses:
                async for response in responses:
                    yield response

        return call
