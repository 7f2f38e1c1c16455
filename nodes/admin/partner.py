"""`concord partner`: who is in the exchange, as the directory knows it."""

from pathlib import Path
from typing import Annotated

import typer

from exchange.crypto.codec import encode_signed
from exchange.errors import NotFound
from nodes.admin import output
from nodes.admin.drafting import Out, write_draft
from nodes.admin.heard import ask_fingerprint
from nodes.admin.holdings import holdings_view
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome, Yes
from nodes.admin.plain import plain
from nodes.expulsion_file import HELD_MOST, write_expulsion
from nodes.node_client import connect
from nodes.reportfile import naming
from nodes.root_home import check_free_file, read_text, write_file
from nodes.spoken import without_ends
from nodes.statement_file import read_statement
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.expulsion_pb2 import RecallHoldingsRequest, ShowHoldingsRequest
from nodes.v1.statement_pb2 import DraftStatementRequest, PublishStatementRequest

app = typer.Typer(help="Who is in the exchange, as the directory knows it.", no_args_is_help=True)

PartyArgument = Annotated[str, typer.Argument(metavar="PARTY", help="Partner id, as in XV.")]


@app.command("list")
def list_partners(home: NodeHome = DEFAULT_HOME, as_json: Json = False) -> None:
    """List the partners with their standing.

    Example: concord partner list
    """
    partners = _partners(home)
    if as_json:
        output.as_json([plain(p) for p in partners])
        return
    rows = [
        (
            f"{p.party}{' (this node)' if p.self else ''}",
            p.display_name,
            p.country,
            p.status,
            p.ceiling.upper() or "-",
            "" if p.self else "compared" if p.verified_ms else "not compared",
        )
        for p in partners
    ]
    output.table(("partner", "name", "country", "standing", "ceiling", "fingerprint"), rows, empty="no partners yet")


@app.command()
def show(party: PartyArgument, home: NodeHome = DEFAULT_HOME, as_json: Json = False) -> None:
    """Show one partner: standing, keys, prekeys, and what it says of its readers.

    Example: concord partner show XV
    """
    found = _one(party, home)
    if as_json:
        output.as_json(plain(found))
        return
    output.fields(
        {
            "partner": found.party,
            "name": found.display_name,
            "country": found.country,
            "standing": found.status,
            "ceiling": f"TLP:{found.ceiling.upper()}",
            "fingerprint": found.fingerprint,
            **_compared(found),
            "root key": found.root_key_id,
            "statement key": found.statement_key_id or "none",
            "envelope key": found.envelope_key_id or "none",
            "prekeys": f"{found.prekey_days} days from today",
            "admitted": f"directory entry {found.admitted_at - 1}" if found.admitted_at else "not yet",
            **_readers(found),
        }
    )


def _compared(found: pb.Partner) -> dict[str, str]:
    if found.self:
        return {}
    if not found.verified_ms:
        return {"compared": f"not yet: concord partner verify {found.party}"}
    return {"compared": f"{output.when(found.verified_ms)} by {found.verified_by}"}


def _readers(found: pb.Partner) -> dict[str, str]:
    if not found.HasField("readers"):
        return {"readers": "it has said nothing of its readers"}
    told = found.readers
    scales = "; ".join(f"{scale.name}: {' < '.join(scale.levels)}" for scale in told.scales)
    return {
        "clearances": scales or "none",
        "attributes": ", ".join(told.attributes) or "none",
        "readers": f"each counts for {told.max_age_days} days; said {output.when(told.at_ms)}",
    }


@app.command()
def fingerprint(party: PartyArgument, home: NodeHome = DEFAULT_HOME, as_json: Json = False) -> None:
    """Print the fingerprint of a partner's root, to compare by voice or in person.

    Example: concord partner fingerprint XV
    """
    found = _one(party, home)
    if as_json:
        output.as_json({"party": found.party, "fingerprint": found.fingerprint})
        return
    output.data(found.fingerprint)
    output.say("read it to the other side; every group must match what they see with the same command")


