"""One case of a decision: an input and the reasons that it must give. policy_cases.py holds them all."""

from dataclasses import dataclass, replace
from typing import Any

from exchange.names import PartyId
from exchange.policy.decide import Item, Reason, Role, Rules, Slot
from exchange.policy.model import Label, Release
from tests.support.policy_builders import NOW, XA, XB, a_label, a_release, at_relay, rules, the_slot


@dataclass(frozen=True, slots=True)
class Case:
    """One call of decide() and the reasons that it must give, in order; none means that it permits."""

    name: str
    role: Role
    item: Item
    rules: Rules
    reasons: tuple[Reason, ...]
    sender: PartyId = XA
    recipient: PartyId = XB
    now_ms: int = NOW


def case(
    name: str,
    role: Role,
    *reasons: Reason,
    label: Label | None = None,
    release: Release | None = None,
    given: Rules | None = None,
    slot: Slot | None = None,
    sender: PartyId = XA,
    recipient: PartyId = XB,
    without_label: bool = False,
    without_release: bool = False,
    **facts: Any,
) -> Case:
    """One case in which everything permits but what is named; `facts` replace fields of the Item."""
    label, given = label or a_label(), given or rules()
    cited = slot or (the_slot(given) if given.agreements else None)
    if role is Role.SENDER:
        item = Item.to_send(label, release or a_release())
    elif role is Role.RELAY:
        item = at_relay(label, cited, sender=sender)
    else:
        item = Item.received(label, cited or Slot(None), intact=True)
    if without_label:
        item = replace(item, label=None, relay_label=None)
    if without_release:
        item = replace(item, release=None)
    return Case(f"{role.value}: {name}", role, replace(item, **facts), given, reasons, sender, recipient)
