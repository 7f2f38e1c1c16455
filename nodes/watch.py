"""The parts of a node that hold the relay's logs against what others see of them."""

from dataclasses import dataclass

from nodes.core import Core
from nodes.covered import Covered
from nodes.forks import Forks
from nodes.freshness import Freshness
from nodes.heads import Heads
from nodes.proving import Proving
from nodes.relay_port import Relay
from nodes.witness import Witness


@dataclass(frozen=True, slots=True)
class Watch:
    """What watches the logs in one node."""

    forks: Forks
    """Keeps what contradicts itself."""
    freshness: Freshness
    """How old what a quorum vouches for is."""
    covered: Covered
    """Whether a quorum vouches for the traffic log."""
    heads: Heads
    """Compares with partners."""
    witness: Witness
    """Cosigns, if the council has named this node."""
    proving: Proving
    """Proves to others what was logged."""


def watch_logs(core: Core, relay: Relay) -> Watch:
    """Return the parts, built on each other."""
    forks = Forks(core, relay)
    return Watch(
        forks=forks,
        freshness=Freshness(core, forks),
        covered=Covered(core, relay, forks),
        heads=Heads(core, relay, forks),
        witness=Witness(core, relay, forks),
        proving=Proving(core, relay),
    )
