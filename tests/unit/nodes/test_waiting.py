"""What waits and until when; what a suspended party may still send and get."""

from dataclasses import replace

import pytest

from exchange.crypto.signed import payload_type
from exchange.directory.state import Status
from exchange.envelope.model import CONTROL_TYPES
from exchange.policy.decide import Item, Membership, Rules, decide
from exchange.policy.decision import Role
from exchange.policy.model import Label, Target
from nodes.standing import against_control
from nodes.store.rows import Addressee, Reach
from nodes.waiting import NEVER_MS, after_denial
from tests.support.policy_builders import (
    HOUR,
    NOW,
    XA,
    XB,
    a_label,
    a_release,
    a_term,
    an_agreement,
    rules,
    standing,
)

SUSPENDED = rules(XB=standing(Membership.SUSPENDED))
ROW = Addressee(bytes(32), XB, 1, 3, Reach.WAITING, tries=3)


def after(label: Label, given: Rules, *, everyone: bool = False) -> Addressee:
    release = a_release(to=(Target(everyone=True),)) if everyone else a_release()
    item = Item.to_send(label, release)
    decision = decide(item, sender=XA, recipient=XB, rules=given, now_ms=NOW, role=Role.SENDER)
    assert not decision.permit
    return after_denial(ROW, decision, label)


def test_what_waits_for_its_time_is_due_then() -> None:
    early = a_label(not_before_ms=NOW + HOUR, embargo_until_ms=NOW + 3 * HOUR)
    for everyone, due_ms in ((False, NOW + HOUR), (True, NOW + 3 * HOUR)):
        row = after(early, rules(), everyone=everyone)
        assert (row.state, row.due_ms, row.on_change) == (Reach.WAITING, due_ms, False)


def test_what_waits_for_the_directory_or_for_approvals_is_due_on_a_change_and_when_it_expires() -> None:
    two = rules(an_agreement(a_term(approvals=1)))
    for label in (a_label(), a_label(not_before_ms=NOW + HOUR)):
        for given in (SUSPENDED, two):
            row = after(label, given)
            assert (row.state, row.due_ms, row.on_change) == (Reach.WAITING, NEVER_MS, True)
            assert row.why.startswith("waiting: ")
    assert after(a_label(expires_ms=NOW + HOUR), SUSPENDED).due_ms == NOW + HOUR


def test_what_will_never_change_is_denied() -> None:
    row = after(a_label(), rules(XB=standing(Membership.EXPELLED)))
    assert (row.state, row.why) == (Reach.DENIED, "The recipient was expelled.")
    assert after(a_label(expires_ms=NOW), SUSPENDED).state is Reach.DENIED
    assert replace(row, why="", state=Reach.WAITING) == replace(ROW, basis=row.basis, clause=row.clause)


@pytest.mark.parametrize("name", sorted(CONTROL_TYPES))
def test_a_suspended_party_sends_receipts_and_gets_retractions_and_nothing_else(name: str) -> None:
    def against(sender: Status, recipient: Status) -> str | None:
        return against_control(payload_type(name), sender=sender, recipient=recipient)

    assert against(Status.ADMITTED, Status.ADMITTED) is None
    assert (against(Status.SUSPENDED, Status.ADMITTED) is None) == (name == "receipts")
    assert (against(Status.ADMITTED, Status.SUSPENDED) is None) == (name == "retraction")
    assert against(Status.SUSPENDED, Status.SUSPENDED) is not None
