"""Whatever grows in a node's memory is listed with its bound (docs/operations/node.md, "What is in memory")."""

from tests.support.bounds import found_in, listed_on

NO_SERVICE = ("nodes/v1/", "nodes/demo/", "nodes/admin/", "nodes/attaching_client.py")
"""Generated code, and programs that end."""


def test_everything_that_grows_is_listed_with_its_bound() -> None:
    table, found = listed_on("docs/operations/node.md"), found_in(["nodes"], without=NO_SERVICE)
    assert found - table.keys() == set(), "in memory without a bound that anybody has written down"
    assert table.keys() - found == set(), "listed and not there"
    assert all(bound.strip() for bound in table.values())
