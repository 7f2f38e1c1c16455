"""Which reports a caller may read, whatever it is that shows them."""

import pytest

from exchange.errors import VerificationFailed
from exchange.policy.model import ReaderRule, Tlp
from exchange.policy.readers import ReaderTerms
from nodes import vault
from nodes.caller import OWNER, Caller, nobody, the_owner
from nodes.clearing import NOBODY, Candidate, Clearing
from nodes.roles import Role

MASTER = bytes(32)
ITEM = bytes([1]) * 32
TERMS = ReaderTerms({"nato": ("restricted", "secret")}, frozenset({"water"}))
ADA = Caller("ada", frozenset({Role.AUDITOR}), Tlp.RED, {"nato": "restricted"}, frozenset({"water"}))
CLEARING = Clearing(MASTER, TERMS)


def asked(rule: ReaderRule | None, *, tlp: Tlp = Tlp.AMBER, author: str = "") -> Candidate:
    return Candidate(ITEM, int(tlp), vault.seal_readers(MASTER, ITEM, rule), author)


@pytest.mark.parametrize(
    "rule, tlp, reads",
    [
        (None, Tlp.AMBER, True),
        (None, Tlp.RED, False),
        (ReaderRule(named=("ada",)), Tlp.RED, True),
        (ReaderRule(named=("bob",)), Tlp.CLEAR, False),
        (ReaderRule("nato", "restricted", ("water",)), Tlp.AMBER, True),
        (ReaderRule("nato", "secret"), Tlp.AMBER, False),
        (ReaderRule(all_of=("road",)), Tlp.AMBER, False),
        (NOBODY, Tlp.CLEAR, False),
    ],
)
def test_the_label_says_who_reads(rule: ReaderRule | None, tlp: Tlp, *, reads: bool) -> None:
    assert CLEARING.permits(ADA, asked(rule, tlp=tlp)) is reads


def test_who_pushed_it_reads_it_and_nobody_else_by_that_name() -> None:
    assert CLEARING.permits(ADA, asked(NOBODY, author="ada"))
    assert not CLEARING.permits(ADA, asked(NOBODY, author="sensor/ada"))
    assert not CLEARING.permits(nobody(), asked(NOBODY, author=""))


def test_the_owner_of_an_open_node_is_no_named_reader() -> None:
    assert not CLEARING.permits(the_owner(), asked(ReaderRule(named=(OWNER,))))
    assert CLEARING.permits(the_owner(), asked(NOBODY, author=OWNER))
    assert CLEARING.permits(the_owner(), asked(None))


def test_what_has_no_rule_on_record_is_read_by_nobody() -> None:
    assert not CLEARING.permits(ADA, Candidate(ITEM, int(Tlp.CLEAR), None, ""))
    assert not CLEARING.permits(ADA, Candidate(ITEM, int(Tlp.CLEAR), None, "ada"))


def test_a_rule_belongs_to_one_version() -> None:
    other = vault.seal_readers(MASTER, bytes(32), ReaderRule(named=("ada",)))
    with pytest.raises(VerificationFailed):
        CLEARING.permits(ADA, Candidate(ITEM, int(Tlp.CLEAR), other, ""))


def test_nobody_reads_the_decoy_and_each_node_has_its_own() -> None:
    for caller in (ADA, the_owner(), nobody(), Caller("(nobody)", frozenset(Role), Tlp.RED, is_owner=True)):
        assert not CLEARING.permits(caller, CLEARING.decoy)
    assert CLEARING.decoy != Clearing(MASTER, TERMS).decoy
