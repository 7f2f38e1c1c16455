"""gRPC must find its environment set, whatever is imported first."""

import ast
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from exchange.runtime.grpc_environment import NO_TLS_1_2

ROOT = Path(__file__).resolve().parents[4]
SETTERS = ("exchange.runtime", "exchange.relay", "nodes")
GENERATED = ("exchange.v1", "nodes.v1")


def modules() -> list[tuple[str, Path]]:
    found = [path for package in ("exchange", "nodes") for path in sorted((ROOT / package).rglob("*.py"))]
    return [(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path) for path in found]


def imports_grpc(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names.append(str(node.module))
        if any(name.split(".")[0] in ("grpc", "grpc_health") or name.endswith("_pb2_grpc") for name in names):
            return True
    return False


def run(script: str) -> subprocess.CompletedProcess[bytes]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, env=environment)


def test_grpc_is_imported_only_inside_packages_that_set_its_environment() -> None:
    outside = [
        name
        for name, path in modules()
        if imports_grpc(path) and not any(f"{name}.".startswith(f"{package}.") for package in (*SETTERS, *GENERATED))
    ]
    assert outside == []


@pytest.mark.parametrize("package", SETTERS)
def test_each_such_package_sets_it_first(package: str) -> None:
    done = run(f"import {package}, os, sys; print(os.environ['GRPC_SSL_CIPHER_SUITES'], 'grpc' in sys.modules)")
    assert done.stdout.split() == [NO_TLS_1_2.encode(), b"False"], done.stderr


@pytest.mark.parametrize(
    "target",
    sorted({"nodes.admin.main", *(found.module for found in entry_points(group="concord.commands"))}),
)
def test_every_entry_point_starts_with_it(target: str) -> None:
    if not any(name == target for name, _ in modules()):
        pytest.skip(f"{target} is not there yet")
    done = run(f"import {target}, os; print(os.environ['GRPC_SSL_CIPHER_SUITES'])")
    assert done.stdout.strip() == NO_TLS_1_2.encode(), done.stderr


def test_grpc_that_was_loaded_without_it_is_refused() -> None:
    done = run("import grpc\nimport exchange.runtime.tls")
    assert done.returncode != 0 and b"would accept TLS 1.2" in done.stderr


def test_what_somebody_else_set_is_not_taken_over() -> None:
    done = run(
        "import os; os.environ['GRPC_SSL_CIPHER_SUITES'] = 'ECDHE-ECDSA-AES128-GCM-SHA256'\n"
        "import exchange.runtime.tls; print(os.environ['GRPC_SSL_CIPHER_SUITES'])"
    )
    assert done.stdout.strip() == NO_TLS_1_2.encode(), done.stderr
