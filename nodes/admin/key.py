"""`concord key`: keys of this node and of partners, how long they hold, and how others take their place."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from exchange.crypto.codec import encode_signed
from exchange.errors import BadInput
from exchange.runtime.relay_info import read_root_file
from nodes.admin import output
from nodes.admin.drafting import Out, write_draft
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome
from nodes.admin.plain import plain
from nodes.node_client import connect
from nodes.reportfile import naming
from nodes.root_home import read_text
from nodes.statement_file import read_statement
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.statement_pb2 import DraftStatementRequest, PublishStatementRequest

app = typer.Typer(
    help="Keys of this node and of partners, how long they hold, and how others take their place.", no_args_is_help=True
)

Partner = Annotated[str, typer.Option("--partner", help="A partner, as in XT; this node when left out.")]


@app.callback()
def key() -> None:
    """Keep `key` a noun with verbs."""


@app.command("list")
def list_keys(home: NodeHome = DEFAULT_HOME, partner: Partner = "", as_json: Json = False) -> None:
    """List this node's keys, or a partner's as the directory shows them. Secrets are never shown.

    Example: concord key list --partner XT
    """
    with connect(home) as node:
        keys = node.ListKeys(pb.ListKeysRequest(party=partner)).keys
    if as_json:
        output.as_json([plain(k) for k in keys])
        return
    rows = [
        (k.use, k.algorithm, output.short(k.id), output.when(k.not_before_ms), output.when(k.not_after_ms), _state(k))
        for k in keys
    ]
    output.table(("use", "algorithm", "id", "from", "until", "state"), rows, empty="no keys")


def _state(key: pb.Key) -> str:
    if not key.revoked_for:
        return key.status
    suspect = f", suspect since {output.when(key.suspect_since_ms)}" if key.suspect_since_ms else ""
    return f"{key.status}: {key.revoked_for}{suspect}"


@app.command()
def rotate(
    home: NodeHome = DEFAULT_HOME,
    out: Annotated[Path | None, typer.Option("--out", help="Where to write the request for the party's root.")] = None,
    finish: Annotated[Path | None, typer.Option("--finish", help="What the root made of the request.")] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=3650, help="How long the new keys are to hold; a year.")
    ] = None,
) -> None:
    """Put new statement and envelope keys in the place of this node's, while it runs.

    First --out: the node makes the keys and writes a request for the party's root. Then --finish with what the root
    signed: the keys are published and used from then on. The old ones are accepted for 30 days more. Both steps may be
    repeated.

    Example: concord key rotate --out xa.rotation; concord root sign xa.rotation; concord key rotate --finish
    xa.rotation.signed
    """
    if (out is None) == (finish is None):
        raise BadInput("give either --out or --finish", hint="--out FILE begins a rotation, --finish FILE ends it")
    if out is not None:
        write_draft(DraftStatementRequest(deed="rotate", days=days or 0), out, home)
        output.say(f"let your root sign it: concord root sign {out}; then: concord key rotate --finish {out}.signed")
        return
    if finish is not None:
        with naming(finish):
            statement = encode_signed(read_statement(read_text(finish)))
        with connect(home) as node:
            index = node.PublishStatement(PublishStatementRequest(statement=statement)).index
        output.data(str(index))
        output.say(f"certified by entry {index} of the directory; the node uses the new keys within seconds")


@app.command()
def rollover(
    root: Annotated[Path, typer.Option("--root", help="root.pub of the new root.")],
    out: Out,
    lost: Annotated[
        str, typer.Option("--lost", metavar="PARTY", help="The partner that lost its root: the council is to sign.")
    ] = "",
    home: NodeHome = DEFAULT_HOME,
) -> None:
    """Draft another root for this party; both its roots sign.

    With --lost PARTY the old root is lost, and two thirds of the council sign, after meeting the party
    in person; the new root signs, too. It counts a week later, so that 72 hours are left to object.

    Example: concord key rollover --root new-root/root.pub --out xa.rollover
    """
    with naming(root):
        new = read_root_file(read_text(root))
    with connect(home) as node:
        party = lost or node.GetStatus(pb.GetStatusRequest()).party
    if new.party != party:
        raise BadInput(f"{root} is a root of {new.party}, not of {party}")
    write_draft(DraftStatementRequest(deed="rollover", party=party, root=new.root.raw, lost=bool(lost)), out, home)
    who = "enough of the council" if lost else "the old root"
    output.say(f"let the new root sign it, then {who}: concord root sign {out}; at last: concord partner publish FILE")


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="statement, envelope, transport, or a key's whole id.")],
    party: Annotated[str, typer.Option("--party", help="Partner whose key it is, as in XT.")],
    reason: Annotated[str, typer.Option("--reason", help="superseded, compromised or lost.")],
    out: Out,
    since: Annotated[
        datetime | None, typer.Option("--since", help="Since when a compromised key is suspect, UTC; now if left out.")
    ] = None,
    home: NodeHome = DEFAULT_HOME,
) -> None:
    """Draft the end of a key for a root to sign: this party's own root, or for another partner's key the council.

    With a statement key fall the transport CAs and prekeys that it signed: its node is cut off until the party's root
    certifies a new one (concord key rotate, which works while a node is cut off). What was accepted before stays valid.

    Example: concord key revoke statement --party XT --reason compromised --out XT.revocation
    """
    since_ms = round(since.replace(tzinfo=UTC).timestamp() * 1000) if since else 0
    request = DraftStatementRequest(deed="revoke", party=party, key=key, reason=reason, compromised_since_ms=since_ms)
    write_draft(request, out, home)
    output.say(f"let it be signed: concord root sign {out}; then: concord partner publish {out}.signed")
