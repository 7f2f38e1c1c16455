"""How the commands speak: data on stdout, words on stderr, `--json` for machines.

Tables are Rich tables when stdout is a terminal and plain aligned columns when it is not, so that pipes stay readable.
Text from reports is shown with control characters made visible: a report must not be able to drive the terminal.
"""

import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from exchange.errors import BadInput, NotAllowed
from exchange.runtime.progress import bar as progress_bar

KEEP = {"\n", "\t", "\u200c", "\u200d"}
"""Control and format characters that text needs: line ends, and the joiners of Arabic and Indic scripts."""


def printable(text: str) -> str:
    """Return `text` with every other control or format character replaced by its escape.

    Bidirectional overrides are format characters too: what is shown is in the order in which it was written.
    """
    return "".join(c if c in KEEP or unicodedata.category(c) not in ("Cc", "Cf") else f"\\u{ord(c):04x}" for c in text)


def say(words: str) -> None:
    """Tell a person something, on stderr."""
    print(printable(words), file=sys.stderr)


def complain(what: str, *, place: str = "", hint: str = "") -> None:
    """Tell a person what went wrong, where, and what to do."""
    say(f"error: {f'{place}: ' if place else ''}{what}")
    if hint:
        say(f"hint: {hint}")


def can_ask() -> bool:
    """Say whether somebody is there to be asked."""
    return sys.stdin.isatty()


def ask(question: str, *, yes: bool, refusal: str) -> None:
    """Ask on the terminal, and go on only with a yes.

    Raises:
        BadInput: nobody is there to ask.
        NotAllowed: the answer was no; `refusal` says what was not done.
    """
    if yes:
        return
    if not can_ask():
        raise BadInput("nobody is there to ask", hint="add --yes to go on without asking")
    if not typer.confirm(question, err=True):
        raise NotAllowed(refusal)


def data(text: str) -> None:
    """Write data to stdout."""
    print(text)


def as_json(value: Any) -> None:
    """Write `value` as JSON to stdout."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    empty: str = "nothing",
    to_stderr: bool = False,
) -> None:
    """Write rows as a table, to stdout unless they only accompany a question; say `empty` when there are none."""
    shown = [[printable(cell) for cell in row] for row in rows]
    if not shown:
        say(empty)
        return
    stream = sys.stderr if to_stderr else sys.stdout
    if stream.isatty():
        made = Table(title=title or None, title_justify="left", header_style="bold")
        for place, name in enumerate(columns):
            # The first names the row in other commands; no cell may lose a part of its text.
            made.add_column(name, no_wrap=place == 0, overflow="fold")
        for row in shown:
            made.add_row(*(escape(cell) for cell in row))
        Console(file=stream).print(made)
        return
    widths = [max(len(row[i]) for row in [list(columns), *shown]) for i in range(len(columns))]
    for row in [list(columns), *shown]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), file=stream)


def fields(pairs: Mapping[str, str]) -> None:
    """Write named values to stdout, one a line."""
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        print(f"{name.ljust(width)}  {printable(value)}")


def when(at_ms: int) -> str:
    """Return a moment in UTC for people; `-` for none."""
    if not at_ms:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def age(at_ms: int, now_ms: int) -> str:
    """Return how long ago a moment was, in its two largest units; a clock that is behind makes it nothing."""
    seconds = max(0, now_ms - at_ms) // 1000
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def short(identifier: str) -> str:
    """Return the first 12 characters of an item or key id: enough to name it in a command."""
    return identifier[:12]


def size(count: int) -> str:
    """Return a number of bytes for people."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many bytes of a long step are done (exchange/runtime/progress.py)."""
    with progress_bar(printable(what), total) as advance:
        yield advance


def progress(what: str, done: int, total: int) -> None:
    """Show how far a long step has come, on one line of the terminal; nothing when stderr is not one."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what}: {done:,} of {total:,}", end="\n" if done >= total else "", file=sys.stderr, flush=True)
