"""What every part of a running node shares; app.py builds it once."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from exchange.crypto.signed import VerifiedRoots
from exchange.names import ExchangeName, PartyId
from exchange.runtime.database import Database
from exchange.runtime.retry import Backoff
from exchange.runtime.tracing import Tracing
from nodes.alarms import Alarms
from nodes.compared import Comparisons
from nodes.config import Timing
from nodes.keybox import Keybox
from nodes.keyring import Keyring, KeysInUse
from nodes.keystore import NodeKeys
from nodes.link import Link
from nodes.signer import Signer
from nodes.trust import Trust


@dataclass(frozen=True, slots=True)
class Core:
    """Stores, keys and beliefs of one node."""

    me: PartyId
    exchange: ExchangeName
    keyring: Keyring = field(repr=False)
    in_use: KeysInUse = field(repr=False)
    database: Database
    keybox: Keybox
    trust: Trust
    comparisons: Comparisons
    signer: Signer
    alarms: Alarms
    link: Link
    executor: Executor
    """For cryptography, so that the event loop stays responsive."""
    seen: VerifiedRoots
    """Batch signatures that held."""
    clock: Callable[[], int]
    timing: Timing
    tracing: Tracing = field(default_factory=Tracing)

    @property
    def keys(self) -> NodeKeys:
        """The keys in use now: they change with the directory, so take them once for what belongs together."""
        return self.in_use()

    def backoff(self) -> Backoff:
        """Return waits between attempts to reach the relay."""
        return Backoff(first_s=self.timing.retry_first_s, cap_s=self.timing.retry_most_s)
