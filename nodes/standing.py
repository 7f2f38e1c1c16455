"""What a suspended party may still do (PROTOCOL 3): connect, receive retractions, send receipts.

The relay lets control traffic between members pass and cannot see what it says. So both ends look: the sender keeps
everything else until the suspension is lifted, and a recipient takes nothing but receipts from a suspended sender.
"""

from exchange.crypto.signed import payload_type
from exchange.directory.state import Status
from exchange.policy.decision import Reason
from exchange.receipts.verify import RECEIPTS, RETRACTION

FROM_SUSPENDED = frozenset({payload_type(RECEIPTS)})
"""Control statements that a suspended party may send."""

TO_SUSPENDED = frozenset({payload_type(RETRACTION)})
"""Control statements that go to a suspended party."""


def against_control(type_: str, *, sender: Status | None, recipient: Status | None) -> Reason | None:
    """Return why a control statement may not go between two members now; None when it may."""
    if sender is Status.SUSPENDED and type_ not in FROM_SUSPENDED:
        return Reason.SENDER_SUSPENDED
    if recipient is Status.SUSPENDED and type_ not in TO_SUSPENDED:
        return Reason.RECIPIENT_SUSPENDED
    return None
