"""Who may do what at a node."""

from itertools import combinations

import pytest

from exchange.errors import BadInput, BadName, InternalError, PolicyDenied
from exchange.policy.model import Tlp
from nodes.caller import Caller, caller_of, check_ceiling, the_owner
from nodes.roles import ANYBODY, EXCLUSIVE, MAY, Role, compatible, may_call, role
from nodes.v1.node_service_pb2 import DESCRIPTOR
from tests.support.report_calls import ASK, WITHOUT_REPORT

METHODS = [method.name for method in DESCRIPTOR.services_by_name["NodeService"].methods]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_the_node_says_who_may_call_it(method: str) -> None:
    assert (method in MAY) != (method in ANYBODY), f"give {method} a row in nodes/roles.py"


def test_every_method_is_known_to_take_a_report_or_none() -> None:
    assert set(ASK) | WITHOUT_REPORT == set(METHODS), "say so in tests/support/report_calls.py"
    assert not set(ASK) & WITHOUT_REPORT


def test_the_table_knows_no_method_that_is_not_there() -> None:
    assert not ({*MAY} | ANYBODY) - set(METHODS)


@pytest.mark.parametrize("method", sorted(MAY))
def test_no_row_is_empty(method: str) -> None:
    assert MAY[method]


def test_nobody_may_call_what_the_table_does_not_know() -> None:
    assert not may_call("DropEverything", frozenset(Role))


def test_no_operator_both_writes_and_releases_or_admits_operators_and_does_either() -> None:
    assert set(EXCLUSIVE) == {
        (Role.AUTHOR, Role.RELEASER),
        (Role.ADMINISTRATOR, Role.AUTHOR),
        (Role.ADMINISTRATOR, Role.RELEASER),
    }
    for pair in combinations(Role, 2):
        if pair in EXCLUSIVE or pair[::-1] in EXCLUSIVE:
            with pytest.raises(BadInput, match="exclude each other"):
                compatible(pair)
            with pytest.raises(BadInput):
                compatible([*pair, Role.AUDITOR])
        else:
            assert compatible(pair) == set(pair)


def test_an_operator_has_a_role_and_it_is_one_that_there_is() -> None:
    with pytest.raises(BadInput):
        compatible([])
    with pytest.raises(BadName, match="no role"):
        role("root")
    assert role("security-officer") is Role.SECURITY_OFFICER


def test_only_authors_push_and_no_administrator_reads_reports() -> None:
    assert MAY["PushReport"] == {Role.AUTHOR}
    for method in ("ListReports", "ShowReport", "TraceReport"):
        assert Role.ADMINISTRATOR not in MAY[method]


def test_a_ceiling_holds_for_what_lies_above_it_only() -> None:
    caller = Caller("ada", frozenset({Role.AUTHOR}), Tlp.AMBER)
    check_ceiling(caller, Tlp.AMBER)
    with pytest.raises(PolicyDenied, match="ada may push and release up to TLP:AMBER"):
        check_ceiling(caller, Tlp.AMBER_STRICT)
    check_ceiling(the_owner(), Tlp.RED)


def test_a_call_that_did_not_pass_the_gate_has_no_caller() -> None:
    with pytest.raises(InternalError):
        caller_of(object())