@app.command()
def verify(
    party: PartyArgument,
    home: NodeHome = DEFAULT_HOME,
    fingerprint: Annotated[str, typer.Option(help="The other side's fingerprint, all of it: do not ask.")] = "",
) -> None:
    """Compare a partner's fingerprint by voice or in person, and note that it was compared.

    It counts for the root that the partner has now; a new root must be compared again.

    Example: concord partner verify XV
    """
    found = _one(party, home)
    output.say(f"{found.party}  {found.display_name}\n  fingerprint  {without_ends(found.fingerprint)}")
    request = pb.VerifyPartnerRequest(party=party, read_out=fingerprint or ask_fingerprint())
    with connect(home) as node:
        verified = node.VerifyPartner(request).partner
    output.say(f"noted: the fingerprint of {verified.party} was compared")


@app.command()
def suspend(
    party: PartyArgument,
    out: Out,
    home: NodeHome = DEFAULT_HOME,
    lift: Annotated[bool, typer.Option("--lift", help="End a suspension.")] = False,
) -> None:
    """Draft a partner's suspension for the council to sign. A suspended partner gets retractions and sends receipts.

    Nothing changes before the council's roots have signed it and a node has published it.

    Example: concord partner suspend XT --out XT.suspension
    """
    _draft(DraftStatementRequest(deed="lift" if lift else "suspend", party=party), out, home)


@app.command()
def holdings(party: PartyArgument, home: NodeHome = DEFAULT_HOME, as_json: Json = False) -> None:
    """Show what a partner holds of this party's reports and under which duties, also of one that is expelled.

    Example: concord partner holdings XT
    """
    with connect(home) as node:
        found = node.ShowHoldings(ShowHoldingsRequest(party=party))
    if as_json:
        output.as_json(plain(found))
        return
    holdings_view(party, found)


@app.command()
def expel(
    party: PartyArgument,
    out: Out,
    home: NodeHome = DEFAULT_HOME,
    recall: Annotated[
        bool, typer.Option("--recall/--no-recall", help="First ask it to destroy what agreements say must go.")
    ] = True,
    yes: Yes = False,
) -> None:
    """Draft a partner's expulsion for the council's roots (root expel). It is for good: the id is never used again.

    Shows first what it holds of this party, then asks it to destroy what the agreements say must go: an expelled
    partner hears nothing any more. Nothing else changes before the council's roots have signed and it is published.
    The file says what it holds, for whoever signs on a machine without network.

    Example: concord partner expel XT --out XT.expulsion
    """
    check_free_file(out)
    with connect(home) as node:
        found = node.ShowHoldings(ShowHoldingsRequest(party=party))
        holdings_view(party, found, to_stderr=True)
        output.ask(f"Draft the expulsion of {party}, for good?", yes=yes, refusal="nothing was drafted")
        if recall and found.status != "expelled":
            asked = node.RecallHoldings(RecallHoldingsRequest(party=party)).asked
            output.say(
                f"asked {party} to destroy {asked} reports: concord partner holdings {party} shows what it confirms"
            )
        drafted = node.DraftStatement(DraftStatementRequest(deed="expel", party=party))
        held = node.ShowHoldings(ShowHoldingsRequest(party=party))
    del held.held[HELD_MOST:]
    write_file(out, write_expulsion(drafted.payload, held.SerializeToString()), secret=False)
    output.data(str(out))
    output.say(f"let the council sign it: concord root expel {out}")
    output.say(f"wait for {party}'s confirmations first: while it is suspended it still gets retractions")


@app.command()
def publish(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Signed statement.")],
    home: NodeHome = DEFAULT_HOME,
) -> None:
    """Hand a signed suspension, expulsion or revocation to the relay. Repeating it is safe.

    Example: concord partner publish XT.suspension.signed
    """
    with naming(file):
        statement = encode_signed(read_statement(read_text(file)))
    with connect(home) as node:
        index = node.PublishStatement(PublishStatementRequest(statement=statement)).index
    output.data(str(index))
    output.say(f"it stands: entry {index} of the directory; every node that is connected knows it within seconds")


def _draft(request: DraftStatementRequest, out: Path, home: Path) -> None:
    write_draft(request, out, home)
    output.say(f"let the council sign it: concord root sign {out}")


def _partners(home: NodeHome) -> list[pb.Partner]:
    with connect(home) as node:
        return list(node.ListPartners(pb.ListPartnersRequest()).partners)


def _one(party: str, home: NodeHome) -> pb.Partner:
    for found in _partners(home):
        if found.party == party:
            return found
    raise NotFound(f"no partner {party[:80]!r}", hint="concord partner list")
