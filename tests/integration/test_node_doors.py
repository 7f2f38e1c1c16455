"""A node's doors: the operator's socket, sensors over TLS, the spool; and what the doctor finds."""

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from exchange.errors import (
    BadLabel,
    BadName,
    ConfigurationError,
    Conflict,
    NotAuthenticated,
    NotFound,
    PolicyDenied,
    TooLarge,
    Unavailable,
)
from exchange.limits import REPORT_BYTES
from exchange.runtime.clock import now_ms
from exchange.runtime.lifecycle import Drain, HomeLock
from exchange.runtime.secrets import write_private
from nodes.client import SensorClient
from nodes.client import push as push_once
from nodes.doctor import diagnose
from nodes.door_service import open_doors
from nodes.keystore import save_keys
from nodes.node_client import connect
from nodes.parts import Node
from nodes.sensor_service import _host
from nodes.store.rows import Reach
from nodes.v1 import node_service_pb2 as pb
from tests.support.directory_builders import EXCHANGE
from tests.support.doors import open_socket
from tests.support.node_world import FIRST_TIME, a_label, nodes, reached, receipted, until
from tests.support.reports import a_report

T = TypeVar("T")
DAY_MS = 86_400_000
SCOPE = pb.SensorScope(name="feed", categories=["alert"], ceiling="amber", per_hour=5, until_ms=now_ms() + DAY_MS)


@asynccontextmanager
async def doors() -> AsyncIterator[tuple[Node, Path, dict[str, Node]]]:
    """Run XA with its doors open, and XV; the home has a short path, as a socket needs."""
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        async with open_socket(node, sensor_address="127.0.0.1:0", spool=True) as made:
            yield made, made.home, running


def _moved(node: Node, home: Path, config: Any) -> Node:
    return replace(node, home=home, config=config)


async def ask(home: Path, method: str, request: Any) -> Any:
    """Call a method of NodeService as the commands do."""

    def call() -> Any:
        with connect(home) as client:
            return getattr(client, method)(request)

    return await asyncio.to_thread(call)


def a_file(*to: str, **root: object) -> pb.ReportFile:
    return pb.ReportFile(content=a_report(**root), label_yaml=a_label(*to))


async def test_an_operator_checks_pushes_lists_shows_and_traces_a_report() -> None:
    async with doors() as (_, home, running):
        checked = await ask(home, "CheckReport", pb.CheckReportRequest(report=a_file("XV")))
        assert (checked.kind, checked.title) == ("incident-report", "Roadblock near the dam")
        decided = await ask(home, "WhoGets", pb.WhoGetsRequest(report=a_file("XV")))
        assert [(each.partner, each.permit, each.clause) for each in decided.decisions] == [("XV", True, "art-4")]
        assert await ask(home, "ListReports", pb.ListReportsRequest()) == pb.ListReportsResponse()
        first = await ask(home, "PushReport", pb.PushReportRequest(confirmed=FIRST_TIME, report=a_file("XV")))
        again = await ask(home, "PushReport", pb.PushReportRequest(confirmed=FIRST_TIME, report=a_file("XV")))
        assert (again.item, first.repeated_push, again.repeated_push) == (first.item, False, True)
        await receipted(running["XA"], bytes.fromhex(first.item), "XV")
        shown = await ask(home, "ShowReport", pb.ShowReportRequest(id=first.item[:8]))
        assert b"Roadblock" in shown.content and "XV" in shown.label_yaml
        (listed,) = (await ask(home, "ListReports", pb.ListReportsRequest(direction="sent"))).reports
        assert (listed.item, listed.receipted, listed.recipients) == (first.item, 1, 1)
        story = await ask(home, "TraceReport", pb.TraceReportRequest(id=first.item))
        assert [(each.partner, each.state) for each in story.recipients] == [("XV", "receipted")]


