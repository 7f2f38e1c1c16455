"""Connections outlive what the directory says; what is open on them does not, whether anything passes or not."""

import time

import pytest

from exchange.crypto.signed import Signed
from exchange.crypto.x509 import ca_key_hash
from exchange.directory import issue
from exchange.directory.statements import RevocationReason
from exchange.errors import NotAuthenticated, Unavailable
from exchange.relay.deliver import HEARTBEAT_S
from exchange.runtime.clock import now_ms
from exchange.v1 import relay_service_pb2 as pb
from tests.integration.test_relay_service import DeliverStream, a_suspension, publish_by_council, reason_of
from tests.support.directory_builders import EXCHANGE
from tests.support.relay_world import CALL_S, World, a_sealed, a_world, head_of

EXPELLED, NODE_REVOKED, CA_REVOKED = "expelled", "statement key revoked", "transport CA revoked"


def statement_on(world: World, name: str, deed: str) -> Signed:
    keys, council = world.partners[name].keys, world.exchange.council_key
    if deed == EXPELLED:
        place = world.exchange.directory.next_seq_prev("council")
        return issue.make_expulsion(
            exchange=EXCHANGE, place=place, party=keys.party, now_ms=now_ms(), council_key=council
        )
    return issue.make_revocation(
        exchange=EXCHANGE,
        issuer="council",
        party=keys.party,
        key_id=keys.statement.public.key_id if deed == NODE_REVOKED else ca_key_hash(keys.ca),
        reason=RevocationReason.LOST,
        now_ms=now_ms(),
        key=council,
    )


@pytest.mark.parametrize("deed", [EXPELLED, NODE_REVOKED, CA_REVOKED])
async def test_open_streams_end_at_once_when_their_partner_is_cut_off_and_those_of_others_go_on(deed: str) -> None:
    async with a_world("XA", "XV", "XO") as world:
        basis, sender = await world.agree("XA", "XV", "XO"), world.partners["XA"]
        head = head_of(world.exchange)
        streams = {name: DeliverStream(world.partners[name]) for name in ("XV", "XO")}
        follows = world.partners["XV"].stub.FollowDirectory(
            pb.FollowDirectoryRequest(start=world.exchange.directory.size), timeout=CALL_S
        )
        await sender.submit(a_sealed(sender.keys, ["XV", "XO"], basis, head).submission_bytes)
        for stream in streams.values():
            await stream.next(1)
        began = time.monotonic()
        await publish_by_council(world, "XO", statement_on(world, "XV", deed))
        # Nothing is sent to it: the directory's change alone ends what is open, long before a heartbeat would.
        assert await reason_of(streams["XV"].responses) is NotAuthenticated
        assert await reason_of(follows) is NotAuthenticated
        assert time.monotonic() - began < HEARTBEAT_S / 3
        await sender.submit(a_sealed(sender.keys, ["XO"], basis, head, seq=2).submission_bytes)
        assert await streams["XO"].next(1)
        # And it is not let in again, on the same connection or on another.
        asked = pb.GetCheckpointRequest(log=pb.LOG_TRAFFIC)
        for partner in (world.partners["XV"], world.connect(world.partners["XV"].keys)):
            assert await reason_of(partner.stub.GetCheckpoint(asked, timeout=CALL_S)) in {NotAuthenticated, Unavailable}


async def test_an_idle_stream_ends_when_its_partner_is_suspended_and_begins_anew() -> None:
    async with a_world("XA", "XV", "XO") as world:
        await world.agree("XA", "XV")
        idle = DeliverStream(world.partners["XV"])
        began = time.monotonic()
        await publish_by_council(world, "XO", a_suspension(world, "XV"))
        assert await reason_of(idle.responses) is Unavailable
        assert time.monotonic() - began < HEARTBEAT_S / 3
        again = world.partners["XV"].stub.GetCheckpoint(pb.GetCheckpointRequest(log=pb.LOG_TRAFFIC), timeout=CALL_S)
        assert (await again).checkpoint
