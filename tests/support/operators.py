"""Operators of a node in tests: admitted through the socket, logged in with keys that are made once."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from exchange.crypto.signing import CompositeKey
from exchange.runtime.clock import now_ms
from nodes import session
from nodes.login_client import log_in
from nodes.node_client import connect
from nodes.permits import Act, Permit, read_permit, write_permit
from nodes.roles import Role
from nodes.v1 import operator_pb2 as pb

DAY_MS = 86_400_000


@cache
def key_of(name: str) -> CompositeKey:
    """Return the key of the operator of this name."""
    return CompositeKey.from_seed(sha256(name.encode()).digest() * 2)


def a_profile(name: str, *roles: Role, **more: Any) -> pb.OperatorProfile:
    """Return a profile; Any: further fields of the message."""
    fields = {"ceiling": "red", "until_ms": now_ms() + DAY_MS, **more}
    return pb.OperatorProfile(name=name, key=key_of(name).public.raw, roles=roles, **fields)


def permits(act: Act, subject: str, *names: str) -> list[Permit]:
    """Return what these operators have signed for a backup or a restore."""
    return [read_permit(write_permit(act, subject, key_of(name), now_ms=now_ms(), days=1)) for name in names]


@dataclass(frozen=True, slots=True)
class Desk:
    """Operators of the node in `home`, each with a home of their own under `own`."""

    home: Path
    own: Path
    names: list[str] = field(default_factory=list)

    async def ask(self, name: str, method: str, request: Any) -> Any:
        """Call a method of NodeService as this operator; nobody when the name is empty. Any: any method."""
        call: Callable[[], Any] = partial(self._ask, name, method, request)
        return await asyncio.to_thread(call)

    def _ask(self, name: str, method: str, request: Any) -> Any:
        with connect(self.home, operator_home=self.own / (name or "nobody")) as node:
            answer = getattr(node, method)(request)
            return list(answer) if isinstance(answer, Iterator) else answer

    async def admit(self, by: str, name: str, *roles: Role, **more: Any) -> None:
        """Let `by` admit an operator, who logs in."""
        await self.ask(by, "AddOperator", pb.AddOperatorRequest(profile=a_profile(name, *roles, **more)))
        self.names.append(name)
        await self.login(name)

    async def login(self, name: str) -> None:
        """Begin a session."""
        begun, _ = await asyncio.to_thread(log_in, self.home, key_of(name))
        session.keep_session(self.own / name, self.home, begun)

    async def audit(self, by: str) -> Sequence[tuple[str, str, str]]:
        """Return who did what to what, oldest first."""
        entries = (await self.ask(by, "ListAudit", pb.ListAuditRequest())).entries
        return [(each.operator, each.action, each.subject) for each in reversed(entries)]