async def test_a_correction_and_a_retraction_go_through_the_socket() -> None:
    async with doors() as (_, home, running):
        first = await ask(home, "PushReport", pb.PushReportRequest(confirmed=FIRST_TIME, report=a_file("XV")))
        later = a_file("XV", modified="2021-07-14T08:00:00.000Z")
        request = pb.PushReportRequest(confirmed=FIRST_TIME, report=later, supersedes=first.item[:10])
        second = await ask(home, "PushReport", request)
        assert (await ask(home, "PushReport", request)).item == second.item
        await receipted(running["XA"], bytes.fromhex(second.item), "XV")
        retract = pb.RetractReportRequest(id=second.item, reason_code="wrong", text="No.")
        assert list((await ask(home, "RetractReport", retract)).recipients) == ["XV"]
        await reached(running["XA"], bytes.fromhex(second.item), "XV", Reach.RETRACTED)
        states = [each.state for each in (await ask(home, "ShowReport", pb.ShowReportRequest(id=first.item))).versions]
        assert states == ["withdrawn", "withdrawn"]


async def test_a_key_that_was_used_for_another_report_is_refused() -> None:
    async with doors() as (_, home, _):
        for number in range(2):
            again = await ask(
                home,
                "PushReport",
                pb.PushReportRequest(confirmed=FIRST_TIME, report=a_file("XV"), idempotency_key="one"),
            )
            assert again.repeated_push is bool(number)
        other = pb.PushReportRequest(
            confirmed=FIRST_TIME, report=a_file("XV", name="Another matter"), idempotency_key="one"
        )
        with pytest.raises(Conflict):
            await ask(home, "PushReport", other)


async def test_a_default_label_is_checked_when_the_sensor_is_added() -> None:
    async with doors() as (_, home, _):
        for label, error in ((b"{}", BadLabel), (a_label("XV").replace(b"amber", b"red"), PolicyDenied)):
            scope = pb.SensorScope()
            scope.CopyFrom(SCOPE)
            scope.default_label_yaml = label
            with pytest.raises(error):
                await ask(home, "AddSensor", pb.AddSensorRequest(scope=scope))
        assert not (await ask(home, "ListSensors", pb.ListSensorsRequest())).sensors


async def test_errors_reach_the_operator_with_place_and_hint() -> None:
    async with doors() as (_, home, _running):
        with pytest.raises(BadLabel) as caught:
            wrong = pb.ReportFile(content=a_report(), label_yaml=b"tlp: ambre\n")
            await ask(home, "CheckReport", pb.CheckReportRequest(report=wrong))
        assert caught.value.place == "line 1" or caught.value.hint
        for name, error in (("zz", BadName), ("ffffffff", NotFound)):
            with pytest.raises(error):
                await ask(home, "ShowReport", pb.ShowReportRequest(id=name))
    with pytest.raises(Unavailable):
        await ask(home, "GetStatus", pb.GetStatusRequest())


async def test_status_partners_and_keys_are_shown_without_secrets() -> None:
    async with doors() as (node, home, _):
        status = await ask(home, "GetStatus", pb.GetStatusRequest())
        assert (status.party, status.membership, status.relay) == ("XA", "admitted", "connected")
        assert status.prekey_days >= 30 and not status.alarms
        partners = (await ask(home, "ListPartners", pb.ListPartnersRequest())).partners
        assert [(each.party, each.self, len(each.fingerprint)) for each in partners] == [
            ("XA", True, 39),
            ("XV", False, 39),
        ]
        keys = await ask(home, "ListKeys", pb.ListKeysRequest())
        assert {key.use for key in keys.keys} == {
            "root",
            "statement",
            "envelope",
            "transport-ca",
            "transport",
            "prekey",
        }
        told = keys.SerializeToString() + status.SerializeToString()
        secrets = node.core.keys
        assert not any(seed in told for seed in (secrets.statement.seed, secrets.envelope.seed, secrets.master))


async def in_thread(call: Callable[[], T]) -> T:
    return await asyncio.to_thread(call)


async def a_sensor(home: Path, port: str) -> tuple[str, bytes, str]:
    """Add a sensor; return address, CA and token."""
    added = await ask(home, "AddSensor", pb.AddSensorRequest(scope=SCOPE))
    return port, added.ca_certificate.encode(), added.token


async def test_a_sensor_pushes_within_its_scope_and_nobody_without_its_token(unused_port: int) -> None:
    async with nodes("XA", "XV") as (_, running):
        home = Path(tempfile.mkdtemp(prefix="door-"))
        address = f"127.0.0.1:{unused_port}"
        node = _moved(running["XA"], home, running["XA"].config.model_copy(update={"sensor_address": address}))
        try:
            with HomeLock(home) as lock:
                async with open_doors(node, lock, Drain()):
                    await _sensor_pushes(node, home, address)
        finally:
            shutil.rmtree(home)


