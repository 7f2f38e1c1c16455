"""The part of NodeService that is about files of reports: take one in for a push, hand one out, say how they stand."""

import asyncio
from collections.abc import AsyncIterator

from exchange.errors import BadInput, MalformedInput
from exchange.limits import FRAME_BYTES
from nodes.caller import Caller
from nodes.core import Core
from nodes.exporting import export
from nodes.handling_file import handling_file, marking
from nodes.holding_service import use_of
from nodes.report_files import Held, ReportFiles, Standing
from nodes.shelf import Shelf
from nodes.v1 import attachment_pb2 as pb


class AttachmentMethods:
    """Files of reports, as NodeService has them."""

    def __init__(self, core: Core, files: ReportFiles, shelf: Shelf) -> None:
        """Call these use cases."""
        self._core = core
        self._files = files
        self._shelf = shelf

    async def attach(self, requests: AsyncIterator[pb.AttachFileRequest]) -> pb.AttachFileResponse:
        """Take a file in, sealed."""
        coming = aiter(requests)
        first = await anext(coming, None)
        if first is None or first.data:
            raise BadInput("the first request says what the file is")
        made = await self._files.attaching.take(first.name, first.media_type, first.size, _data(coming))
        return pb.AttachFileResponse(id=made.file.hex(), sha256=made.attachment.sha256.hex())

    async def export(
        self, request: pb.ExportAttachmentRequest, *, caller: Caller
    ) -> AsyncIterator[pb.ExportAttachmentResponse]:
        """Hand a file out, if what its report is held under permits."""
        use = use_of(request)
        item = await self._shelf.cleared(caller, request.id)
        opened = await self._shelf.shown(item)
        # What is withdrawn or destroyed is refused below, in the words for that.
        held = await self._files.held(item, request.name, opened) if opened is not None else None
        what = f"attachment {held.row.place + 1}" if held is not None else ""
        handed = await export(self._core, self._shelf, item, use, who=caller.name, what=what)
        if held is None:
            raise BadInput("the report may not be shown")
        yield pb.ExportAttachmentResponse(
            item=item.hex(),
            attachment=attachment_of(Standing(held.attachment, "here")),
            handling_yaml=handling_file(handed, held.attachment),
            marking=marking(handed.opened.label),
        )
        async for data in self._open(held):
            yield pb.ExportAttachmentResponse(data=data)

    async def _open(self, held: Held) -> AsyncIterator[bytes]:
        parts = self._files.open(held)
        while data := await asyncio.to_thread(next, parts, b""):
            yield data


def attachment_of(standing: Standing) -> pb.ReportAttachment:
    """Return how one file stands."""
    attachment = standing.attachment
    return pb.ReportAttachment(
        name=attachment.name,
        media_type=attachment.media_type,
        size=attachment.size,
        sha256=attachment.sha256.hex(),
        state=standing.state,
        done=standing.done,
        total=standing.total,
        why=standing.why,
    )


async def _data(requests: AsyncIterator[pb.AttachFileRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.name or request.media_type or request.size:
            raise MalformedInput("a file is named once")
        if not 1 <= len(request.data) <= FRAME_BYTES:
            raise MalformedInput(f"a part of a file has 1 to {FRAME_BYTES} bytes")
        yield request.data
