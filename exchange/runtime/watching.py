"""Show how a process is, again and again until Ctrl-C: in place on a terminal, a group of lines or an object elsewhere.

Ctrl-C is how a person stops looking: it is no failure. Nor is it when what is watched is away, once it was there: that
is what somebody watches for. It is said since when, and looked for again. Who is not there at the first look is an
error, as with a command that asks once.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

import orjson
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from exchange.errors import Unavailable
from exchange.runtime.clock import now_ms

INTERVAL_S = 2.0
INTERVAL_LEAST_S = 0.2
INTERVAL_MOST_S = 3600.0

CELL_LEAST = 12
"""A column that has less than this, and less than its longest word, is not readable."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shown:
    """One table, of text that may stand on a terminal; what matters most stands first."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Away:
    """What is watched does not answer."""

    since_ms: int
    reason: str
    detail: str

    @property
    def words(self) -> str:
        """For people."""
        since = datetime.fromtimestamp(self.since_ms / 1000, UTC).strftime("%H:%M:%S")
        return f"no answer since {since} UTC: {self.detail}; it is asked again"


def watch(look: Callable[[], Sequence[Shown]], *, interval_s: float) -> None:
    """Show what `look` returns, every `interval_s` seconds, until Ctrl-C.

    Raises:
        Unavailable: at the first look there is nobody.
        ExchangeError: what else stands against looking.
    """
    try:
        if sys.stdout.isatty():
            _in_place(look, interval_s)
        else:
            _line_by_line(look, interval_s)
    except KeyboardInterrupt:
        return


def watch_json(look: Callable[[], Mapping[str, object]], *, interval_s: float) -> None:
    """Write what `look` returns as one JSON object a line, with `at_ms`; raises as `watch`.

    While there is no answer the object has `away` in the place of the rest.
    """
    try:
        for found in _looks(look, interval_s):
            fields = {"away": asdict(found)} if isinstance(found, Away) else found
            print(orjson.dumps({"at_ms": now_ms(), **fields}).decode(), flush=True)
    except KeyboardInterrupt:
        return


def _looks(look: Callable[[], T], interval_s: float) -> Iterator[T | Away]:
    """Yield what is found, or since when nobody answers."""
    yield look()
    away: Away | None = None
    while True:
        time.sleep(interval_s)
        try:
            found = look()
        except Unavailable as error:
            away = away or Away(now_ms(), error.reason, str(error))
            yield away
        else:
            away = None
            yield found


def _in_place(look: Callable[[], Sequence[Shown]], interval_s: float) -> None:
    tables: Sequence[Shown] = ()
    console = Console()
    with Live(console=console, auto_refresh=False) as live:
        for found in _looks(look, interval_s):
            words = [Text(found.words, style="bold")] if isinstance(found, Away) else []
            tables = tables if isinstance(found, Away) else found
            live.update(_fitted(words, tables, console), refresh=True)


def _line_by_line(look: Callable[[], Sequence[Shown]], interval_s: float) -> None:
    told = False
    for found in _looks(look, interval_s):
        if not isinstance(found, Away):
            print("\n\n".join(map(_plain, found)), end="\n\n", flush=True)
        elif not told:
            # Once: who reads a pipe reads all of it.
            print(found.words, end="\n\n", flush=True)
        told = isinstance(found, Away)


# -- on a terminal -----------------------------------------------------------------------------------------------------


def _fitted(words: Sequence[Text], tables: Sequence[Shown], console: Console) -> Group:
    """Return what fits on the terminal: of what is too long the last rows go, and their number is said."""
    kept = [len(shown.rows) for shown in tables]
    while True:
        group = Group(*words, *(_drawn(shown, rows, console) for shown, rows in zip(tables, kept, strict=True)))
        height = len(console.render_lines(group, pad=False))
        longest = max(range(len(kept)), key=kept.__getitem__, default=None)
        if height < console.height or longest is None or kept[longest] <= 1:
            return group
        kept[longest] -= max(1, min(kept[longest] - 1, (height - console.height) // 4))


def _drawn(shown: Shown, rows: int, console: Console) -> RenderableType:
    more = len(shown.rows) - rows
    title = f"{shown.title} (and {more:,} more)" if more else shown.title
    shown = replace(shown, title=title, rows=shown.rows[:rows])
    return _table(shown) if _width(shown) <= console.width else _records(shown)


def _width(shown: Shown) -> int:
    """Return how wide a table must be to be read."""
    widths = []
    for column, name in enumerate(shown.columns):
        words = [word for row in (shown.columns, *shown.rows) for word in row[column].split()]
        widths.append(max(len(name.split(" ")[0]), min(CELL_LEAST, max(map(len, words), default=0))) + 3)
    return sum(widths) + 1


def _table(shown: Shown) -> Table:
    made = Table(title=escape(shown.title), title_justify="left", header_style="bold")
    for name in shown.columns:
        made.add_column(name, overflow="fold")
    for row in shown.rows:
        made.add_row(*map(escape, row))
    return made


def _records(shown: Shown) -> Text:
    """Return a table for a narrow terminal: each row by itself, its cells with their names."""
    made = Text(f"{shown.title}\n", overflow="fold")
    for first, *rest in shown.rows:
        cells = (f"{name} {cell}" for name, cell in zip(shown.columns[1:], rest, strict=True))
        made.append(first, style="bold").append(f": {', '.join(cells)}\n")
    return made


# -- elsewhere ---------------------------------------------------------------------------------------------------------


def _plain(shown: Shown) -> str:
    lines = [shown.columns, *shown.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
    return "\n".join([shown.title, *text])
