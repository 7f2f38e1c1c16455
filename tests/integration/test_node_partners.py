"""Partners whose fingerprint a person compares: noted at this node, for one root."""

from dataclasses import replace

import pytest

from exchange.crypto.keys import fingerprint
from exchange.directory.state import Status
from exchange.errors import NotFound, VerificationFailed
from exchange.names import party_id
from nodes.caller import the_owner
from nodes.partner_service import PartnerMethods
from nodes.parts import Node
from nodes.store.partners import all_verified, put_verified
from nodes.v1 import node_service_pb2 as pb
from tests.support.node_world import a_node_world, at, stands


def methods(node: Node) -> PartnerMethods:
    return PartnerMethods(node.core, node.reader_policies, wake=node.sender.wake)


async def verify(node: Node, party: str, read_out: str) -> pb.Partner:
    request = pb.VerifyPartnerRequest(party=party, read_out=read_out)
    return (await methods(node).verify_partner(request, caller=the_owner())).partner


async def listed(node: Node, party: str) -> pb.Partner:
    partners = (await methods(node).list_partners()).partners
    return next(partner for partner in partners if partner.party == party)


async def test_a_comparison_is_noted_for_the_root_that_was_read_out_and_for_no_other() -> None:
    async with a_node_world("XA", "XV") as world, at(world.places["XA"]) as node:
        await stands(node, "XV", Status.ADMITTED)
        record = node.core.trust.now.directory.party(party_id("XV"))
        assert record is not None
        groups = fingerprint("XV", record.root.raw).split()
        for wrong in ("", groups[0], " ".join(groups[1:-1]), f"{groups[-1]} {groups[0]}", "O" * 32):
            with pytest.raises(VerificationFailed):
                await verify(node, "XV", wrong)
        assert (await listed(node, "XV")).verified_ms == 0, "nothing was noted"
        with pytest.raises(NotFound):
            await verify(node, "XQ", " ".join(groups))
        noted = await verify(node, "XV", f"{groups[0]} {groups[-1]}".lower())
        assert noted.verified_ms and noted.verified_by == the_owner().name
        assert await listed(node, "XV") == noted
        row = (await node.core.database.read(all_verified))["XV"]
        await node.core.database.write(lambda c: put_verified(c, replace(row, root_key_id=bytes(32))))
        assert (await listed(node, "XV")).verified_ms == 0, "another root was compared"
