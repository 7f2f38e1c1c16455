"""An originator's consent as the decision sees it: a grant whose signature held, without its statement."""

from dataclasses import dataclass

from exchange.names import PartyId
from exchange.policy.model import Purpose


@dataclass(frozen=True, slots=True)
class Consent:
    """One originator lets one holder pass one item on to one recipient. Whoever makes one has verified the grant."""

    grant: bytes
    """SHA-256 of the grant's payload: what the header names it by."""
    item: bytes
    originator: PartyId
    holder: PartyId
    recipient: PartyId
    purposes: tuple[Purpose, ...]
    until_ms: int
    hop: int
    """How far from the originator the item then is."""
