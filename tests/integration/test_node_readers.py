"""Readers inside a partner: who is not cleared gets, for every call, the very answer that an absent report gets."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import pytest

from exchange.errors import ExchangeError, NotFound
from exchange.policy.readers import ReaderTerms
from nodes import overdue, shelf
from nodes.config import ReaderSettings
from nodes.node_client import connect
from nodes.operators import Operators
from nodes.parts import Node
from nodes.roles import Role
from nodes.store.rows import ItemState
from nodes.v1 import agreements_pb2, consent_pb2, holding_pb2, operator_pb2
from nodes.v1 import node_service_pb2 as pb
from tests.integration.test_node_simulation import a_draft
from tests.support.consent_world import LABEL, ask, push_labelled
from tests.support.doors import open_socket
from tests.support.node_world import nodes, receipted, until
from tests.support.operators import Desk
from tests.support.report_calls import ASK, a_file

RULE = "readers: {named: [duty-officer]}"
USUAL = ["FIRST_TIME_TO_PARTNER:XV", "FIRST_TIME_TO_PARTNER:XA"]
STIX = "report--22222222-2222-4222-8222-222222222222"
PAIRS = 1_000
TOLERANCE = 0.10


@asynccontextmanager
async def received(more: str = RULE) -> AsyncIterator[tuple[Node, Desk, str]]:
    """Let XV hold a report of XA with this rule; yield XV's node with its socket open, and the item."""
    async with nodes("XA", "XV") as (_, made):
        with tempfile.TemporaryDirectory() as own:
            async with open_socket(made["XA"]) as sender, open_socket(made["XV"]) as holder:
                pushed = await Desk(sender.home, Path(own)).ask(
                    "", "PushReport", pb.PushReportRequest(report=a_file("XV", more=more), confirmed=USUAL)
                )
                await receipted(made["XA"], bytes.fromhex(pushed.item), "XV")
                yield holder, Desk(holder.home, Path(own)), pushed.item


def absent(item: str) -> str:
    """Return an item that is nowhere, as long as `item`."""
    return sha256(item.encode()).hexdigest()


async def answer(desk: Desk, method: str, name: str) -> tuple[object, ...]:
    """Return all that comes back when a report is asked for, with its name taken out."""
    with pytest.raises(ExchangeError) as caught:
        await desk.ask("", method, ASK[method](name))
    rpc: Any = caught.value.__cause__
    trailing = dict(rpc.trailing_metadata() or ())
    described = trailing["concord-error-bin"]
    assert name.encode() in described or name not in rpc.details()
    return (
        type(caught.value),
        rpc.code(),
        rpc.details(),
        trailing["concord-reason"],
        len(described),
        described.replace(name.encode(), b"NAME"),
        caught.value.hint,
    )


@pytest.mark.parametrize("method", sorted(ASK))
async def test_who_is_not_cleared_gets_the_answer_of_an_absent_report(method: str) -> None:
    async with received() as (node, desk, item):
        for name in (item, item[:12]):
            given = await answer(desk, method, name)
            assert given[0] is NotFound
            assert given == await answer(desk, method, absent(item)[: len(name)])
        if method not in ("WhoGets", "PushReport"):
            given = await answer(desk, method, STIX)
            assert given == await answer(desk, method, STIX[:-1] + "0")
        report = await node.shelf.opened(bytes.fromhex(item))
        assert report is not None, "nothing was done to it"


async def test_lists_leave_out_what_the_caller_may_not_read() -> None:
    async with received() as (_, desk, item):
        assert not (await desk.ask("", "ListReports", pb.ListReportsRequest())).reports
        await desk.admit("", "root", Role.ADMINISTRATOR)
        await desk.admit("root", "duty-officer", Role.AUDITOR)
        await desk.admit("root", "other", Role.AUDITOR)
        seen = {}
        for name in ("duty-officer", "other"):
            listed = (await desk.ask(name, "ListReports", pb.ListReportsRequest())).reports
            seen[name] = [each.item for each in listed]
        assert seen == {"duty-officer": [item], "other": []}
        assert (await desk.ask("duty-officer", "ShowReport", pb.ShowReportRequest(id=item[:8]))).content
        assert (await desk.ask("duty-officer", "TraceReport", pb.TraceReportRequest(id=item))).events
        with pytest.raises(NotFound):
            await desk.ask("other", "ShowReport", pb.ShowReportRequest(id=item))
        assert ("other", "refused", item) in await desk.audit("root")


