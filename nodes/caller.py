"""Who calls: what every use case is told of the person at the other end of the operators' socket.

The gate (nodes/gate.py) admits a caller once and hands it on with the call; a servicer's method takes it out with
`caller_of` and gives it to its use case as an argument. What is recorded of a deed is `Caller.name`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc.aio

from exchange.errors import InternalError, PolicyDenied
from exchange.policy.model import Tlp
from nodes.roles import Role

OWNER = "owner"
"""Whoever reaches the socket while the node has no operators. No operator can have this name."""

# Any: a context has the types of its method's messages, and no method here uses them.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class Caller:
    """An operator, or the socket's owner while there are none."""

    name: str
    roles: frozenset[Role]
    ceiling: Tlp
    """Strictest label that this caller may push or release."""
    clearances: Mapping[str, str] = field(default_factory=dict)
    """Level by scale."""
    attributes: frozenset[str] = frozenset()
    is_owner: bool = False
    """Nobody in particular: the node has no operators, so nothing is known of this person."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call's context with its caller; everything else of the call is in `context`."""

    caller: Caller
    context: Context


def the_owner() -> Caller:
    """Return the caller of a node without operators: it may do everything, and is cleared for nothing."""
    return Caller(OWNER, frozenset(Role), Tlp.RED, is_owner=True)


def nobody() -> Caller:
    """Return the caller of what needs no session."""
    return Caller("", frozenset(), Tlp.CLEAR)


def admitted_of(context: object) -> Admitted:
    """Return a call with its caller; InternalError when it did not come through the gate."""
    if not isinstance(context, Admitted):
        raise InternalError("a call that did not pass the gate")
    return context


def caller_of(context: object) -> Caller:
    """Return who makes this call; InternalError when it did not come through the gate."""
    return admitted_of(context).caller


def check_ceiling(caller: Caller, tlp: Tlp) -> None:
    """Return when a label lies within what this caller may push or release; PolicyDenied otherwise."""
    if tlp > caller.ceiling:
        raise PolicyDenied(
            f"{caller.name} may push and release up to TLP:{caller.ceiling.word.upper()}, not TLP:{tlp.word.upper()}",
            hint="let an operator with a higher ceiling do it",
        )
