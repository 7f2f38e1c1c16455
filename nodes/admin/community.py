"""`concord community`: groups that this party makes or belongs to, with epochs and a roster that few may see.

Each change is a new epoch. It holds everywhere from the directory entry on that the commands name.
"""

from collections.abc import Sequence
from typing import Annotated

import typer

from exchange.errors import BadInput, Conflict, NotFound
from exchange.policy.fields import instant
from exchange.policy.strict_yaml import node_of
from nodes.admin import output
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome
from nodes.admin.plain import plain
from nodes.node_client import connect
from nodes.v1 import agreements_pb2, community_pb2

app = typer.Typer(help="Groups with epochs and a roster that few may see.", no_args_is_help=True)

ID_LEAST = 6
"""So many digits of an agreement's id name it."""

Id = Annotated[str, typer.Argument(metavar="ID", help="Id or the beginning of it, or the name.")]
Members = Annotated[list[str] | None, typer.Option("--member", help="Partner that receives; repeat it for more.")]
Publishers = Annotated[
    list[str] | None, typer.Option("--publisher", help="Partner that receives and may publish; repeat it for more.")
]
HISTORIES = {"none": "none", "from-start": "from_start"}


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Name; only members see it.")],
    agreement: Annotated[str, typer.Option(help="Agreement that it rests on: id, the beginning of it, or title.")],
    member: Members = None,
    publisher: Publishers = None,
    visibility: Annotated[
        str, typer.Option(help="Who may know the members besides publishers: owner_only, count_only or members.")
    ] = "owner_only",
    category: Annotated[
        list[str] | None, typer.Option("--category", help="What it is for; left out: whatever the agreement allows.")
    ] = None,
    about: Annotated[
        list[str] | None, typer.Option("--about", help="Country that reports may be about; left out: any.")
    ] = None,
    history: Annotated[
        str, typer.Option(help="What new members may have of before: none, from-start, or a date (RFC 3339).")
    ] = "none",
    until: Annotated[str, typer.Option(help="When it ends (RFC 3339); left out: never.")] = "",
    home: NodeHome = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Make a community. Your party owns it: it alone decides who is in it, and may publish.

    Example: concord community create --name "Road watch" --agreement 3f9a1c --member XV --publisher XO
    """
    from_ms = 0 if history in HISTORIES else _date(history, "--history")
    request = community_pb2.CreateCommunityRequest(
        name=name,
        members=member or [],
        publishers=publisher or [],
        visibility=visibility,
        categories=category or [],
        about=about or [],
        valid_until_ms=_date(until, "--until") if until else 0,
        history=HISTORIES.get(history, "from_date"),
        history_from_ms=from_ms,
    )
    with connect(home) as node:
        agreements = node.ListAgreements(agreements_pb2.ListAgreementsRequest()).agreements
        request.agreement = _agreement(agreements, agreement)
        made = node.CreateCommunity(request).community
    _tell(made, as_json=as_json)


@app.command()
def add(
    community: Id,
    member: Members = None,
    publisher: Publishers = None,
    home: NodeHome = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Add members or publishers, or change what a member may do: a new epoch.

    Example: concord community add "Road watch" --member XH
    """
    if not member and not publisher:
        raise BadInput("nobody to add", hint="--member XH, or --publisher XH")
    request = community_pb2.ChangeCommunityRequest(id=community, members=member or [], publishers=publisher or [])
    with connect(home) as node:
        made = node.ChangeCommunity(request).community
    _tell(made, as_json=as_json)


