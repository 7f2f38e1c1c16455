"""The durable steps of relay and node, as the source has them: each call that puts something on a disk.

A step is a call of a database's writer, of write_private, or of what moves, removes or flushes a file; its name is the
module and the function that calls, with a number where one function has several. So code that gains a step has it in
this list, whoever wrote it.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

WRITES = frozenset({"write", "write_now", "checkpoint_truncate", "checkpoint_truncate_now", "give_back"})
"""Methods of a database after which something is on the disk."""

FILES = frozenset({"replace", "rename", "unlink", "hardlink_to", "write_bytes", "write_text", "fsync", "write_private"})
"""Functions and methods that make, move, remove or flush a file."""

PLACES = ("exchange", "nodes")

NO_STATE = (
    "exchange/v1/",
    "nodes/v1/",
    "exchange/policy/",
    "nodes/demo/",  # a play on one machine
    "nodes/admin/",  # files that an operator asked for, beside the node
    "nodes/templates.py",  # so are the drafts of reports
    "exchange/runtime/database.py",  # the writer itself
    "exchange/runtime/secrets.py",  # write_private itself
)
"""Where such a call is no step of relay or node."""


@dataclass(frozen=True, slots=True)
class Step:
    """One durable step and where it is called."""

    name: str
    file: str
    first_line: int
    last_line: int
    call: str


@cache
def steps() -> tuple[Step, ...]:
    """Return all durable steps, in the order of the source."""
    found: list[Step] = []
    for place in PLACES:
        for path in sorted((ROOT / place).rglob("*.py")):
            file = path.relative_to(ROOT).as_posix()
            if not file.startswith(NO_STATE):
                found += _of_module(file, ast.parse(path.read_text()))
    return tuple(found)


def step_at(file: str, line: int) -> Step | None:
    """Return the step that is called at a line of a file."""
    return _by_line().get((file, line))


@cache
def _by_line() -> dict[tuple[str, int], Step]:
    return {
        (str(ROOT / step.file), line): step
        for step in reversed(steps())
        for line in range(step.first_line, step.last_line + 1)
    }


def _of_module(file: str, tree: ast.Module) -> list[Step]:
    module = file.removesuffix(".py").replace("/", ".")
    seen: dict[str, int] = {}
    found = []
    for within, call in _calls(tree, ()):
        name = f"{module}:{'.'.join(within)}"
        seen[name] = number = seen.get(name, 0) + 1
        if number > 1:
            name = f"{name}#{number}"
        found.append(Step(name, file, call.lineno, call.end_lineno or call.lineno, _called(call)))
    return found


def _calls(node: ast.AST, within: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], ast.Call]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _calls(child, (*within, child.name))
            continue
        if isinstance(child, ast.Call) and _is_step(child):
            yield within, child
        yield from _calls(child, within)


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _is_step(call: ast.Call) -> bool:
    name = _called(call)
    if not isinstance(call.func, ast.Attribute):
        return name == "write_private"
    if name in WRITES:
        return ast.unparse(call.func.value).endswith("database")
    if name == "replace":
        # A path's has one argument; that of a text has two, that of a moment names its fields.
        return len(call.args) == 1 and not call.keywords
    return name in FILES
