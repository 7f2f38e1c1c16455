"""Limits that the council sets hold at relay and nodes from their entry on, and nothing is lost by them."""

from dataclasses import replace
from functools import partial

import grpc.aio
import pytest

from exchange.directory import issue
from exchange.directory.ceremony import sign_statement
from exchange.directory.statements import ExchangeLimits
from exchange.errors import TooLarge
from exchange.runtime.clock import now_ms
from exchange.runtime.grpc_options import local_options
from exchange.v1 import relay_admin_service_pb2 as pb
from exchange.v1.relay_admin_service_pb2_grpc import RelayAdminServiceStub
from nodes.parts import Node
from nodes.store import sending
from tests.support.directory_builders import EXCHANGE, LIMITS
from tests.support.node_world import NodeWorld, nodes, push, receipted, until


async def limit(world: NodeWorld, limits: ExchangeLimits) -> None:
    """Let the council set limits; on return the relay knows."""
    await world.relay.mirror()
    place = world.relay.exchange.directory.next_seq_prev("council")
    drafted = issue.draft_limits(exchange=EXCHANGE, place=place, limits=limits, now_ms=now_ms())
    await world.publish(sign_statement(drafted, world.relay.exchange.council_key))


def knows(node: Node, limits: ExchangeLimits) -> bool:
    return node.core.trust.now.directory.limits == limits


async def shown(world: NodeWorld) -> dict[str, tuple[int, bool]]:
    """Return what the relay's operator is shown."""
    home = world.relay.home
    async with grpc.aio.insecure_channel(f"unix:{home.admin_socket}", options=local_options()) as channel:
        found = await RelayAdminServiceStub(channel).GetStatus(pb.GetRelayStatusRequest(), timeout=10)
    return {each.name: (each.value, each.by_council) for each in found.limits}


async def test_an_envelope_has_no_more_recipients_than_the_council_allows_and_all_get_the_report() -> None:
    async with nodes("XA", "XV", "XO") as (world, running):
        assert (await shown(world))["recipients"] == (LIMITS.recipients, True)
        stricter = replace(LIMITS, recipients=1, report_bytes=2_000, reports_per_minute=600)
        await limit(world, stricter)
        await until(partial(knows, running["XA"], stricter), "XA does not know")
        item = await push(running["XA"], "XV", "XO")
        await receipted(running["XA"], item.item, "XV", "XO")
        kept = await running["XA"].core.database.read(partial(sending.promises_of, item=item.item))
        assert len(kept) == 2, "one envelope each"
        assert (await shown(world))["reports_per_minute"] == (600, True)
        with pytest.raises(TooLarge, match="the exchange's limit is 2,000"):
            await push(running["XA"], "XV", description="x" * 4_000)


async def test_what_a_sender_seals_before_it_has_heard_of_a_limit_is_refused_and_sealed_anew() -> None:
    async with nodes("XA", "XV", "XO") as (world, running):
        stricter = replace(LIMITS, recipients=1)
        await limit(world, stricter)
        # Whether this is sealed before or after XA hears of it, both get it.
        item = await push(running["XA"], "XV", "XO")
        await receipted(running["XA"], item.item, "XV", "XO")
