"""How the tests of a parallel run are spread over its workers."""

from pathlib import Path

import pytest

from tests.support.spread import APART, together

ROOT = Path(__file__).resolve().parents[2]


def test_the_tests_of_a_file_stay_together() -> None:
    first, second = "tests/e2e/test_demo.py::test_a[x]", "tests/e2e/test_demo.py::test_b"
    assert together(first) == together(second) != together("tests/e2e/test_guides.py::test_a[x]")


@pytest.mark.parametrize("file", APART)
def test_where_tests_go_apart_they_share_nothing(file: str) -> None:
    assert together(f"{file}::test_a[x]") != together(f"{file}::test_a[y]")
    assert "scope=" not in (ROOT / file).read_text()
