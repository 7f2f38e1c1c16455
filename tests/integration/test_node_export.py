"""What a node hands out of what it holds: only within the obligations, and written down before a byte leaves."""

from dataclasses import replace
from functools import partial
from hashlib import sha256

import pytest
import yaml

from exchange.errors import BadInput, NotFound, PolicyDenied
from exchange.policy.model import Actions, Purpose
from exchange.policy.use import Obstacle, Use
from nodes.attachment_service import AttachmentMethods
from nodes.caller import the_owner
from nodes.exporting import export
from nodes.handling_file import Handed, handling_file
from nodes.holding_service import HoldingMethods
from nodes.parts import Node
from nodes.report_service import ReportMethods
from nodes.store import holding as store
from nodes.store.rows import Export, Reach
from nodes.v1 import attachment_pb2, holding_pb2, node_service_pb2
from nodes.v1.revision_pb2 import Revision
from nodes.withdrawing import withdraw
from tests.support.node_world import a_label, authored, here, nodes, push, reached, receipted, until

USE = Use(Actions.INTERNAL_ONLY, Purpose.PROTECT_LIFE)


async def exported(node: Node, item: bytes, use: Use = USE) -> Handed:
    return await export(node.core, node.shelf, item, use, who="desk")


async def written_down(node: Node, item: bytes) -> list[Export]:
    return await node.core.database.read(partial(store.exports_of, items=[item]))


async def events(node: Node, item: bytes) -> list[str]:
    return [event.event for event in (await node.shelf.story(the_owner(), item)).events]


def _methods(node: Node) -> ReportMethods:
    return ReportMethods(
        node.core, node.authoring, node.outbox, node.shelf, node.reader_policies, files=node.files, titles=node.titles
    )


async def test_an_export_within_the_obligations_is_written_down_with_who_and_for_what() -> None:
    async with nodes("XA", "XV") as (_, running):
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        node = running["XV"]
        handed = await exported(node, sent.item)
        assert handed.opened.statement.content == authored(running["XA"], a_label("XV")).content
        (row,) = await written_down(node, sent.item)
        assert (row.who, row.action, row.purpose) == ("desk", Actions.INTERNAL_ONLY, Purpose.PROTECT_LIFE)
        story = await node.shelf.story(the_owner(), sent.item)
        assert "by desk: internal_only, protect_life" in [e.detail for e in story.events if e.event == "exported"]
        beside = yaml.safe_load(handling_file(handed))
        assert beside["marking"] == "TLP:AMBER"
        assert beside["report"]["content_sha256"] == sha256(handed.opened.statement.content).hexdigest()
        assert any("protect_life" in duty for duty in beside["obligations"])
        assert beside["label"]["tlp"] == "amber"


async def test_an_export_beyond_the_obligations_names_every_obstacle_and_is_no_export() -> None:
    async with nodes("XA", "XV") as (_, running):
        sent = await push(running["XA"], "XV", more="use_in: [PK]")
        await receipted(running["XA"], sent.item, "XV")
        wide = Use(Actions.EXTERNAL_ACTIVE, Purpose.STATISTICS, as_evidence=True)
        with pytest.raises(PolicyDenied) as caught:
            await exported(running["XV"], sent.item, wide)
        for code in (
            Obstacle.USE_PURPOSE_NOT_PERMITTED,
            Obstacle.USE_ACTION_NOT_PERMITTED,
            Obstacle.USE_PLACE_NOT_SAID,
            Obstacle.USE_EVIDENCE_NOT_PERMITTED,
        ):
            assert code in str(caught.value)
        with pytest.raises(BadInput):
            await exported(running["XV"], sent.item, Use(Actions.NONE, Purpose.PROTECT_LIFE, "pakistan"))
        assert await written_down(running["XV"], sent.item) == []
        assert "exported" not in await events(running["XV"], sent.item)
        await exported(running["XV"], sent.item, Use(Actions.NONE, Purpose.PROTECT_LIFE, "PK"))


async def test_what_may_only_be_shown_is_shown_and_never_handed_out() -> None:
    async with nodes("XA", "XV") as (_, running):
        label = a_label("XV").replace(b"{to: [XV]}", b"{to: [XV], display_only: [XV]}")
        sent = await running["XA"].outbox.accept(authored(running["XA"], label), bytes(32))
        await receipted(running["XA"], sent.item, "XV")
        node = running["XV"]
        with pytest.raises(PolicyDenied, match=Obstacle.USE_DISPLAY_ONLY):
            await exported(node, sent.item)
        methods = _methods(node)
        shown = await methods.show(node_service_pb2.ShowReportRequest(id=sent.item.hex()), caller=the_owner())
        assert shown.content and not shown.withheld
        data = await methods.show(
            node_service_pb2.ShowReportRequest(id=sent.item.hex(), as_data=True), caller=the_owner()
        )
        assert data.withheld and not data.content
        own = _methods(running["XA"])
        assert (
            await own.show(node_service_pb2.ShowReportRequest(id=sent.item.hex(), as_data=True), caller=the_owner())
        ).content


