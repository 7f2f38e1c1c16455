"""Show tables again and again until Ctrl-C: in place on a terminal, one group of lines an interval elsewhere.

Ctrl-C is how a person stops looking: it is no failure. What cannot be asked any more is one, and ends it.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

INTERVAL_S = 2.0
INTERVAL_LEAST_S = 0.2
INTERVAL_MOST_S = 3600.0


@dataclass(frozen=True, slots=True)
class Shown:
    """One table, of text that may stand on a terminal."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def watch(look: Callable[[], Sequence[Shown]], *, interval_s: float) -> None:
    """Show what `look` returns, every `interval_s` seconds, until Ctrl-C."""
    try:
        if sys.stdout.isatty():
            _in_place(look, interval_s)
        else:
            _line_by_line(look, interval_s)
    except KeyboardInterrupt:
        return


def _in_place(look: Callable[[], Sequence[Shown]], interval_s: float) -> None:
    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            live.update(Group(*map(_table, look())), refresh=True)
            time.sleep(interval_s)


def _line_by_line(look: Callable[[], Sequence[Shown]], interval_s: float) -> None:
    while True:
        print("\n\n".join(map(_plain, look())), end="\n\n", flush=True)
        time.sleep(interval_s)


def _table(shown: Shown) -> Table:
    made = Table(title=escape(shown.title), title_justify="left", header_style="bold")
    for name in shown.columns:
        made.add_column(name, overflow="fold")
    for row in shown.rows:
        made.add_row(*map(escape, row))
    return made


def _plain(shown: Shown) -> str:
    lines = [shown.columns, *shown.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
    return "\n".join([shown.title, *text])
