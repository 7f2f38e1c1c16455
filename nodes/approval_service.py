"""The part of NodeService that is about approvals: what waits for them, and what releasers say of it."""

from functools import partial

from exchange.crypto.codec import decode_signed
from exchange.limits import STATEMENT_BYTES
from exchange.policy.codec import encode_release
from exchange.policy.model import Tlp
from nodes.approving import Approving, Pending, Reaching
from nodes.caller import Caller
from nodes.core import Core
from nodes.shelf import LIST_DEFAULT, LIST_MOST, Shelf
from nodes.v1 import approval_pb2 as pb
from nodes.waiting import words


class ApprovalMethods:
    """Approvals, as NodeService has them."""

    def __init__(self, core: Core, approving: Approving, shelf: Shelf) -> None:
        """Call these use cases."""
        self._core = core
        self._approving = approving
        self._shelf = shelf

    async def list_(self, request: pb.ListPendingRequest, *, caller: Caller) -> pb.ListPendingResponse:
        """List what waits for approvals, of what the caller may read."""
        found = await self._approving.pending(
            limit=min(request.limit or LIST_DEFAULT, LIST_MOST),
            after=await self._shelf.cleared(caller, request.after) if request.after else b"",
            among=partial(self._shelf.among, caller),
        )
        return pb.ListPendingResponse(reports=[_pending(each) for each in found])

    async def show(self, request: pb.ShowPendingRequest, *, caller: Caller) -> pb.ShowPendingResponse:
        """Show one report as it would be released."""
        found = await self._approving.show(await self._shelf.cleared(caller, request.id))
        opened = found.opened
        return pb.ShowPendingResponse(
            report=_pending(found),
            statement=opened.signed.payload,
            release=encode_release(opened.release) if opened.release is not None else b"",
            exchange=self._core.exchange,
            party=self._core.me,
        )

    async def approve(self, request: pb.ApproveReportRequest, *, caller: Caller) -> pb.ApproveReportResponse:
        """Keep an approval."""
        item = await self._shelf.cleared(caller, request.id)
        approval = decode_signed(request.approval, limit=STATEMENT_BYTES, what="an approval")
        found = await self._approving.approve(item, approval, caller=caller)
        return pb.ApproveReportResponse(report=_pending(found))

    async def reject(self, request: pb.RejectReportRequest, *, caller: Caller) -> pb.RejectReportResponse:
        """Let nothing that waits go."""
        item = await self._shelf.cleared(caller, request.id)
        recipients = await self._approving.reject(item, request.text, caller=caller)
        return pb.RejectReportResponse(item=item.hex(), recipients=recipients)


def _pending(found: Pending) -> pb.PendingReport:
    report = found.report
    return pb.PendingReport(
        item=report.item.hex(),
        title=found.title,
        kind=report.kind,
        tlp=Tlp(report.tlp).word,
        author=found.author,
        authored_ms=report.authored_ms,
        approved=[pb.Approver(operator=row.name, at_ms=row.at_ms) for row in found.approved],
        missing=found.missing,
        recipients=[_recipient(each) for each in found.recipients],
    )


def _recipient(reaching: Reaching) -> pb.PendingRecipient:
    then = reaching.then
    return pb.PendingRecipient(
        partner=reaching.partner,
        missing=reaching.missing,
        permit=then.permit,
        clause=then.clause,
        why="" if then.permit else words(then),
    )
