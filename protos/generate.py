"""Generate exchange/v1 and nodes/v1 from the .proto files beside this script.

The output is checked in and never edited. With --check nothing is written: the script
exits with 1 and names the files when the output on disk differs.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("exchange/v1", "nodes/v1")


def generate(into: Path) -> None:
    """Write modules, gRPC stubs and type stubs of every proto below `into`."""
    protos = ROOT / "protos"
    every = sorted(str(path.relative_to(protos)) for package in PACKAGES for path in (protos / package).glob("*.proto"))
    services = [name for name in every if name.endswith("_service.proto")]
    # The mypy plugins are programs beside the interpreter, which need not be on PATH.
    beside = Path(sys.executable).parent
    base = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{protos}",
        f"--plugin=protoc-gen-mypy={beside / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={beside / 'protoc-gen-mypy_grpc'}",
    ]
    subprocess.run([*base, f"--python_out={into}", f"--mypy_out=quiet:{into}", *every], check=True)
    subprocess.run([*base, f"--grpc_python_out={into}", f"--mypy_grpc_out=quiet:{into}", *services], check=True)
    for package in PACKAGES:
        (into / package / "__init__.py").write_text(f'"""Generated from protos/{package}; never edited."""\n')


def main() -> int:
    """Generate, or compare when --check is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        for package in PACKAGES:
            (fresh / package).mkdir(parents=True)
        generate(fresh)
        different = []
        for package in PACKAGES:
            made = {path.name: path.read_bytes() for path in (fresh / package).iterdir()}
            target = ROOT / package
            there = {p.name: p.read_bytes() for p in target.iterdir() if p.is_file()} if target.is_dir() else {}
            different += [
                f"{package}/{name}" for name in sorted(made.keys() | there.keys()) if made.get(name) != there.get(name)
            ]
            if not check:
                shutil.rmtree(target, ignore_errors=True)
                target.mkdir(parents=True)
                for name, data in made.items():
                    (target / name).write_bytes(data)
    if check and different:
        print("error: generated code differs from protos/:", *different, sep="\n  ", file=sys.stderr)
        print("hint: make generate, then commit the result", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
