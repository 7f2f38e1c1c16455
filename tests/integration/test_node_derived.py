"""Reports made of others, from node to node: what binds a product, and what nothing may be made of."""

import pytest

from exchange.errors import BadLabel, NotFound, PolicyDenied
from exchange.policy.decision import Reason
from exchange.policy.model import OnwardRule
from nodes.caller import the_owner
from nodes.desk import Draft
from nodes.outbox import Accepted
from nodes.parts import Node
from nodes.withdrawing import withdraw
from tests.support.node_world import a_label, nodes, push, receipted, stored, until
from tests.support.reports import a_report

STIX_ID = "report--5a0e8e1a-7f5c-4f6e-9c53-0d3c1c1c9a77"


def a_product(*sources: bytes, to: str = "XO", more: str = "", supersedes: bytes = b"") -> Draft:
    label = f"release: {{to: [{to}]}}\n{more}"
    names = tuple(item.hex() for item in sources)
    return Draft(a_report(id=STIX_ID), label.encode(), supersedes.hex(), names)


async def send(node: Node, draft: Draft) -> Accepted:
    looked = await node.authoring.look(draft, caller=the_owner())
    return await node.authoring.push(draft, caller=the_owner(), confirmed=[hint.accept for hint in looked.hints])


async def received(running: dict[str, Node], *, more: str = "", **root: str) -> bytes:
    """Return a report of XA that XV holds."""
    accepted = await push(running["XA"], "XV", more=more, **root)  # type: ignore[arg-type]  # none is named files
    await receipted(running["XA"], accepted.item, "XV")
    return accepted.item


async def test_a_product_bears_the_label_of_its_sources_and_needs_the_consent_of_their_originators() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        item = await received(running, more="orcon: true\nretention: 9d")
        node = running["XV"]
        accepted = await send(node, a_product(item))
        opened = await node.shelf.opened(accepted.item)
        assert opened is not None
        assert opened.label.originators == ("XA", "XV")
        assert opened.label.derived_from == (item,)
        assert opened.label.orcon
        assert opened.label.onward is OnwardRule.NONE
        assert 0 < opened.label.retention_days <= 9
        assert opened.label.expires_ms, "what XV must destroy goes into nothing that lasts longer"
        reasons = {str(party): decision.reasons for party, decision in accepted.decisions}
        assert not any(decision.permit for _, decision in accepted.decisions)
        assert Reason.ONWARD_FORBIDDEN in reasons["XO"] or Reason.CONSENT_MISSING in reasons["XO"]
        again = await send(node, a_product(item))
        assert (again.item, again.repeated) == (accepted.item, True)


async def test_a_wider_product_is_refused_and_nothing_is_stored() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        item = await received(running)
        node = running["XV"]
        with pytest.raises(BadLabel, match=r"wider than what the report is made of.*tlp: green") as caught:
            await send(node, a_product(item, more="tlp: green\nonward: none"))
        assert "onward" not in str(caught.value)
        plain = Draft(a_report(), a_label("XO", more=f"provenance: {{derived_from: [{item.hex()}]}}"))
        with pytest.raises(BadLabel, match="is no source"):
            await send(node, plain)
        assert len(await node.shelf.list_(the_owner(), direction=None, limit=9, before=None, current_only=False)) == 1


async def test_own_reports_combine_and_their_audiences_meet() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        node = running["XA"]
        one, other = await push(node, "XV", "XO"), await push(node, "XV", key="2")
        draft = Draft(a_report(id=STIX_ID), b"", "", (one.item.hex(), other.item.hex()))
        accepted = await send(node, draft)
        permitted = [party for party, decision in accepted.decisions if decision.permit]
        assert permitted == ["XV"]
        await receipted(node, accepted.item, "XV")


async def test_nothing_is_made_of_what_is_withdrawn_destroyed_or_not_here() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        item = await received(running)
        xa, xv = running["XA"], running["XV"]
        await withdraw(xa.core, item, reason_code="wrong", text="", purge=False, wake=xa.outbox.wake)

        async def hidden() -> bool:
            report = await stored(xv, item)
            return report is not None and report.state == "withdrawn"

        await until(hidden, "XV applies the retraction")
        with pytest.raises(PolicyDenied, match="withdrawn"):
            await send(xv, a_product(item))
        destroyed = await received(running, key="2")
        await xv.core.keybox.destroy([destroyed])
        with pytest.raises(NotFound):
            await send(xv, a_product(destroyed))
        with pytest.raises(NotFound):
            await send(xv, a_product(bytes(32)))


async def test_a_correction_of_a_product_stays_within_it() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        node = running["XA"]
        source = await push(node, "XV", "XO")
        first = await send(node, a_product(source.item, to="XV"))
        later = a_report(id=STIX_ID, modified="2021-07-14T09:30:00.000Z")
        with pytest.raises(BadLabel, match=r"release\.to"):
            await send(node, Draft(later, b"release: {to: [XV, XO]}", first.item.hex()))
        second = await send(node, Draft(later, b"release: {to: [XV]}", first.item.hex()))
        opened = await node.shelf.opened(second.item)
        assert opened is not None
        assert opened.label.derived_from == (source.item,)
        again = await send(node, Draft(later, b"release: {to: [XV]}", first.item.hex()))
        assert (again.item, again.repeated) == (second.item, True)
