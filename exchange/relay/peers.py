"""Who is calling: the partner whose transport CA issued the peer's certificate, by the directory of this moment.

Checked for every call, for every message of a stream once the directory has changed since, and for every open stream as
soon as it changes, whether anything passes on it or not: connections outlive suspensions, expulsions and revocations.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc.aio

from exchange.directory.state import MEMBERS, Status
from exchange.errors import BadInput, ExchangeError, NotAuthenticated, Unavailable
from exchange.names import PartyId
from exchange.relay.directory import LiveDirectory
from exchange.relay.quota import Calls, Rate

Context = grpc.aio.ServicerContext[Any, Any]
"""Any: the message types of the call, which nothing here depends on."""

Identify = Callable[[Context], PartyId]
"""Gives the partner that the channel proves now, or raises NotAuthenticated."""


class Peer:
    """The partner behind one call."""

    def __init__(self, context: Context, identify: Identify, directory: LiveDirectory) -> None:
        """Raises NotAuthenticated when it is none, or no member."""
        self._context = context
        self._identify = identify
        self._directory = directory
        self._checked_at = directory.now.size
        self.party, self.status = self._who()
        self.ended: ExchangeError | None = None
        """Why its call was ended from outside."""

    def check(self) -> None:
        """Return when the partner is still who it was and stands as it did.

        Raises:
            NotAuthenticated: it is not.
            Unavailable: it was suspended, or is no longer: calling again works.
        """
        size = self._directory.now.size
        if size == self._checked_at:
            return
        party, status = self._who()
        if party != self.party:
            raise NotAuthenticated("the connection belongs to another partner now")
        if status is not self.status:
            raise Unavailable("the partner's standing has changed", hint="call again")
        self._checked_at = size

    def _who(self) -> tuple[PartyId, Status]:
        party = self._identify(self._context)
        status = self._directory.now.status(party)
        if status not in MEMBERS:
            raise NotAuthenticated(f"{party} is no member")
        return party, status


class Peers:
    """Lets partners in, within their limits."""

    def __init__(self, identify: Identify, directory: LiveDirectory, calls: Calls, rate: Rate) -> None:
        """`calls` bounds the calls of one partner at once, `rate` how many it begins."""
        self._identify = identify
        self._directory = directory
        self._calls = calls
        self._rate = rate

    @contextmanager
    def stream(self, context: Context) -> Iterator[Peer]:
        """Admit a call that lasts."""
        with self._admitted(context) as peer, self._watched(peer):
            yield peer

    @contextmanager
    def call(self, context: Context) -> Iterator[PartyId]:
        """Admit a call that is answered once; it must have a deadline."""
        if context.time_remaining() is None:
            raise BadInput("the call has no deadline")
        with self._admitted(context) as peer:
            yield peer.party

    @contextmanager
    def _admitted(self, context: Context) -> Iterator[Peer]:
        peer = Peer(context, self._identify, self._directory)
        self._rate.demand(peer.party)
        with self._calls.one(peer.party):
            yield peer

    @contextmanager
    def _watched(self, peer: Peer) -> Iterator[None]:
        """End the call as soon as the directory says that its partner is not who it was, also while nothing passes."""
        call = asyncio.current_task()
        watch = asyncio.create_task(self._watch(peer, call)) if call is not None else None
        try:
            yield
        except asyncio.CancelledError:
            if peer.ended is None or call is None:
                raise
            call.uncancel()
            raise peer.ended from None
        finally:
            if watch is not None:
                watch.cancel()

    async def _watch(self, peer: Peer, call: "asyncio.Task[Any]") -> None:
        while True:
            await self._directory.changed()
            try:
                peer.check()
            except ExchangeError as error:
                peer.ended = error
                call.cancel()
                return
