"""The part of NodeService that hands out proofs that an envelope was logged."""

from exchange.names import party_id
from nodes.caller import Caller
from nodes.proving import Proving
from nodes.shelf import Shelf
from nodes.v1 import log_proof_pb2 as pb


class LogProofMethods:
    """Proofs to hand on, as NodeService has them."""

    def __init__(self, proving: Proving, shelf: Shelf) -> None:
        """Find reports by `shelf`, as far as the caller may read them."""
        self._proving = proving
        self._shelf = shelf

    async def export(self, request: pb.ExportProofRequest, *, caller: Caller) -> pb.ExportProofResponse:
        """Return the proof for an envelope with a report that the caller may read."""
        item = await self._shelf.cleared(caller, request.id)
        partner = party_id(request.partner) if request.partner else ""
        made = await self._proving.export(item, partner)
        return pb.ExportProofResponse(
            file=made.file,
            envelope=made.logged.envelope.hex(),
            index=made.logged.proof.index,
            size=made.size,
            cosigned=made.cosigned,
        )
