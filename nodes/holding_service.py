"""The part of NodeService that is about reports in this node's keeping: export, overdue, keep, purge."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from exchange.errors import BadInput
from exchange.policy.model import Actions, Purpose, Vocabulary
from exchange.policy.use import Use
from nodes.caller import Caller
from nodes.core import Core
from nodes.exporting import export
from nodes.handling_file import handling_file, marking
from nodes.keeping import keep, purge
from nodes.overdue import PATIENCE_MS, overdue
from nodes.shelf import Shelf
from nodes.suspects import Suspects
from nodes.titles import Titles
from nodes.v1 import holding_pb2 as pb
from nodes.v1.attachment_pb2 import ExportAttachmentRequest
from nodes.v1.suspect_pb2 import ReviewReportRequest, ReviewReportResponse
from nodes.why_service import WhyMethods

V = TypeVar("V", bound=Vocabulary)


class HoldingMethods:
    """Reports that are held, as NodeService has them."""

    def __init__(
        self, core: Core, shelf: Shelf, suspects: Suspects, *, titles: Titles, hurry: Callable[[], None]
    ) -> None:
        """Call these use cases; `hurry` lets what is to be destroyed go at once."""
        self._core = core
        self._shelf = shelf
        self._suspects = suspects
        self._hurry = hurry
        self._why = WhyMethods(core, shelf, titles)

    async def export(self, request: pb.ExportReportRequest, *, caller: Caller) -> pb.ExportReportResponse:
        """Hand content out, if what it is held under permits."""
        use = use_of(request)
        handed = await export(
            self._core, self._shelf, await self._shelf.cleared(caller, request.id), use, who=caller.name
        )
        return pb.ExportReportResponse(
            item=handed.item.hex(),
            content=handed.opened.statement.content,
            handling_yaml=handling_file(handed),
            marking=marking(handed.opened.label),
        )

    async def why(self, request: pb.WhyReportRequest, *, caller: Caller) -> pb.WhyReportResponse:
        """Say why a report went to a partner, or did not."""
        return await self._why.why(request, caller=caller)

    async def overdue(self, request: pb.ListOverdueRequest, *, caller: Caller) -> pb.ListOverdueResponse:
        """List what is overdue of what the caller may read."""
        patience_ms = request.after_s * 1000 or PATIENCE_MS
        sift = partial(self._shelf.sift, caller)
        found = await overdue(self._core, patience_ms=min(patience_ms, self._core.clock()), sift=sift)
        return pb.ListOverdueResponse(
            items=[
                pb.OverdueItem(
                    kind=each.kind, item=each.item.hex(), partner=each.partner, since_ms=each.since_ms, hint=each.hint
                )
                for each in found
            ]
        )

    async def keep(self, request: pb.KeepReportRequest, *, caller: Caller) -> pb.KeepReportResponse:
        """Keep a report for some days more."""
        item = await self._shelf.cleared(caller, request.id)
        kept = await keep(self._core, item, days=request.days, who=caller.name)
        return pb.KeepReportResponse(item=item.hex(), until_ms=kept.until_ms, purge_at_ms=kept.purge_at_ms)

    async def purge(self, request: pb.PurgeReportRequest, *, caller: Caller) -> pb.PurgeReportResponse:
        """Destroy a report in this node."""
        item = await self._shelf.cleared(caller, request.id)
        await purge(self._core, item, who=caller.name, hurry=self._hurry)
        return pb.PurgeReportResponse(item=item.hex())

    async def review(self, request: ReviewReportRequest, *, caller: Caller) -> ReviewReportResponse:
        """Note that a person has looked at a report that a stolen key may have signed."""
        item = await self._shelf.cleared(caller, request.id)
        await self._suspects.reviewed(item, who=caller.name)
        return ReviewReportResponse(item=item.hex())


def use_of(request: pb.ExportReportRequest | ExportAttachmentRequest) -> Use:
    """Return what is to be done with what is handed out."""
    return Use(
        action=_word(Actions, request.action, "--for"),
        purpose=_word(Purpose, request.purpose, "--purpose"),
        place=request.place,
        as_evidence=request.as_evidence,
    )


def _word(vocabulary: type[V], text: str, what: str) -> V:
    """Return the word of a vocabulary, or raise BadInput with the words that there are."""
    for member in vocabulary:
        if member.word == text:
            return member
    words = ", ".join(member.word for member in vocabulary)
    raise BadInput(f"{text[:80]!r} is not known", place=what, hint=f"one of {words}")