async def test_totals_are_for_roles_that_see_the_node_as_a_whole() -> None:
    async with received() as (node, desk, item):
        await node.core.alarms.raise_("sender", item, "two reports bear one number")
        await desk.admit("", "root", Role.ADMINISTRATOR)
        people = {"ada": Role.AUTHOR, "rel": Role.RELEASER, "sec": Role.SECURITY_OFFICER, "aud": Role.AUDITOR}
        for name, role in people.items():
            await desk.admit("root", name, role)
        for name in ("", *people, "root"):
            status = await desk.ask(name, "GetStatus", pb.GetStatusRequest())
            told = (status.reports_received, len(status.alarms), bool(status.lanes), status.limited)
            assert told == ((1, 1, True, False) if name in ("sec", "aud", "root") else (0, 0, False, True)), name


async def test_what_is_hidden_is_not_counted_when_a_draft_is_replayed() -> None:
    draft = agreements_pb2.SimulateAgreementRequest(text=a_draft("XA", "XV", categories="[guidance]"), days=9)
    async with nodes("XA", "XV") as (_, made), open_socket(made["XA"]) as opened:
        with tempfile.TemporaryDirectory() as own:
            desk = Desk(opened.home, Path(own))
            await desk.admit("", "root", Role.ADMINISTRATOR)
            await desk.admit("root", "ada", Role.AUTHOR)
            for name in ("duty-officer", "other"):
                await desk.admit("root", name, Role.AUDITOR)
            await desk.ask("ada", "PushReport", pb.PushReportRequest(report=a_file("XV", more=RULE), confirmed=USUAL))
            replayed = {
                name: [each.done for each in await desk.ask(name, "SimulateAgreement", draft)]
                for name in ("duty-officer", "other")
            }
            assert replayed == {"duty-officer": [1], "other": []}


async def test_a_long_list_goes_on_behind_what_is_left_out() -> None:
    async with received("") as (_, desk, item):
        for number in range(4):
            file = a_file("XA", more=RULE, id=f"{STIX[:-2]}{number:02}")
            request = pb.PushReportRequest(report=file, confirmed=USUAL)
            await desk.ask("", "PushReport", request)
        await desk.admit("", "root", Role.ADMINISTRATOR)
        await desk.admit("root", "aud", Role.AUDITOR)
        for limit in (1, 2, 50):
            listed = (await desk.ask("aud", "ListReports", pb.ListReportsRequest(limit=limit))).reports
            assert [each.item for each in listed] == [item]


async def test_the_owner_of_an_open_node_reads_what_was_pushed_there_and_no_operator_inherits_it() -> None:
    async with nodes("XA", "XV") as (_, made):
        with tempfile.TemporaryDirectory() as own:
            async with open_socket(made["XA"]) as opened:
                desk = Desk(opened.home, Path(own))
                request = pb.PushReportRequest(report=a_file("XV", more=RULE), confirmed=USUAL)
                item = (await desk.ask("", "PushReport", request)).item
                assert (await desk.ask("", "ShowReport", pb.ShowReportRequest(id=item))).content
                await desk.admit("", "root", Role.ADMINISTRATOR)
                for name in ("ada", "eve"):
                    await desk.admit("root", name, Role.AUTHOR)
                await desk.admit("root", "duty-officer", Role.RELEASER)
                with pytest.raises(NotFound):
                    await desk.ask("ada", "ShowReport", pb.ShowReportRequest(id=item))
                mine = (await desk.ask("ada", "PushReport", request)).item
                assert mine != item, "what another pushed is not told by a repeat"
                for name, sees in (("ada", [mine]), ("eve", []), ("duty-officer", [mine, item])):
                    listed = (await desk.ask(name, "ListReports", pb.ListReportsRequest())).reports
                    assert [each.item for each in listed] == sees, name