async def test_what_a_correction_changed_is_shown_like_the_versions_themselves() -> None:
    async with nodes("XA", "XV") as (_, running):
        node, label = running["XA"], a_label("XV").replace(b"{to: [XV]}", b"{to: [XV], display_only: [XV]}")
        first = await node.outbox.accept(authored(node, label), bytes(32))
        previous = await node.shelf.opened(first.item)
        assert previous is not None
        later = replace(
            authored(node, a_label("XV"), name="The road is open", modified="2021-07-15T00:00:00.000Z"),
            thread_id=previous.statement.thread_id,
            supersedes=first.item,
        )
        second = await node.outbox.accept(later, bytes([1]) * 32)
        await receipted(node, second.item, "XV")
        methods = _methods(running["XV"])

        async def told(item: bytes, *, as_data: bool = False) -> Revision | None:
            asked = node_service_pb2.ShowReportRequest(id=item.hex(), changes=True, as_data=as_data)
            reply = await methods.show(asked, caller=the_owner())
            return reply.revision if reply.HasField("revision") else None

        assert await told(first.item) is None
        made = await told(second.item)
        assert made is not None and made.before == first.item.hex() and not made.untold
        assert ("name", "The road is open") in {(each.field, each.after) for each in made.changes}
        data = await told(second.item, as_data=True)
        assert data is not None and "not handed out" in data.untold and not data.changes
        await withdraw(node.core, second.item, reason_code="wrong", text="", purge=False, wake=node.outbox.wake)
        await reached(node, second.item, "XV", Reach.RETRACTED)
        gone = await told(second.item)
        assert gone is not None and "withdrawn" in gone.untold and not gone.changes


async def test_under_embargo_nothing_is_handed_out() -> None:
    async with nodes("XA", "XV") as (_, running):
        sent = await push(running["XA"], "XV", more="time: {embargo_until: +1h}")
        await receipted(running["XA"], sent.item, "XV")
        with pytest.raises(PolicyDenied, match=Obstacle.USE_EMBARGOED):
            await exported(running["XV"], sent.item)


async def test_what_is_withdrawn_is_not_handed_out_and_what_is_destroyed_cannot_be() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        hidden, gone = await push(node, "XV", key="1"), await push(node, "XV", key="2")
        await receipted(node, hidden.item, "XV")
        await receipted(node, gone.item, "XV")
        await withdraw(node.core, hidden.item, reason_code="wrong", text="", purge=False, wake=node.outbox.wake)
        await withdraw(node.core, gone.item, reason_code="legal", text="", purge=True, wake=node.outbox.wake)
        await reached(node, hidden.item, "XV", Reach.RETRACTED)
        await reached(node, gone.item, "XV", Reach.PURGED)
        with pytest.raises(PolicyDenied, match=Obstacle.USE_WITHDRAWN):
            await exported(running["XV"], hidden.item)
        with pytest.raises(NotFound, match="purged"):
            await exported(running["XV"], gone.item)
        with pytest.raises(NotFound):
            await exported(running["XV"], bytes(32))


async def test_what_a_node_signed_itself_is_its_own_and_its_export_is_written_down() -> None:
    async with nodes("XA", "XV") as (_, running):
        sent = await push(running["XA"], "XV")
        methods = HoldingMethods(
            running["XA"].core,
            running["XA"].shelf,
            running["XA"].suspects,
            titles=running["XA"].titles,
            hurry=running["XA"].obligations.hurry,
        )
        asked = holding_pb2.ExportReportRequest(
            id=sent.item.hex(), action="external_active", purpose="statistics", as_evidence=True
        )
        reply = await methods.export(asked, caller=the_owner())
        assert reply.content and reply.marking == "TLP:AMBER"
        assert len(await written_down(running["XA"], sent.item)) == 1
        with pytest.raises(BadInput) as caught:
            await methods.export(holding_pb2.ExportReportRequest(id=sent.item.hex(), action="all"), caller=the_owner())
        assert caught.value.place == "--for" and "internal_only" in caught.value.hint


async def test_a_file_is_handed_out_by_the_rules_of_its_report_and_written_down_without_its_name() -> None:
    async with nodes("XA", "XV") as (_, running):
        data = b"a map of the valley"
        sent = await push(running["XA"], "XV", files={"valley-map.txt": data})
        await receipted(running["XA"], sent.item, "XV")
        node = running["XV"]
        await here(node, sent.item, **{"valley-map": data})
        methods = AttachmentMethods(node.core, node.files, node.shelf)

        async def handed(**differs: str) -> list[attachment_pb2.ExportAttachmentResponse]:
            asked = {"name": "valley-map.txt", "action": "internal_only", "purpose": "protect_life"} | differs
            request = attachment_pb2.ExportAttachmentRequest(id=sent.item.hex(), **asked)  # type: ignore[arg-type]
            return [response async for response in methods.export(request, caller=the_owner())]

        for differs, error in (
            ({"purpose": "statistics"}, PolicyDenied),
            ({"action": "external_active"}, PolicyDenied),
            ({"name": "another.txt"}, NotFound),
        ):
            with pytest.raises(error):
                await handed(**differs)
        assert await written_down(node, sent.item) == []
        first, *rest = await handed()
        assert b"".join(part.data for part in rest) == data
        beside = yaml.safe_load(first.handling_yaml)
        assert beside["attachment"]["sha256"] == sha256(data).hexdigest() == first.attachment.sha256
        assert beside["marking"] == first.marking == "TLP:AMBER"
        story = await node.shelf.story(the_owner(), sent.item)
        details = [event.detail for event in story.events]
        assert "by owner: attachment 1, internal_only, protect_life" in details
        assert not any("valley" in detail for detail in details)
        await withdraw(running["XA"].core, sent.item, reason_code="wrong", text="", purge=False, wake=lambda: None)
        running["XA"].outbox.changed()

        async def refused() -> bool:
            try:
                await handed()
            except PolicyDenied:
                return True
            return False

        await until(refused, "a withdrawn file is handed out")
