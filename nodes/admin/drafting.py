"""Write a statement that the node drafted into a file for a root to sign."""

from pathlib import Path
from typing import Annotated

import typer

from nodes.admin import output
from nodes.node_client import connect
from nodes.root_home import check_free_file, write_file
from nodes.statement_file import write_request
from nodes.v1.statement_pb2 import DraftStatementRequest

Out = Annotated[Path, typer.Option("--out", help="Where to write the statement for the roots to sign.")]


def write_draft(request: DraftStatementRequest, out: Path, home: Path) -> None:
    """Let the node draft it, and write it to a new file."""
    check_free_file(out)
    with connect(home) as node:
        drafted = node.DraftStatement(request)
    write_file(out, write_request(drafted.type, drafted.payload), secret=False)
    output.data(str(out))
