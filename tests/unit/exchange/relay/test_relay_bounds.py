"""Whatever grows in the relay's memory is listed with its bound (docs/operations/relay.md, "What is in memory")."""

import ast

import pytest

from tests.support.bounds import found_in, growing, listed_on

FOLDERS = ("exchange/relay", "exchange/runtime")


def test_everything_that_grows_is_listed_with_its_bound() -> None:
    table, found = listed_on("docs/operations/relay.md"), found_in(FOLDERS)
    assert found - table.keys() == set(), "in memory without a bound that anybody has written down"
    assert table.keys() - found == set(), "listed and not there"
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