async def _sensor_pushes(node: Node, home: Path, address: str) -> None:
    _, ca, token = await a_sensor(home, address)
    content, label = a_report(), a_label("XV")

    def twice() -> tuple[str, bool, str, bool]:
        with SensorClient(address, ca=ca, token=token) as client:
            first, second = client.push(content, label=label), client.push(content, label=label)
        return first.item, first.repeated, second.item, second.repeated

    item, repeated, again, repeated_again = await in_thread(twice)
    assert (again, repeated, repeated_again) == (item, False, True)
    await receipted(node, bytes.fromhex(item), "XV")
    outside = label.replace(b"categories: [alert]", b"categories: [kidnapping]")
    with pytest.raises(PolicyDenied):
        await in_thread(lambda: push_once(address, ca, token, content, label=outside))
    with pytest.raises(NotAuthenticated):
        await in_thread(lambda: push_once(address, ca, token[:-1] + "x", content, label=label))
    with pytest.raises(TooLarge):
        await in_thread(lambda: push_once(address, ca, token, b" " * (REPORT_BYTES + 1), label=label))
    assert (await in_thread(lambda: push_once(address, ca, f"{token}\n", content, label=label))).repeated
    await ask(home, "RevokeSensor", pb.RevokeSensorRequest(name="feed"))
    with pytest.raises(NotAuthenticated):
        await in_thread(lambda: push_once(address, ca, token, content, label=label))
    (sensor,) = (await ask(home, "ListSensors", pb.ListSensorsRequest())).sensors
    assert (sensor.status, sensor.pushed, sensor.refused) == ("revoked", 1, 1)


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_report_that_lies_in_the_spool_is_sent() -> None:
    async with doors() as (_, home, running):
        scope = pb.SensorScope(name="spool", categories=["alert"], ceiling="amber", per_hour=5, until_ms=SCOPE.until_ms)
        await ask(home, "AddSensor", pb.AddSensorRequest(scope=scope))
        spool = home / "spool"
        (spool / "one.label.yaml").write_bytes(a_label("XV"))
        (spool / ".one").write_bytes(a_report())
        (spool / ".one").rename(spool / "one.json")
        note = spool / "sent" / "one.item"
        await until(note.exists, "the spool was not emptied")
        await receipted(running["XA"], bytes.fromhex(note.read_text().strip()), "XV")


async def test_the_doctor_finds_nothing_wrong_with_a_node_that_works_and_what_is_wrong_with_one_that_does_not() -> None:
    async with doors() as (node, home, _):
        shutil.copytree(_home_of(node), home, dirs_exist_ok=True, ignore=_sockets)
        lines = [f'party = "{node.core.me}"', f'exchange = "{EXCHANGE}"', 'relay_address = "127.0.0.1:1"']
        write_private(home / "node.toml", "\n".join(lines).encode())
        save_keys(home, node.core.keys, b"passphrase", memory_kib=65_536)
        found = await in_thread(lambda: diagnose(home))
        assert [f for f in found if f.severity == "error"] == []
        assert {f.subject for f in found} >= {"home", "store", "disk", "membership", "relay", "clock", "prekeys"}
    home.mkdir(mode=0o755)
    try:
        (home / "node.toml").write_text("party = 'XA'\n")
        (home / "node.toml").chmod(0o644)
        found = diagnose(home)
        assert {f.subject for f in found if f.severity == "error"} == {"home", "keystore", "files", "configuration"}
        assert all(f.hint for f in found if f.severity == "error")
        assert found[0].as_record()["subject"] == "home"
    finally:
        shutil.rmtree(home)


def _home_of(node: Node) -> Path:
    return Path(str(node.core.keybox._database._writing.url.database)).parent


def _sockets(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name in ("run", "lock")}


def test_an_address_that_is_none_stops_the_start() -> None:
    with pytest.raises(ConfigurationError):
        _host("nowhere")
    assert _host("[::1]:7201") == "::1"
