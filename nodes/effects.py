"""What a stored frame means beyond the store: who is told, what is done next."""

from dataclasses import dataclass, field

from nodes.contradiction import Twice
from nodes.store.rows import Event, QueuedReceipt
from nodes.store.shown import KeptShown


@dataclass(frozen=True, slots=True)
class UsedTwice:
    """A sender has used an id or a number twice; `first` and `second` show both envelopes while both are kept."""

    sender: str
    twice: Twice
    text: str
    first: KeptShown | None
    second: KeptShown | None


@dataclass(slots=True)
class Effects:
    """What a stored frame means beyond the store."""

    alarms: list[tuple[str, str, str]] = field(default_factory=list)
    """Kind, subject, text."""
    purge: bool = False
    """A retraction asked for destruction."""
    urgent: bool = False
    """A receipt waits that is given at once."""
    consent: bool = False
    """A partner asks for consent, or what partners asked about is retracted or replaced."""
    waiting: bool = False
    """Something waits to be sealed: an own report once more, or what is to be passed on."""
    receipts: list[QueuedReceipt] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    twice: list[UsedTwice] = field(default_factory=list)
    """Senders that contradict themselves."""
    files: bool = False
    """An attachment is to be fetched, or is not wanted any more."""
    destroyed: set[bytes] = field(default_factory=set)
    """Items that came and are destroyed here: they have no key."""
    versions: set[tuple[bytes, str]] = field(default_factory=set)
    """Thread and originator of reports of which there are several versions now."""
