"""A page of the docs as a list of steps: what somebody runs, and what the page shows of what then appears.

A block's first word is its language. After `sh` stand the name of whose terminal it is, `settle` when what it shows
comes by itself in a moment, and its exit code when that is not 0. A block without a language shows a part of the screen
of the one before, line by line in its order: `…` stands for whatever is there, and an id that the page shows for the
first time stands for the one that came.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

BLOCK = re.compile(r"^```(?P<head>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
ID = re.compile(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{6}\b")
SETTLE = "settle"


@dataclass(frozen=True, slots=True)
class Step:
    """One block of a page."""

    language: str
    words: tuple[str, ...]
    text: str
    shown: tuple[str, ...] = ()

    @property
    def code(self) -> int:
        """The exit code that the page promises."""
        return next((int(word) for word in self.words if word.isdigit()), 0)

    @property
    def settles(self) -> bool:
        """Whether what it shows comes by itself."""
        return SETTLE in self.words

    @property
    def who(self) -> str:
        """Whose terminal it is."""
        return next(word for word in self.words if word != SETTLE and not word.isdigit())


def steps(page: Path) -> Iterator[Step]:
    """Yield the steps of a page, each with what the page shows of it."""
    waiting: Step | None = None
    for found in BLOCK.finditer(page.read_text()):
        language, *words = found["head"].split() or [""]
        if language == "":
            assert waiting is not None, f"{page.name} shows what nothing made: {found['text']}"
            yield replace(waiting, shown=tuple(line for line in found["text"].splitlines() if line.strip()))
            waiting = None
            continue
        if waiting is not None:
            yield waiting
        waiting = Step(language, tuple(words), found["text"])
    if waiting is not None:
        yield waiting


def missing(shown: Sequence[str], screen: str, ids: dict[str, str]) -> str:
    """Return the first line that the page shows and the screen does not, empty for none; learn the ids that came."""
    lines = iter(screen.splitlines())
    for line in shown:
        if not any(_learn(line, each, ids) for each in lines):
            return line
    return ""


def with_ids(script: str, ids: dict[str, str]) -> str:
    """Return a script with the ids that came in place of those that the page shows."""
    return ID.sub(lambda found: ids.get(found[0], found[0]), script)


def _learn(shown: str, line: str, ids: dict[str, str]) -> bool:
    pattern = re.sub(r"(?:\\\s|\s)+", r"\\s+", re.escape(shown.strip())).replace("…", ".*")
    new: list[str] = []

    def of_id(found: re.Match[str]) -> str:
        if found[0] in ids:
            return f"{ids[found[0]][:6]}[0-9a-f]*"
        new.append(found[0])
        return f"(?P<x{found[0]}>[0-9a-f]{{6,64}})"

    matched = re.fullmatch(ID.sub(of_id, pattern), line.strip())
    if matched is None:
        return False
    ids.update({name: matched[f"x{name}"][:12] for name in new})
    return True