async def test_clearances_and_attributes_open_what_the_label_asks_for() -> None:
    more = "readers: {min_clearance: {scale: nato, level: secret}, all_of: [water]}"
    async with received(more) as (node, desk, item):
        terms = ReaderSettings(scales={"nato": ("restricted", "secret")}, attributes=("water", "road"))
        _speak(node, terms.terms())
        await desk.admit("", "root", Role.ADMINISTRATOR)
        secret, lower = (operator_pb2.Clearance(scale="nato", level=level) for level in ("secret", "restricted"))
        await desk.admit("root", "both", Role.AUDITOR, clearances=[secret], attributes=["water", "road"])
        await desk.admit("root", "low", Role.AUDITOR, clearances=[lower], attributes=["water"])
        await desk.admit("root", "dry", Role.AUDITOR, clearances=[secret], attributes=["road"])
        seen = {}
        for name in ("both", "low", "dry"):
            listed = (await desk.ask(name, "ListReports", pb.ListReportsRequest())).reports
            seen[name] = [each.item for each in listed]
        assert seen == {"both": [item], "low": [], "dry": []}
        _speak(node, ReaderTerms())
        with pytest.raises(NotFound):
            await desk.ask("both", "ShowReport", pb.ShowReportRequest(id=item))


def _speak(node: Node, terms: ReaderTerms) -> None:
    """Let a running node know other scales and attributes: what a change of node.toml does at a start."""
    operators: Operators = node.operators
    operators._terms = terms
    node.shelf._clearing._terms = terms


async def test_a_tombstone_is_hidden_like_the_report_that_it_was() -> None:
    async with received() as (_, desk, item):
        await desk.admit("", "root", Role.ADMINISTRATOR)
        for name in ("duty-officer", "sec"):
            await desk.admit("root", name, Role.SECURITY_OFFICER)
        await desk.ask("duty-officer", "PurgeReport", holding_pb2.PurgeReportRequest(id=item))

        async def purged() -> bool:
            listed = (await desk.ask("duty-officer", "ListReports", pb.ListReportsRequest())).reports
            return [each.state for each in listed] == [ItemState.PURGED]

        await until(purged, "it is not destroyed")
        assert not (await desk.ask("sec", "ListReports", pb.ListReportsRequest())).reports
        with pytest.raises(NotFound):
            await desk.ask("sec", "TraceReport", pb.TraceReportRequest(id=item))


async def test_versions_that_the_caller_may_not_read_are_not_named() -> None:
    async with nodes("XA", "XV") as (_, made):
        with tempfile.TemporaryDirectory() as own:
            async with open_socket(made["XA"]) as opened:
                desk = Desk(opened.home, Path(own))
                await desk.admit("", "root", Role.ADMINISTRATOR)
                await desk.admit("root", "ada", Role.AUTHOR)
                await desk.admit("root", "aud", Role.AUDITOR)
                first = pb.PushReportRequest(report=a_file("XV"), confirmed=USUAL)
                one = (await desk.ask("ada", "PushReport", first)).item
                narrowed = a_file("XV", more=RULE, modified="2021-07-14T08:00:00.000Z")
                second = pb.PushReportRequest(report=narrowed, supersedes=one, confirmed=USUAL)
                two = (await desk.ask("ada", "PushReport", second)).item
                for name, versions in (("ada", [one, two]), ("aud", [one])):
                    shown = await desk.ask(name, "ShowReport", pb.ShowReportRequest(id=one))
                    assert [each.item for each in shown.versions] == versions
                for name, before in (("ada", one), ("aud", "")):
                    asked = pb.ShowReportRequest(id=STIX, changes=True)
                    assert (await desk.ask(name, "ShowReport", asked)).revision.before == before
                by_stix = pb.ShowReportRequest(id=STIX)
                for name, newest in (("ada", two), ("aud", one)):
                    assert (await desk.ask(name, "ShowReport", by_stix)).summary.item == newest


