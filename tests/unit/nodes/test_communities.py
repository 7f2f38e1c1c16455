"""What a node makes of its communities: how labels may name them, and who is addressed when somebody joins."""

from typing import Any

from exchange.names import PartyId
from exchange.policy.communities.model import History
from exchange.policy.model import CommunityTarget
from exchange.policy.terms import AgreementStatus
from nodes.communities import epochs_addressed, newest_of, targets
from nodes.history import newcomers
from nodes.store.rows import NamingItem
from tests.support.communities import an_epoch
from tests.support.policy_builders import NOW, XA, XB, XC, rules

ROAD, BRIDGE, OTHER = (bytes([number]) * 16 for number in (1, 2, 3))


def test_a_label_may_name_a_community_by_id_and_by_a_name_that_only_one_has() -> None:
    known = rules(
        communities={
            ROAD: [an_epoch(epoch=2, name="Road")],
            BRIDGE: [an_epoch(name="Bridge")],
            OTHER: [an_epoch(name="Bridge")],
        }
    )
    found = targets(known, XA, NOW)
    assert found["Road"] == found[ROAD.hex()] == CommunityTarget(ROAD, 2)
    assert "Bridge" not in found
    assert {BRIDGE.hex(), OTHER.hex()} <= found.keys()
    assert targets(known, XB, NOW) == {}


def test_a_report_is_addressed_for_the_epochs_in_force_of_what_it_names() -> None:
    ended = an_epoch(status=AgreementStatus.TERMINATED)
    known = rules(communities={ROAD: [an_epoch(status=AgreementStatus.TERMINATED), an_epoch(epoch=2)], BRIDGE: [ended]})
    named = [CommunityTarget(ROAD, 1), CommunityTarget(BRIDGE, 1), CommunityTarget(OTHER, 1)]
    assert epochs_addressed(known, XA, NOW, named) == {ROAD: 2}


def test_only_who_came_since_is_addressed_and_only_what_the_rule_lets_it_have() -> None:
    since = {XA: 1, XB: 1, XC: 3}

    def names(item_epoch: int, authored_ms: int = NOW, **terms: Any) -> list[PartyId]:
        held = an_epoch(since, epoch=3, **terms).held
        assert held is not None
        item = NamingItem(bytes(32), item_epoch, 1, authored_ms)
        return [PartyId(row.recipient) for row in newcomers(item, held, XA)]

    assert names(2, history=History.FROM_START) == [XC]
    assert names(3, history=History.FROM_START) == []
    assert names(0, history=History.FROM_START) == [XB, XC]
    assert names(2, history=History.FROM_DATE, history_from_ms=NOW) == [XC]
    assert names(2, NOW - 1, history=History.FROM_DATE, history_from_ms=NOW) == []


def test_the_newest_epoch_is_the_highest_shown_or_not() -> None:
    held = [each.held for each in (an_epoch(epoch=2, status=None), an_epoch()) if each.held is not None]
    assert newest_of(held).head.epoch == 2
