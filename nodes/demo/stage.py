"""What the audience sees: the story line by line, and below it the partners as they are now.

On a terminal the partners stay in view and are updated in place; in a pipe only the story is written.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.rule import Rule
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from nodes.admin.output import printable
from nodes.demo.cast import Player


@dataclass(frozen=True, slots=True)
class Proven:
    """One thing that was shown, and by what."""

    claim: str
    evidence: str


@dataclass(slots=True)
class Line:
    """What is shown of one partner."""

    player: Player
    state: str = "-"
    sent: int = 0
    received: int = 0
    receipts: int = 0


@dataclass(slots=True)
class Stage:
    """The screen. Use it as a context manager."""

    players: Sequence[Player]
    console: Console = field(default_factory=Console)
    lines: dict[str, Line] = field(default_factory=dict)
    doing: str = ""
    live: Live | None = None
    asked_to_stop: bool = False

    def __enter__(self) -> Self:
        """Begin to draw."""
        self.lines = {player.party: Line(player) for player in self.players}
        if self.console.is_terminal:
            self.live = Live(self, console=self.console, refresh_per_second=8, transient=True)
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing; the story stays."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def __rich__(self) -> RenderableType:
        """Draw the partners and what is being done."""
        table = Table(header_style="bold", expand=False)
        for column in ("partner", "agency", "ceiling", "state", "sent", "received", "receipts"):
            table.add_column(column, justify="right" if column in ("sent", "received", "receipts") else "left")
        for line in self.lines.values():
            table.add_row(
                line.player.party,
                line.player.name,
                f"TLP:{line.player.ceiling.upper()}",
                line.state,
                str(line.sent),
                str(line.received),
                str(line.receipts),
            )
        spinner = Spinner("dots", Text(f" {self.doing}")) if self.doing else Text("")
        return Group(table, spinner)

    def stop(self) -> None:
        """Ask for the end. A KeyboardInterrupt alone can be lost: within a callback of a library Python ignores it."""
        self.asked_to_stop = True
        raise KeyboardInterrupt

    def go_on(self) -> None:
        """Go on, or raise KeyboardInterrupt when the end was asked for."""
        if self.asked_to_stop:
            raise KeyboardInterrupt

    def act(self, title: str) -> None:
        """Begin a new part of the story."""
        self.console.print(Rule(title, align="left", style="bold"))

    def tell(self, words: str, *, mark: str = " ") -> None:
        """Add a line to the story."""
        self.console.print(f"{mark} {printable(words)}", highlight=False, markup=False)

    @contextmanager
    def step(self, doing: str) -> Iterator[None]:
        """Show what is being done, then that it is done and how long it took."""
        self.go_on()
        self.doing = doing
        start = time.monotonic()
        try:
            yield
        except BaseException:
            self.tell(doing, mark="✗")
            raise
        finally:
            self.doing = ""
        self.go_on()
        self.tell(f"{doing} ({time.monotonic() - start:.1f} s)", mark="✓")

    def rows(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
        """Show a table within the story."""
        table = Table(*columns, title=title or None, title_justify="left", header_style="bold")
        for row in rows:
            table.add_row(*(escape(printable(cell)) for cell in row))
        self.console.print(table)