async def test_what_a_version_changed_is_told_from_the_last_one_that_the_caller_may_read() -> None:
    async with nodes("XA", "XV") as (_, made), open_socket(made["XA"]) as opened:
        with tempfile.TemporaryDirectory() as own:
            desk = Desk(opened.home, Path(own))
            await desk.admit("", "root", Role.ADMINISTRATOR)
            await desk.admit("root", "ada", Role.AUTHOR)
            await desk.admit("root", "aud", Role.AUDITOR)
            items: list[str] = []
            for hour, title, more in ((1, "First", ""), (2, "Hidden", RULE), (3, "Third", "")):
                file = a_file("XV", more=more, name=title, modified=f"2021-07-15T0{hour}:00:00.000Z")
                request = pb.PushReportRequest(report=file, supersedes=items[-1] if items else "", confirmed=USUAL)
                items.append((await desk.ask("ada", "PushReport", request)).item)
            for name, before, title in (("ada", items[1], "Hidden"), ("aud", items[0], "First")):
                asked = pb.ShowReportRequest(id=items[2], changes=True)
                told = (await desk.ask(name, "ShowReport", asked)).revision
                assert told.before == before
                assert ("name", title, "Third") in {(each.field, each.before, each.after) for each in told.changes}
                assert ("Hidden" in str(told)) is (name == "ada")
            with pytest.raises(NotFound):
                await desk.ask("aud", "ShowReport", pb.ShowReportRequest(id=items[1], changes=True))


async def test_a_version_is_current_for_whoever_may_not_read_what_took_its_place() -> None:
    async with nodes("XA", "XV") as (_, made), open_socket(made["XA"]) as opened:
        with tempfile.TemporaryDirectory() as own:
            desk = Desk(opened.home, Path(own))
            await desk.admit("", "root", Role.ADMINISTRATOR)
            await desk.admit("root", "ada", Role.AUTHOR)
            await desk.admit("root", "aud", Role.AUDITOR)
            first = pb.PushReportRequest(report=a_file("XV"), confirmed=USUAL)
            one = (await desk.ask("ada", "PushReport", first)).item
            later = a_file("XV", more=RULE, modified="2021-07-14T08:00:00.000Z")
            second = pb.PushReportRequest(report=later, supersedes=one, confirmed=USUAL)
            two = (await desk.ask("ada", "PushReport", second)).item
            for name, state, current in (("ada", "replaced", [two]), ("aud", "current", [one])):
                shown = await desk.ask(name, "ShowReport", pb.ShowReportRequest(id=one))
                assert (shown.summary.state, shown.versions[0].state) == (state, state)
                assert (await desk.ask(name, "TraceReport", pb.TraceReportRequest(id=one))).summary.state == state
                listed = (await desk.ask(name, "ListReports", pb.ListReportsRequest())).reports
                assert {each.item: each.state for each in listed}[one] == state
                listed = (await desk.ask(name, "ListReports", pb.ListReportsRequest(current_only=True))).reports
                assert [each.item for each in listed] == current


async def test_what_is_hidden_takes_no_place_among_what_a_name_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "CANDIDATES", 2)
    async with nodes("XA", "XV") as (_, made), open_socket(made["XA"]) as opened:
        with tempfile.TemporaryDirectory() as own:
            desk = Desk(opened.home, Path(own))
            await desk.admit("", "root", Role.ADMINISTRATOR)
            await desk.admit("root", "ada", Role.AUTHOR)
            await desk.admit("root", "aud", Role.AUDITOR)
            items: list[str] = []
            for number, more in enumerate(("", RULE, RULE, RULE)):
                file = a_file("XV", more=more, modified=f"2021-07-14T08:00:0{number}.000Z")
                request = pb.PushReportRequest(report=file, supersedes=items[-1] if items else "", confirmed=USUAL)
                items.append((await desk.ask("ada", "PushReport", request)).item)
            shown = await desk.ask("aud", "ShowReport", pb.ShowReportRequest(id=STIX))
            assert shown.summary.item == items[0]


