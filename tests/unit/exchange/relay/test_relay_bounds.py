"""Whatever grows in the relay's memory is listed with its bound (docs/operations/relay.md, "What is in memory")."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs/operations/relay.md"
FOLDERS = ("exchange/relay", "exchange/runtime")

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


def found() -> set[str]:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return {name for path in paths for name in growing(ast.parse(path.read_text()))}


def listed() -> dict[str, str]:
    """Return the bound of each name in the page's table."""
    text = PAGE.read_text().split("## What is in memory")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    return {name: bound for names, _, bound in rows for name in re.findall(r"`(_?[A-Z]\w*\.\w+)`", names)}


def test_everything_that_grows_is_listed_with_its_bound() -> None:
    table = listed()
    assert found() - table.keys() == set(), "in memory without a bound that anybody has written down"
    assert table.keys() - found() == set(), "listed and not there"
    assert all(bound.strip() for bound in table.values())


@pytest.mark.parametrize(
    ("line", "grows"),
    [
        ("self._rows = {}", True),
        ("self._rows: dict[str, int] = {}", True),
        ("self._rows = asyncio.Queue[int]()", True),
        ("self._rows = {lane: deque() for lane in Lane}", True),
        ("self._rows = deque(maxlen=3)", True),
        ("self._rows = (1, 2)", False),
        ("self._rows = Rows()", False),
        ("rows = {}", False),
    ],
)
def test_the_test_sees_what_grows(line: str, grows: bool) -> None:
    tree = ast.parse(f"class Thing:\n    def __init__(self):\n        {line}\n")
    assert list(growing(tree)) == (["Thing.rows"] if grows else [])
