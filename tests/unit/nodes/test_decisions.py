"""Decisions at rest: short, sealed under their item's key, and read back as they were."""

from dataclasses import replace

import pytest

from exchange.errors import VerificationFailed
from exchange.policy.decide import who_gets
from exchange.policy.decision import Item, Reason, Role, Slot
from exchange.policy.model import OnExpiry
from exchange.policy.question import Question
from nodes.decisions import (
    Decided,
    Stage,
    by_recipient,
    by_sender,
    in_short,
    obligations_digest,
    open_decisions,
    seal_decisions,
)
from tests.support.policy_builders import NOW, XA, XB, XC, XD, a_label, a_release, an_agreement, rules

KEY, ITEM = bytes(range(32)), bytes([7]) * 32
ASKED = Question(Role.SENDER, XA, XA, NOW, Item.to_send(a_label(), a_release()), rules())


def test_a_senders_decisions_are_read_back_without_the_label_which_the_report_holds() -> None:
    decisions = who_gets(ASKED.item, sender=XA, rules=ASKED.rules, now_ms=NOW)
    row = seal_decisions(KEY, ITEM, by_sender(Stage.PUSHED, ASKED, 9, decisions))
    assert (row.item, row.stage, row.at_ms, row.directory_size) == (ITEM, "pushed", NOW, 9)
    kept = open_decisions(KEY, row)
    assert kept.item == replace(ASKED.item, label=None)
    assert kept.answers == {party: in_short(decision) for party, decision in decisions}
    assert kept.answers[XB].permit and kept.answers[XC].reasons == (Reason.NOT_IN_AUDIENCE,)
    assert Reason.NO_AGREEMENT in kept.answers[XD].reasons
    assert kept.answers[XB].obligations_sha256 == obligations_digest(dict(decisions)[XB].obligations)


def test_a_denied_delivery_keeps_its_label_for_the_report_is_not_stored() -> None:
    agreement = an_agreement()
    slot = Slot(agreement.ref)
    label = a_label(expires_ms=NOW, on_expiry=OnExpiry.PURGE)
    item = Item.received(label, slot, intact=True, item_hash=ITEM)
    question = Question(Role.RECIPIENT, XA, XB, NOW, item, replace(rules(agreement), as_of_ms=NOW - 1))
    decided = Decided(question, question.answer(), 9)
    kept = open_decisions(KEY, seal_decisions(KEY, ITEM, by_recipient(decided)))
    assert kept.item == item and kept.as_of_ms == NOW - 1
    assert kept.answers == {XB: in_short(decided.decision)} and kept.answers[XB].reasons == (Reason.EXPIRED,)


def test_decisions_open_only_under_their_key_and_for_their_item() -> None:
    row = seal_decisions(KEY, ITEM, by_sender(Stage.PUSHED, ASKED, 9, []))
    with pytest.raises(VerificationFailed):
        open_decisions(bytes(32), row)
    with pytest.raises(VerificationFailed):
        open_decisions(KEY, replace(row, item=bytes(32)))
