"""A node's transport CA changes: sensors that ask follow it, and none meets a CA that it could not know."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from exchange.crypto.random import random_bytes
from exchange.crypto.x509 import ca_key_hash
from exchange.errors import NotAuthenticated, Unavailable
from exchange.names import party_id
from exchange.runtime.lifecycle import Drain, HomeLock
from nodes import keyring
from nodes.client import SensorClient
from nodes.door_service import open_doors
from nodes.keyring import follows_ms
from nodes.parts import Node
from nodes.v1 import node_service_pb2 as pb
from nodes.v1 import sensor_ca_pb2
from tests.integration.test_node_doors import SCOPE, ask, in_thread, unused_port
from tests.support.node_world import NodeWorld, a_label, nodes, until
from tests.support.reports import a_report
from tests.support.rotation import own_statement_key, revoke, rotate

__all__ = ["unused_port"]  # a fixture

Given = tuple[bytes, str]
"""CAs and token of a sensor."""


@asynccontextmanager
async def a_door(port: int) -> AsyncIterator[tuple[NodeWorld, Node, Path, str]]:
    """Run XO with a door for sensors, and XV."""
    async with nodes("XA", "XO", "XV") as (world, running):
        home, address = Path(tempfile.mkdtemp(prefix="door-")), f"127.0.0.1:{port}"
        config = running["XO"].config.model_copy(update={"sensor_address": address})
        node = replace(running["XO"], home=home, config=config)
        try:
            with HomeLock(home) as lock:
                async with open_doors(node, lock, Drain()):
                    yield world, node, home, address
        finally:
            shutil.rmtree(home)


async def added(home: Path, name: str) -> Given:
    scope = pb.SensorScope()
    scope.CopyFrom(SCOPE)
    scope.name = name
    reply = await ask(home, "AddSensor", pb.AddSensorRequest(scope=scope))
    return reply.ca_certificate.encode(), reply.token


async def pushes(address: str, given: Given) -> bool:
    """Say whether a sensor gets a report through; Unavailable when it does not trust what it meets."""
    ca, token = given

    def push() -> bool:
        with SensorClient(address, ca=ca, token=token, timeout_s=5.0) as client:
            return not client.push(a_report(), label=a_label("XV"), key=random_bytes(8).hex()).repeated

    return await in_thread(push)


async def followed(address: str, given: Given) -> Given:
    """Let a sensor ask which CAs to pin from now on."""
    ca, token = given

    def follow() -> bytes:
        with SensorClient(address, ca=ca, token=token) as client:
            return client.follow_ca()

    return await in_thread(follow), token


async def knows(home: Path) -> dict[str, bool]:
    sensors = (await ask(home, "ListSensors", pb.ListSensorsRequest())).sensors
    return {each.scope.name: each.ca_known for each in sensors}


async def noticed(home: Path) -> Sequence[str]:
    return list((await ask(home, "GetStatus", pb.GetStatusRequest())).notices)


async def test_sensors_follow_the_ca_before_the_door_changes(unused_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_door(unused_port) as (_, node, home, address):
        old, idle = await added(home, "old"), await added(home, "idle")
        assert old[0].count(b"BEGIN CERTIFICATE") == 1
        assert not any("sensors" in each for each in await noticed(home))
        await rotate(node)
        assert len(node.core.keyring.authorities) == 2

        # In the overlap everybody gets through: who was added before, after, and who has asked.
        new = await added(home, "new")
        assert await knows(home) == {"old": False, "idle": False, "new": True}
        old = await followed(address, old)
        assert await knows(home) == {"old": True, "idle": False, "new": True}
        (notice,) = [each for each in await noticed(home) if "sensors" in each]
        assert "the next one: idle;" in notice
        assert old[0] == new[0] and old[0].startswith(idle[0]) and old[0] != idle[0]
        for given in (old, idle, new):
            assert await pushes(address, given)
        reply = await ask(home, "GetSensorCa", sensor_ca_pb2.GetSensorCaRequest())
        assert reply.ca_certificates.encode() == new[0]
        assert reply.changes_ms == follows_ms(node.core.keyring.authorities[1])

        # Once it is over the door shows the new one, and hands out nothing else.
        monkeypatch.setattr(keyring, "KEY_OVERLAP_MS", 0)
        for given in (old, new):
            assert await pushes(address, given)
        with pytest.raises(Unavailable):
            await pushes(address, idle)
        last = await followed(address, new)
        assert new[0] == idle[0] + last[0]
        reply = await ask(home, "GetSensorCa", sensor_ca_pb2.GetSensorCaRequest())
        assert (reply.ca_certificates.encode(), reply.changes_ms) == (last[0], 0)
        assert await pushes(address, (reply.ca_certificates.encode(), idle[1]))


async def test_a_ca_that_falls_with_a_stolen_key_is_not_shown_any_longer(unused_port: int) -> None:
    async with a_door(unused_port) as (world, node, home, address):
        first = await added(home, "first")
        stolen = own_statement_key(node)
        await rotate(node)
        both = await added(home, "both")
        await revoke(world, party_id("XO"), stolen)
        old = ca_key_hash(node.core.keyring.authorities[0].certificate)
        await until(
            lambda: old not in {ca_key_hash(ca) for ca in node.core.trust.now.directory.transport_cas()},
            "the old CA stands",
        )
        with pytest.raises(Unavailable):
            await pushes(address, first)
        assert await pushes(address, both)
        # A sensor that was told pins what its thief has no key for.
        assert (await followed(address, both))[0].count(b"BEGIN CERTIFICATE") == 1


async def test_who_has_no_token_learns_no_ca(unused_port: int) -> None:
    async with a_door(unused_port) as (_, _node, home, address):
        ca, token = await added(home, "feed")
        with pytest.raises(NotAuthenticated):
            await followed(address, (ca, token[:-1] + "x"))
