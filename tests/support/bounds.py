"""Find what grows in memory, and what a page of the docs says of its bound."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

EMPTY = {"dict", "set", "list", "deque", "OrderedDict", "Counter", "defaultdict", "Queue", "SimpleQueue"}
"""What is called to make a container that grows."""


def growing(tree: ast.Module) -> Iterator[str]:
    """Yield `Class.attribute` for each attribute that a class begins as an empty container."""
    for made in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for node in ast.walk(made):
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                own = isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name)
                if own and isinstance(target, ast.Attribute) and _grows(node.value):
                    yield f"{made.name}.{target.attr.lstrip('_')}"


def _grows(value: ast.expr) -> bool:
    match value:
        case ast.Dict(keys=[]) | ast.List(elts=[]):
            return True
        case ast.Call(func=function, args=[]):
            called = function.value if isinstance(function, ast.Subscript) else function
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            return name in EMPTY
        case ast.DictComp(value=inner):
            return _grows(inner)
    return False


def found_in(folders: Iterable[str], *, without: tuple[str, ...] = ()) -> set[str]:
    """Return what grows in the classes of these folders."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    kept = [path for path in paths if not path.relative_to(ROOT).as_posix().startswith(without)]
    return {name for path in kept for name in growing(ast.parse(path.read_text()))}


def listed_on(page: str) -> dict[str, str]:
    """Return the bound of each name in a page's table under "What is in memory"."""
    text = (ROOT / page).read_text().split("## What is in memory")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    return {name: bound for names, _, bound in rows for name in re.findall(r"`(_?[A-Z]\w*\.\w+)`", names)}
