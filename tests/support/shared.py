"""Other people's files that lie beside the project, not in it: tests read them where they are, and skip elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def shared_text(name: str) -> bytes:
    """Return one file of ../shared/data, or skip the test."""
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{name} is not in ../shared/data")
    return path.read_bytes()


def shared_json(name: str) -> Any:  # JSON has no type worth writing down
    """Return what such a file holds."""
    return json.loads(shared_text(name))