@app.command()
def remove(
    community: Id,
    party: Annotated[list[str], typer.Argument(metavar="PARTY...", help="Partner to take out.")],
    home: NodeHome = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Take members out: a new epoch. This node sends them nothing more at once, and everybody from the next epoch on.

    Example: concord community remove "Road watch" XV
    """
    with connect(home) as node:
        made = node.ChangeCommunity(community_pb2.ChangeCommunityRequest(id=community, remove=party)).community
    _tell(made, as_json=as_json)


@app.command()
def end(community: Id, home: NodeHome = DEFAULT_HOME, as_json: Json = False) -> None:
    """End a community for good. What its members hold stays with them, under the same obligations.

    Example: concord community end "Road watch"
    """
    with connect(home) as node:
        made = node.EndCommunity(community_pb2.EndCommunityRequest(id=community)).community
    if as_json:
        output.as_json(plain(made))
    output.say(f"{made.name} has ended" if made.status == "ended" else f"{made.name} ends as soon as the relay hears")


@app.command("list")
def list_communities(home: NodeHome = DEFAULT_HOME, as_json: Json = False) -> None:
    """List the communities to which this node's party belongs.

    Example: concord community list
    """
    with connect(home) as node:
        found = node.ListCommunities(community_pb2.ListCommunitiesRequest()).communities
    if as_json:
        output.as_json([plain(each) for each in found])
        return
    rows = [
        (
            output.short(each.id),
            each.name,
            each.owner,
            each.status,
            str(each.epoch),
            each.role,
            str(each.members) if each.members else "hidden",
            output.when(each.valid_until_ms),
        )
        for each in found
    ]
    columns = ("community", "name", "owner", "status", "epoch", "we are", "members", "until")
    output.table(columns, rows, empty="no communities yet")
    for each in found:
        _warn(each)


@app.command()
def show(community: Id, home: NodeHome = DEFAULT_HOME, as_json: Json = False) -> None:
    """Show one community with all that this node may know: of a hidden roster that is your own place alone.

    Example: concord community show "Road watch"
    """
    with connect(home) as node:
        found = node.ShowCommunity(community_pb2.ShowCommunityRequest(id=community)).community
    if as_json:
        output.as_json(plain(found))
        return
    output.fields(
        {
            "community": found.id,
            "name": found.name,
            "owner": found.owner,
            "status": _STATUS.get(found.status, found.status),
            "epoch": f"{found.epoch}, from directory entry {found.shown_at - 1} on" if found.shown_at else "not shown",
            "rests on": found.agreement,
            "roster": found.visibility,
            "members": str(found.members) if found.members else "hidden",
            "may publish": ", ".join(found.publishers),
            "categories": ", ".join(found.categories) or "as the agreement says",
            "about": ", ".join(found.about) or "any place",
            "until": output.when(found.valid_until_ms),
            "new members get": _history(found),
        }
    )
    rows = [(each.party, each.role, str(each.since_epoch), each.status) for each in found.roster]
    output.data("")
    output.table(("member", "may", "since epoch", "status"), rows)
    _warn(found)


_STATUS = {
    "pending": "pending: the directory does not show it yet",
    "ended": "ended; for members that were removed it looks the same",
    "lapsed": "lapsed: its date is past",
    "stopped": "stopped: its owner is suspended or expelled",
}


def _history(found: community_pb2.Community) -> str:
    if found.history == "from_date":
        return f"what was written since {output.when(found.history_from_ms)}"
    return "everything that is current" if found.history == "from_start" else "nothing from before"


def _tell(made: community_pb2.Community, *, as_json: bool) -> None:
    if as_json:
        output.as_json(plain(made))
    else:
        output.data(made.id)
    if made.epoch == made.newest_epoch and made.status == "active":
        output.say(f"{made.name}: epoch {made.epoch} holds from directory entry {made.shown_at - 1} on")
    _warn(made)


def _warn(found: community_pb2.Community) -> None:
    for warning in found.warnings:
        output.say(f"{found.name}: {warning}")


def _date(text: str, option: str) -> int:
    try:
        return instant(node_of(text, error=BadInput, path=option))
    except BadInput as error:
        raise typer.BadParameter(f"{text!r} is not a time, as in 2026-01-31T12:00:00Z", param_hint=option) from error


def _agreement(agreements: Sequence[agreements_pb2.AgreementSummary], text: str) -> str:
    begins = text.lower() if len(text) >= ID_LEAST else None
    found = {each.id for each in agreements if each.title == text or (begins and each.id.startswith(begins))}
    if len(found) > 1:
        raise Conflict(f"{text[:80]!r} names several agreements", hint="give more of the id")
    if not found:
        raise NotFound(f"no agreement {text[:80]!r}", hint="concord agreement list")
    return str(found.pop())