async def test_what_is_hidden_takes_no_place_among_what_is_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overdue, "LINES", 2)
    async with nodes("XA", "XV") as (_, made), open_socket(made["XA"]) as opened:
        with tempfile.TemporaryDirectory() as own:
            desk = Desk(opened.home, Path(own))
            await desk.admit("", "root", Role.ADMINISTRATOR)
            await desk.admit("root", "ada", Role.AUTHOR)
            await desk.admit("root", "aud", Role.AUDITOR)
            items = []
            for number, more in enumerate((RULE, RULE, RULE, "")):
                file = a_file("XV", more=f"approvals: 1\n{more}", id=f"{STIX[:-2]}{number:02}")
                items.append(
                    (await desk.ask("ada", "PushReport", pb.PushReportRequest(report=file, confirmed=USUAL))).item
                )

            async def listed(name: str) -> list[str]:
                found = await desk.ask(name, "ListOverdue", holding_pb2.ListOverdueRequest(after_s=1))
                return [each.item for each in found.items]

            async def late() -> bool:
                return await listed("aud") == items[3:]

            await until(late, "what this auditor may read is not listed")
            assert await listed("ada") == items[:2]


async def test_requests_for_consent_to_what_is_hidden_take_no_place_in_a_list() -> None:
    async with nodes("XA", "XV", "XT") as (_, made), open_socket(made["XV"]) as opened:
        items = []
        for more in ("", RULE):
            label = LABEL.format(to="XV", release="", onward="consent", hops=1, orcon="false") + more
            sent = await push_labelled(made["XA"], label)
            await receipted(made["XA"], sent.item, "XV")
            items.append(sent.item)
        requests = [(await ask(made["XV"], item, "XT")).hash.hex() for item in items]
        with tempfile.TemporaryDirectory() as own:
            desk = Desk(opened.home, Path(own))
            await desk.admit("", "root", Role.ADMINISTRATOR)
            for name in ("duty-officer", "other"):
                await desk.admit("root", name, Role.AUDITOR)
            for name, limit, seen in (
                ("other", 1, requests[:1]),
                ("other", 2, requests[:1]),
                ("duty-officer", 2, requests),
            ):
                listed = await desk.ask(name, "ListConsents", consent_pb2.ListConsentsRequest(limit=limit))
                assert {each.request for each in listed.consents} == set(seen), (name, limit)


async def test_rules_of_reports_that_an_earlier_version_stored_are_written_at_the_start() -> None:
    async with nodes("XA", "XV") as (_, made):
        with tempfile.TemporaryDirectory() as own:
            async with open_socket(made["XA"]) as opened:
                desk = Desk(opened.home, Path(own))
                request = pb.PushReportRequest(report=a_file("XV"), confirmed=USUAL)
                item = (await desk.ask("", "PushReport", request)).item
                await made["XA"].core.database.write(_forget_rules)
                assert not (await desk.ask("", "ListReports", pb.ListReportsRequest())).reports
                await made["XA"].shelf.load()
                listed = (await desk.ask("", "ListReports", pb.ListReportsRequest())).reports
                assert [each.item for each in listed] == [item]


def _forget_rules(connection: Any) -> None:
    connection.exec_driver_sql("DELETE FROM reader_rule")


async def test_absent_and_not_cleared_take_the_same_time() -> None:
    async with received() as (_, desk, item):
        apart = [await asyncio.to_thread(_measure, desk.home, item)]
        if apart[0] >= TOLERANCE:
            # Once more: the machine does other work, too.
            apart.append(await asyncio.to_thread(_measure, desk.home, item))
        assert min(apart) < TOLERANCE, apart


def _measure(home: Path, item: str) -> float:
    """Return how far the medians of both answers lie apart, over interleaved pairs."""
    names = (item, absent(item))
    took: dict[str, list[float]] = {name: [] for name in names}
    with connect(home) as node:
        for pair in range(PAIRS):
            for name in names if pair % 2 else names[::-1]:
                request = pb.ShowReportRequest(id=name)
                start = time.perf_counter()
                with pytest.raises(grpc.RpcError):
                    node.ShowReport(request)
                took[name].append(time.perf_counter() - start)
    one, other = (median(took[name]) for name in names)
    return abs(one - other) / max(one, other)
