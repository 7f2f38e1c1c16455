"""`concord key`: the keys of this node and how long they hold. Secrets are never shown."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from nodes.admin import output
from nodes.admin.drafting import Out, write_draft
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome
from nodes.admin.plain import plain
from nodes.node_client import connect
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.statement_pb2 import DraftStatementRequest

app = typer.Typer(help="The keys of this node and how long they hold.", no_args_is_help=True)


@app.callback()
def key() -> None:
    """Keep `key` a noun with verbs."""


@app.command("list")
def list_keys(home: NodeHome = DEFAULT_HOME, as_json: Json = False) -> None:
    """List this node's keys.

    Example: concord key list
    """
    with connect(home) as node:
        keys = node.ListKeys(pb.ListKeysRequest()).keys
    if as_json:
        output.as_json([plain(k) for k in keys])
        return
    rows = [
        (k.use, k.algorithm, output.short(k.id), output.when(k.not_before_ms), output.when(k.not_after_ms), k.status)
        for k in keys
    ]
    output.table(("use", "algorithm", "id", "from", "until", "status"), rows, empty="no keys")


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
    certifies a new one. What was accepted before stays valid.

    Example: concord key revoke statement --party XT --reason compromised --out XT.revocation
    """
    since_ms = round(since.replace(tzinfo=UTC).timestamp() * 1000) if since else 0
    request = DraftStatementRequest(deed="revoke", party=party, key=key, reason=reason, compromised_since_ms=since_ms)
    write_draft(request, out, home)
    output.say(f"let it be signed: concord root sign {out}; then: concord partner publish {out}.signed")
