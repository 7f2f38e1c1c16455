"""The rules of the house that imports can show (CONVENTIONS.md, "Layers")."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

BASE = {"exchange.errors", "exchange.names", "exchange.limits", "exchange.merkle", "exchange.wire"}
PURE = {
    "exchange.errors": set(),
    "exchange.names": {"exchange.errors"},
    "exchange.limits": set(),
    "exchange.merkle": {"exchange.errors"},
    "exchange.wire": {"exchange.errors"},
    "exchange.crypto": BASE,
    "exchange.policy": BASE | {"exchange.crypto"},
    "exchange.tlog": BASE | {"exchange.crypto"},
    "exchange.directory": BASE | {"exchange.crypto", "exchange.tlog"},
    "exchange.receipts": BASE | {"exchange.crypto"},
    "exchange.approvals": BASE | {"exchange.crypto", "exchange.receipts.checks"},
    "exchange.envelope": BASE | {"exchange.crypto", "exchange.policy", "exchange.approvals"},
    "exchange.resend": BASE | {"exchange.crypto", "exchange.receipts"},
    "exchange.stream_reset": BASE | {"exchange.crypto", "exchange.receipts"},
    "exchange.reader_policy": BASE | {"exchange.crypto", "exchange.policy", "exchange.receipts"},
    "exchange.consent": BASE | {"exchange.crypto", "exchange.policy", "exchange.envelope", "exchange.receipts"},
}
"""Each pure package and what it may import of the others, besides itself."""

IMPURE = {
    "grpc",
    "sqlalchemy",
    "alembic",
    "os",
    "pathlib",
    "socket",
    "threading",
    "asyncio",
    "subprocess",
    "time",
    "tempfile",
    "typer",
    "structlog",
    "secrets",
    "random",
}
CRYPTO_LIBRARIES = {"cryptography", "nacl"}
GENERATED = {"exchange.v1", "nodes.v1"}

MAX_LINES = 600
MAX_FUNCTION_LINES = 60


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    """Every hand-written module of the two packages."""
    for package in ("exchange", "nodes"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if not any(name.startswith(generated) for generated in GENERATED):
                yield name, path, ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    """Every module that a module imports, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def package_of(name: str) -> str | None:
    return next((pure for pure in PURE if within(name, pure)), None)


MODULES = list(modules())
NAMES = {name for name, _, _ in MODULES}


@pytest.mark.parametrize("name, tree", [(name, tree) for name, _, tree in MODULES], ids=[m[0] for m in MODULES])
def test_imports_keep_to_their_layer(name: str, tree: ast.Module) -> None:
    own = package_of(name)
    for imported in imports(tree):
        top = imported.split(".")[0]
        if within(name, "exchange"):
            assert top != "nodes", f"{name} imports {imported}: exchange never imports nodes"
        if within(name, "nodes"):
            assert not within(imported, "exchange.relay"), f"{name} imports {imported}: nodes never import the relay"
        if top in CRYPTO_LIBRARIES:
            assert own == "exchange.crypto", f"{name} imports {imported}: only exchange.crypto may"
        if top == "opentelemetry":
            assert name == "exchange.runtime.tracing", f"{name} imports {imported}: only exchange.runtime.tracing may"
        if own is not None:
            assert top not in IMPURE, f"{name} imports {imported}: pure packages have no clock and no I/O"
            if within(imported, "exchange") and imported in NAMES and not within(imported, own):
                allowed = PURE[own]
                assert any(within(imported, other) for other in allowed), f"{name} may not import {imported}"
        if any(within(imported, generated) for generated in GENERATED):
            assert may_see_generated(name), f"{name} imports {imported}: generated types stop at codecs and services"


def may_see_generated(name: str) -> bool:
    last = name.rsplit(".", maxsplit=1)[-1]
    return (
        last == "codec"
        or last.endswith(("_service", "_client"))
        or within(name, "exchange.relay.services")
        or within(name, "nodes.admin")
        or within(name, "nodes.demo")
        or name in {"exchange.relay.cli", "exchange.relay.app", "nodes.client"}
    )


@pytest.mark.parametrize("name, tree", [(name, tree) for name, _, tree in MODULES], ids=[m[0] for m in MODULES])
def test_modules_and_functions_stay_short_and_documented(name: str, tree: ast.Module) -> None:
    assert ast.get_docstring(tree) or not tree.body, f"{name} has no docstring"
    path = ROOT.joinpath(*name.split("."))
    source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    assert len(source.read_text().splitlines()) <= MAX_LINES, f"{name} is over {MAX_LINES} lines"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{name}.{node.name} has {length} lines"


def test_packages_do_not_import_each_other_in_circles() -> None:
    """Module-level imports only: an import inside a function cannot make a circle at start."""
    edges = {
        name: {other for other in top_level(tree) if other in NAMES and other != name} for name, _, tree in MODULES
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"circle: {' -> '.join((*trail, name))}"
        if name in done:
            return
        for other in sorted(edges[name]):
            visit(other, (*trail, name))
        done.add(name)

    for name in sorted(edges):
        visit(name, ())


def top_level(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (found if found in NAMES else str(node.module) for found in names)


def test_the_path_of_a_report_names_files_that_exist() -> None:
    text = ast.get_docstring(ast.parse((ROOT / "exchange/__init__.py").read_text())) or ""
    named = {word.strip(",") for word in text.split() if word.strip(",").endswith(".py")}
    assert len(named) > 10
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert not missing


def test_generated_code_is_not_edited_by_hand() -> None:
    for package in ("exchange/v1", "nodes/v1"):
        for path in (ROOT / package).glob("*_pb2.py"):
            assert "DO NOT EDIT" in path.read_text()[:400]
