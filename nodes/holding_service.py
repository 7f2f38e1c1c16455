"""The part of NodeService that is about reports in this node's keeping: export."""

from typing import TypeVar

from exchange.errors import BadInput
from exchange.policy.model import Actions, Purpose, Vocabulary
from exchange.policy.use import Use
from nodes.caller import Caller
from nodes.core import Core
from nodes.exporting import export
from nodes.handling_file import handling_file, marking
from nodes.shelf import Shelf
from nodes.v1 import holding_pb2 as pb

V = TypeVar("V", bound=Vocabulary)


class HoldingMethods:
    """Reports that are held, as NodeService has them."""

    def __init__(self, core: Core, shelf: Shelf) -> None:
        """Call these use cases."""
        self._core = core
        self._shelf = shelf

    async def export(self, request: pb.ExportReportRequest, *, caller: Caller) -> pb.ExportReportResponse:
        """Hand content out, if what it is held under permits."""
        use = Use(
            action=_word(Actions, request.action, "--for"),
            purpose=_word(Purpose, request.purpose, "--purpose"),
            place=request.place,
            as_evidence=request.as_evidence,
        )
        handed = await export(self._core, self._shelf, await self._shelf.find(request.id), use, who=caller.name)
        return pb.ExportReportResponse(
            item=handed.item.hex(),
            content=handed.opened.statement.content,
            handling_yaml=handling_file(handed),
            marking=marking(handed.opened.label),
        )


def _word(vocabulary: type[V], text: str, what: str) -> V:
    """Return the word of a vocabulary, or raise BadInput with the words that there are."""
    for member in vocabulary:
        if member.word == text:
            return member
    words = ", ".join(member.word for member in vocabulary)
    raise BadInput(f"{text[:80]!r} is not known", place=what, hint=f"one of {words}")
