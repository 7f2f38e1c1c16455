"""Operators at a node's socket: open mode, roles, sessions, and the audit."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from exchange.errors import ConfigurationError, ExchangeError, NotAllowed, NotAuthenticated, WrongPassphrase
from exchange.policy.model import Tlp
from exchange.runtime.clock import now_ms
from exchange.runtime.database import Database
from exchange.runtime.lifecycle import HomeLock
from exchange.runtime.secrets import write_private
from nodes import session
from nodes.keystore import save_keys
from nodes.operators import Profile
from nodes.parts import Node
from nodes.recovery import add_offline
from nodes.roles import ANYBODY, MAY, Role
from nodes.store import operators as store
from nodes.v1 import node_service_pb2 as pb
from nodes.v1 import operator_pb2
from tests.support.doors import open_socket
from tests.support.node_world import FIRST_TIME, a_label, a_node_world, nodes
from tests.support.operators import Desk, key_of
from tests.support.reports import a_report

DAY_MS = 86_400_000
METHODS = {method.name: method for method in pb.DESCRIPTOR.services_by_name["NodeService"].methods}
PEOPLE = {
    "root": (Role.ADMINISTRATOR,),
    "ada": (Role.AUTHOR,),
    "rel": (Role.RELEASER,),
    "sec": (Role.SECURITY_OFFICER,),
    "aud": (Role.AUDITOR,),
}


@asynccontextmanager
async def a_desk() -> AsyncIterator[tuple[Node, Desk]]:
    """Run XA with its socket open; nobody is admitted yet."""
    async with nodes("XA", "XV") as (_, made):
        with tempfile.TemporaryDirectory() as own:
            async with open_socket(made["XA"]) as opened:
                yield opened, Desk(opened.home, Path(own))


def empty(method: str) -> Any:
    """Return the request of a method without any field; Any: of any method."""
    return GetMessageClass(METHODS[method].input_type)()


async def outcome(desk: Desk, name: str, method: str) -> type[ExchangeError] | None:
    """Return how a call ends: with an error, or with an answer."""
    try:
        asked = empty(method)
        await desk.ask(name, method, iter((asked,)) if METHODS[method].client_streaming else asked)
    except ExchangeError as error:
        return type(error)
    return None


async def test_every_method_is_closed_to_whoever_has_no_session_or_the_wrong_role() -> None:
    async with a_desk() as (_, desk):
        await desk.admit("", "root", Role.ADMINISTRATOR)
        for name, roles in PEOPLE.items():
            if name != "root":
                await desk.admit("root", name, *roles)
        for method in METHODS:
            unknown = await outcome(desk, "", method)
            assert (unknown is NotAuthenticated) or method in ANYBODY, method
            if method in ANYBODY or method == "Logout":
                continue
            for name, roles in PEOPLE.items():
                refused = await outcome(desk, name, method) is NotAllowed
                assert refused is MAY[method].isdisjoint(roles), (name, method)


async def test_the_node_is_open_until_the_first_administrator_and_says_so() -> None:
    async with a_desk() as (_, desk):
        assert (await desk.ask("", "GetStatus", pb.GetStatusRequest())).open_mode
        await desk.ask("", "ListReports", pb.ListReportsRequest())
        await desk.admit("", "root", Role.ADMINISTRATOR)
        await desk.admit("root", "ada", Role.AUTHOR)
        await desk.ask("ada", "PushReport", pb.PushReportRequest(report=a_file("XV"), confirmed=FIRST_TIME))
        for name, limited, sent in (("", True, 0), ("ada", True, 0), ("root", False, 1)):
            status = await desk.ask(name, "GetStatus", pb.GetStatusRequest())
            assert (status.open_mode, status.limited, status.reports_sent) == (False, limited, sent)
        with pytest.raises(NotAuthenticated) as caught:
            await desk.ask("", "ListPartners", pb.ListPartnersRequest())
        assert caught.value.hint == "concord operator login"
        await desk.ask("root", "ListPartners", pb.ListPartnersRequest())


async def test_sessions_and_operators_outlive_the_node_and_end_with_logout_and_revocation() -> None:
    async with a_desk() as (node, desk):
        await desk.admit("", "root", Role.ADMINISTRATOR)
        await desk.admit("root", "ada", Role.AUTHOR)
        async with open_socket(node) as opened:
            kept = session.current_session(desk.own / "ada", desk.home)
            assert kept is not None
            session.keep_session(desk.own / "ada", opened.home, kept)
            again = Desk(opened.home, desk.own)
            await again.ask("ada", "ListReports", pb.ListReportsRequest())
        await desk.ask("root", "RevokeOperator", operator_pb2.RevokeOperatorRequest(name="ada"))
        with pytest.raises(NotAuthenticated):
            await desk.ask("ada", "ListReports", pb.ListReportsRequest())
        await desk.ask("root", "Logout", operator_pb2.LogoutRequest())
        with pytest.raises(NotAuthenticated):
            await desk.ask("root", "ListOperators", operator_pb2.ListOperatorsRequest())


async def test_refused_calls_and_changes_are_in_the_audit() -> None:
    async with a_desk() as (_, desk):
        await desk.admit("", "root", Role.ADMINISTRATOR)
        await desk.admit("root", "ada", Role.AUTHOR)
        for name, method in (("ada", "RevokeSensor"), ("", "ListReports"), ("root", "RevokeSensor")):
            assert await outcome(desk, name, method) is not None
        assert await desk.audit("root") == [
            ("owner", "operator.add", "root"),
            ("root", "operator.login", "root"),
            ("root", "operator.add", "ada"),
            ("ada", "operator.login", "ada"),
            ("ada", "refused", ""),
            ("", "refused", ""),
            ("root", "refused", ""),
        ]


async def test_when_no_administrator_is_left_the_owner_admits_one_while_the_node_is_stopped() -> None:
    async with a_node_world("XA") as world:
        place = world.places["XA"]
        save_keys(place.home, place.keys, b"one", memory_kib=65_536)
        write_private(place.home / "node.toml", _settings(place.config.relay_address))
        profile = Profile("rex", key_of("rex").public, frozenset({Role.ADMINISTRATOR}), Tlp.AMBER, now_ms() + DAY_MS)
        with HomeLock(place.home), pytest.raises(ConfigurationError, match="in use"):
            add_offline(place.home, b"one", profile)
        with pytest.raises(WrongPassphrase):
            add_offline(place.home, b"two", profile)
        add_offline(place.home, b"one", profile)
        with Database(place.config.database_url(place.home)) as database:
            (line,) = database.read_now(lambda c: store.audit_lines(c, limit=9))
            assert (line.operator, line.action, line.subject) == ("owner", "operator.add", "rex")


def a_file(*to: str) -> pb.ReportFile:
    return pb.ReportFile(content=a_report(), label_yaml=a_label(*to))


def _settings(relay: str) -> bytes:
    return f'party = "XA"\nexchange = "test.concord.example"\nrelay_address = "{relay}"\n'.encode()
