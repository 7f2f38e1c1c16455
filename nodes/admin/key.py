"""`concord key`: the keys of this node and how long they hold. Secrets are never shown."""

import typer

from nodes.admin import output
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome
from nodes.admin.plain import plain
from nodes.node_client import connect
from nodes.v1 import node_service_pb2 as pb

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
