"""One line of figures, and how lines of several benchmarks stand below each other."""

from collections.abc import Iterable
from dataclasses import dataclass

COLUMNS = ("what", "figure", "must", "goal", "beside it, in the same run")


@dataclass(frozen=True, slots=True)
class Line:
    """One figure."""

    what: str
    figure: str
    must: str = ""
    goal: str = ""
    beside: str = ""
    """The ceiling or peer of the same run, which makes the figure comparable between machines."""


def show(lines: Iterable[Line]) -> None:
    """Print lines as a table."""
    rows = [COLUMNS, *((each.what, each.figure, each.must, each.goal, each.beside) for each in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
