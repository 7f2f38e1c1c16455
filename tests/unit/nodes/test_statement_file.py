"""Statements that suspend or end something: what a root is shown and signs is what the directory takes, and no more."""

import pytest

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.directory.codec import encode, name_of
from exchange.directory.issue import draft_expulsion, draft_revocation, draft_suspension
from exchange.directory.state import Status
from exchange.directory.statements import Expulsion, RevocationReason
from exchange.errors import BadStatement, MalformedInput, NotAllowed
from exchange.limits import MIB
from exchange.names import COUNCIL, PartyId
from nodes.admin.holdings import read_holdings
from nodes.expulsion_file import read_expulsion, write_expulsion
from nodes.root import read_task
from nodes.root_home import Root
from nodes.statement_file import Drafted, StatementTask, read_statement, write_request
from nodes.v1.expulsion_pb2 import HoldingThere, ShowHoldingsResponse
from tests.support.directory_builders import (
    EXCHANGE,
    NOON,
    Exchange,
    a_join_request,
    an_exchange,
    an_invitation,
    composite,
    party_keys,
)

XT = PartyId("XT")
NOW = NOON + 1
COUNCIL_ROOT = Root(PartyId("XA"), composite("XA/root"))


def drafted(exchange: Exchange, deed: str, *, issuer: str = COUNCIL) -> Drafted:
    place = exchange.directory.next_seq_prev(COUNCIL)
    if deed == "suspension":
        return draft_suspension(exchange=EXCHANGE, place=place, party=XT, suspended=True, now_ms=NOW)
    if deed == "expulsion":
        return draft_expulsion(exchange=EXCHANGE, place=place, party=XT, now_ms=NOW)
    return draft_revocation(
        exchange=EXCHANGE,
        issuer=issuer,
        party=XT,
        key_id=party_keys("XT").statement.public.key_id,
        reason=RevocationReason.COMPROMISED,
        compromised_since_ms=NOW,
        now_ms=NOW,
    )


def task(statement: Drafted) -> StatementTask:
    if isinstance(statement, Expulsion):
        return read_expulsion(write_expulsion(encode(statement), b"")).task()
    found = read_task(write_request(name_of(statement), encode(statement)))
    assert isinstance(found, StatementTask)
    return found


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("suspension", "suspension of XT"),
        ("expulsion", "EXPULSION of XT, for good,"),
        ("revocation", "compromised since 2021-11-24 12:00 UTC,"),
    ],
)
def test_what_a_root_reads_it_signs_and_the_directory_takes(deed: str, words: str) -> None:
    exchange = an_exchange(("XA", "XT"))
    found = task(drafted(exchange, deed))
    assert words in found.words()[0]
    assert "in the name of  council" in "\n".join(found.words())
    exchange.add(read_statement(found.sign(COUNCIL_ROOT, NOW)))
    standing = exchange.directory.standing(XT, at_size=exchange.directory.size)
    expected = {"suspension": Status.SUSPENDED, "expulsion": Status.EXPELLED, "revocation": Status.ADMITTED}
    assert standing is expected[deed]
    assert (exchange.directory.current_statement_key(XT) is None) == (deed != "suspension")


def test_a_second_root_adds_its_signature_to_what_the_first_has_signed_and_none_signs_twice() -> None:
    statement = drafted(an_exchange(("XA", "XT")), "suspension")
    once = task(statement).sign(COUNCIL_ROOT, NOW)
    passed_on = read_task(once)
    assert isinstance(passed_on, StatementTask) and "1 so far" in passed_on.words()[-1]
    with pytest.raises(MalformedInput, match="signed the statement already"):
        passed_on.sign(COUNCIL_ROOT, NOW)
    twice = read_statement(passed_on.sign(Root(PartyId("XV"), composite("XV/root")), NOW))
    assert (len(twice.signatures), twice.payload) == (2, encode(statement))


def test_a_party_ends_its_own_keys_with_its_own_root_and_nobody_signs_in_its_name() -> None:
    exchange = an_exchange(("XA", "XT"))
    found = task(drafted(exchange, "revocation", issuer="XT"))
    with pytest.raises(NotAllowed):
        found.sign(COUNCIL_ROOT, NOW)
    exchange.add(read_statement(found.sign(Root(XT, composite("XT/root")), NOW)))
    assert exchange.directory.current_statement_key(XT) is None


def test_what_a_party_that_is_not_in_the_council_signs_is_not_valid() -> None:
    exchange = an_exchange(("XA", "XT"))
    signed = read_statement(task(drafted(exchange, "suspension")).sign(Root(XT, composite("XT/root")), NOW))
    with pytest.raises(BadStatement):
        exchange.directory.check(encode_signed(signed), NOW)


def test_other_statements_are_not_signed_this_way() -> None:
    request = a_join_request(party_keys("XT"), an_invitation("XT", composite("XA/root")))
    with pytest.raises(MalformedInput, match="party-root statement is not signed this way"):
        read_task(write_request("party-root", request.party_root.payload))
    with pytest.raises(MalformedInput):
        read_task(write_request("suspension", b"\xff"))


def test_an_expulsion_goes_with_what_the_partner_holds_and_no_other_way() -> None:
    statement = drafted(an_exchange(("XA", "XT")), "expulsion")
    with pytest.raises(MalformedInput, match="not signed this way") as refused:
        read_task(write_request(name_of(statement), encode(statement)))
    assert "root expel" in str(refused.value.hint)
    held = ShowHoldingsResponse(status="suspended", held=[HoldingThere(item="3f", clause="1")])
    request = read_expulsion(write_expulsion(encode(statement), held.SerializeToString()))
    assert read_holdings(request.holdings) == held and request.statement == statement
    with pytest.raises(MalformedInput, match="what the partner holds"):
        read_holdings(b"\xff")
    with pytest.raises(MalformedInput):
        read_expulsion(write_expulsion(encode(drafted(an_exchange(("XA", "XT")), "suspension")), b""))


def test_a_signed_file_comes_back_as_it_was() -> None:
    text = task(drafted(an_exchange(("XA", "XT")), "expulsion")).sign(COUNCIL_ROOT, NOW)
    signed = read_statement(text)
    assert decode_signed(encode_signed(signed), limit=MIB, what="it") == signed
