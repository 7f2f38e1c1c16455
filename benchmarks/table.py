"""One line of figures, and how lines of several benchmarks stand below each other."""

from collections.abc import Iterable
from dataclasses import dataclass

COLUMNS = ("what", "figure", "must", "goal", "held", "beside it, in the same run")

GOAL, MUST, MISSED = "goal", "must", "no"
"""What a figure holds."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure."""

    what: str
    figure: str
    must: str = ""
    goal: str = ""
    beside: str = ""
    """The ceiling or peer of the same run, which makes the figure comparable between machines."""
    held: str = ""
    """As at_least or at_most say; empty where nothing is asked."""


def at_least(value: float, must: float, goal: float | None = None) -> str:
    """Say what a figure holds of which more is better; without a goal, what must be is the goal."""
    return GOAL if value >= (must if goal is None else goal) else MUST if value >= must else MISSED


def at_most(value: float, must: float, goal: float | None = None) -> str:
    """Say what a figure holds of which less is better."""
    return at_least(-value, -must, None if goal is None else -goal)


def show(lines: Iterable[Line]) -> None:
    """Print lines as a table."""
    rows = [COLUMNS, *((each.what, each.figure, each.must, each.goal, each.held, each.beside) for each in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
