"""Under what a node holds a report of another: the obligations of its own decision, as data, and where they come from.

Kept with the report and destroyed with it. What the node does (destroy, ask, refuse an export) and what it tells people
is derived from this, never from sentences; with the label it is all that the decision took, so that it can be computed
again. Pure. Specification: docs/spec/policy.md.
"""

from dataclasses import dataclass, fields

from exchange.limits import MIB
from exchange.names import PartyId, party_id
from exchange.policy.decision import Item, Obligations
from exchange.policy.obligations_record import plain_obligations, plain_ref, read_obligations, read_ref
from exchange.policy.record import plain_item, read_item
from exchange.policy.strict_json import read_json, write_json
from exchange.policy.terms import AgreementRef

HOLDING_BYTES = MIB
"""A label's further instructions are in it, and the consents that it rests on."""


@dataclass(frozen=True, slots=True)
class Holding:
    """How a report came, and what holds for it here."""

    sender: PartyId
    basis: AgreementRef
    clause: str
    item: Item
    """What was decided on, without the label, which stands in the report: slot, approvals, consents."""
    directory_size: int
    """As of which it was decided."""
    received_ms: int
    """When the relay received it."""
    decided_ms: int
    obligations: Obligations


def encode_holding(holding: Holding) -> bytes:
    """Return the one encoding of `holding`, JSON."""
    return write_json(
        {
            "sender": holding.sender,
            "basis": plain_ref(holding.basis),
            "clause": holding.clause,
            "item": plain_item(holding.item),
            "directory_size": holding.directory_size,
            "received_ms": holding.received_ms,
            "decided_ms": holding.decided_ms,
            "obligations": plain_obligations(holding.obligations),
        }
    )


def decode_holding(data: bytes) -> Holding:
    """Return what encode_holding wrote.

    Raises:
        BadInput: it is not that.
    """
    names = (field.name for field in fields(Holding))
    found = read_json(data, limit=HOLDING_BYTES, what="a report's obligations").fields(*names)
    return Holding(
        sender=party_id(found["sender"].text()),
        basis=read_ref(found["basis"]),
        clause=found["clause"].text(),
        item=read_item(found["item"]),
        directory_size=found["directory_size"].number(),
        received_ms=found["received_ms"].number(),
        decided_ms=found["decided_ms"].number(),
        obligations=read_obligations(found["obligations"]),
    )
