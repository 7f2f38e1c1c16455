"""The part of NodeService that is about what a partner holds of ours, before it is expelled and after."""

from exchange.names import party_id
from exchange.policy.model import Tlp
from nodes.caller import Caller
from nodes.expelling import Expelling, HeldThere
from nodes.shelf import Shelf
from nodes.v1 import expulsion_pb2 as pb


class ExpulsionMethods:
    """Leave-taking, as NodeService has it."""

    def __init__(self, expelling: Expelling, shelf: Shelf) -> None:
        """Call these use cases."""
        self._expelling = expelling
        self._shelf = shelf

    async def show(self, request: pb.ShowHoldingsRequest, *, caller: Caller) -> pb.ShowHoldingsResponse:
        """Show what a partner holds of what the caller may read."""
        found = await self._expelling.look(party_id(request.party))
        readable = await self._shelf.among(caller, {each.there.item for each in found.held})
        return pb.ShowHoldingsResponse(
            status=found.status.value,
            held=[_holding(each) for each in found.held if each.there.item in readable],
            communities=found.communities,
            waiting=found.waiting,
        )

    async def recall(self, request: pb.RecallHoldingsRequest) -> pb.RecallHoldingsResponse:
        """Ask a partner to destroy what the agreements say must go."""
        return pb.RecallHoldingsResponse(asked=await self._expelling.recall(party_id(request.party)))


def _holding(held: HeldThere) -> pb.HoldingThere:
    there, recall = held.there, held.recall
    return pb.HoldingThere(
        item=there.item.hex(),
        kind=there.kind,
        tlp=Tlp(there.tlp).word,
        state=there.state,
        agreement=there.basis.hex(),
        clause=there.clause,
        purge_by_ms=there.purge_by_ms,
        on_termination=held.clause_says.word if held.clause_says is not None else "",
        asked_ms=recall.asked_ms if recall is not None else 0,
        confirmed_ms=(recall.purged_ms or recall.retracted_ms) if recall is not None else 0,
    )
