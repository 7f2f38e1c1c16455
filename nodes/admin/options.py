"""Options that several commands share, so that one thing has one name everywhere."""

from pathlib import Path
from typing import Annotated

import typer

HOME_VARIABLE = "CONCORD_HOME"

NodeHome = Annotated[
    Path,
    typer.Option("--home", envvar=HOME_VARIABLE, help="The node's home directory.", show_default=True),
]
DEFAULT_HOME = Path("~/.concord/node").expanduser()

Json = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Accept = Annotated[
    list[str] | None,
    typer.Option(
        "--accept",
        metavar="CODE:PARTNERS",
        help="Accept this unusual thing for these partners without being asked; repeat it for more.",
    ),
]

PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="Read the passphrase from this file (mode 0600) or systemd credential."),
]
PassphraseFd = Annotated[
    int | None,
    typer.Option("--passphrase-fd", help="Read the passphrase from this open file descriptor."),
]
