"""Where the vectors of the cryptographic primitives lie, and how to read them."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = ROOT / "tests" / "vectors" / "crypto"
SHARED = ROOT.parent / "shared" / "vectors"


def small(part: str) -> Any:  # JSON has no type worth writing down
    """Return one part of the vectors that stand in the project."""
    return json.loads((SMALL / "public.json").read_text())[part]


def own(part: str) -> Any:
    """Return one part of the bytes that this project made once."""
    return json.loads((SMALL / "own.json").read_text())[part]


def large(name: str) -> Any:
    """Return a public file of vectors, or skip the test: it lies beside the project, not in it."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not in ../shared/vectors")
    return json.loads(path.read_text())


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def unbase64(text: str) -> bytes:
    return base64.b64decode(text)


def flipped(data: bytes, at: int, mask: int = 1) -> bytes:
    """Return `data` with the bits of `mask` flipped in one byte."""
    return data[:at] + bytes((data[at] ^ mask,)) + data[at + 1 :]
