"""What a partner holds of ours, for people; and what nobody can undo when it leaves."""

from google.protobuf.message import DecodeError

from exchange.errors import MalformedInput
from nodes.admin import output
from nodes.v1.expulsion_pb2 import HoldingThere, ShowHoldingsResponse

CANNOT = (
    "what {party} holds stays in its hands: a confirmation proves a promise kept by its software, and not more",
    "what it has exported, printed or told others is outside every node",
    "what it passed on by consent is with those others: concord report trace ID shows whom",
    "retractions that it has not confirmed reach it no more: ask its people by another way, and write the answer down",
    "it knows who was in the exchange, which agreements it was a party to, and the members of communities that it saw",
    "its id is never used again; what it signed before stays valid evidence",
)


def read_holdings(data: bytes) -> ShowHoldingsResponse:
    """Return what a node wrote of a partner's holdings; MalformedInput for anything else."""
    try:
        return ShowHoldingsResponse.FromString(data)
    except DecodeError as error:
        raise MalformedInput("the file does not say what the partner holds") from error


def holdings_view(party: str, found: ShowHoldingsResponse, *, to_stderr: bool = False) -> None:
    """Show it as a table, and in words."""
    columns = ("item", "kind", "TLP", "state", "clause", "destroy by", "when it ends", "asked", "confirmed")
    rows = [_row(each) for each in found.held]
    output.table(columns, rows, empty=f"{party} holds nothing of ours", to_stderr=to_stderr)
    if found.waiting:
        output.say(f"{found.waiting} reports wait to be sent to it")
    for name in found.communities:
        output.say(f"it is in our community {name!r}; an expulsion takes it out, in a new epoch")
    undelivered = [each for each in found.held if each.asked_ms and not each.confirmed_ms]
    if found.status == "expelled" and undelivered:
        output.say(
            f"undeliverable: {len(undelivered)} retractions that it had not confirmed; nothing reaches it any more"
        )


def _row(each: HoldingThere) -> tuple[str, ...]:
    return (
        output.short(each.item),
        each.kind,
        each.tlp.upper(),
        each.state,
        each.clause or "-",
        output.when(each.purge_by_ms),
        each.on_termination or "-",
        output.when(each.asked_ms),
        output.when(each.confirmed_ms),
    )


def farewell(party: str) -> None:
    """Say what happens once the statement is published, and what nobody can undo."""
    output.say(f"once it is published, {party} is cut off at once, and what is queued for it at the relay is dropped;")
    output.say("while it is suspended instead, it still gets retractions: wait for its confirmations first")
    output.say("what cannot be undone:")
    for line in CANNOT:
        output.say(f"  - {line.format(party=party)}")
