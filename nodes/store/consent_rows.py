"""What the store's functions on consent take and return: values only, times in milliseconds since 1970."""

from dataclasses import dataclass
from enum import StrEnum


class RequestState(StrEnum):
    """Where a request for consent stands."""

    NEW = "new"
    """Of another partner's: the node has not looked at it."""
    OPEN = "open"
    """Somebody has not answered: an operator here, or an originator elsewhere."""
    CLOSED = "closed"
    """Everybody has answered."""
    WITHDRAWN = "withdrawn"
    """The item was retracted, so nobody will be let have it."""


class AnswerState(StrEnum):
    """What one originator has said of one partner."""

    WAITING = "waiting"
    GRANTED = "granted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """A signed request; `hash` is that of its payload, `statement` are its Signed bytes."""

    hash: bytes
    ours: bool
    """Whether this node asks; else it is asked."""
    item: bytes
    asker: str
    at_ms: int
    until_ms: int
    stored_ms: int
    state: RequestState
    pass_on: bool
    """Pass the item on as soon as every originator has granted; only of ours."""
    statement: bytes


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """Where a request stands for one originator and one partner; `grant` names the signed answer."""

    request: bytes
    originator: str
    recipient: str
    state: AnswerState = AnswerState.WAITING
    grant: bytes = b""
    answered_ms: int = 0


@dataclass(frozen=True, slots=True)
class KeptGrant:
    """A signed answer, a grant or a refusal, given or received."""

    hash: bytes
    request: bytes
    item: bytes
    originator: str
    holder: str
    until_ms: int
    granted: bool
    stored_ms: int
    statement: bytes


@dataclass(frozen=True, slots=True)
class Onward:
    """At the originator: one partner that one of its grants lets have an item."""

    item: bytes
    recipient: str
    holder: str
    hop: int
    grant: bytes
    until_ms: int
    at_ms: int
