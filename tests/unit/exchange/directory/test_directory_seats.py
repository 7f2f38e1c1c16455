"""Seats of the council that went over to other roots, shown by a few entries to those who hold no log."""

import pytest

from exchange.crypto import x509
from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import Signed, add_signature
from exchange.crypto.signing import CompositeKey
from exchange.directory import ceremony, issue
from exchange.directory.fold import Directory
from exchange.directory.seats import SEAT_ENTRIES, seat_entries, with_seats
from exchange.directory.statements import RevocationReason
from exchange.errors import BadSignature, BadStatement, NotAllowed
from exchange.limits import MIB
from exchange.names import COUNCIL, party_id
from exchange.runtime.relay_info import RelayInfo, read_relay_info, write_relay_info
from tests.support.directory_builders import (
    EXCHANGE,
    NOON,
    Exchange,
    a_council,
    an_exchange,
    an_invitation,
    composite,
    transport_ca,
)


def an_exchange_whose_council_changed() -> Exchange:
    """XA and XH sit in the council, XV does not; then XA and XV have other roots."""
    exchange = an_exchange(("XV", "XA", "XH"), council=a_council(("XA", "XH")))
    for party in ("XV", "XA"):
        exchange.add(a_rollover(party))
    return exchange


def a_rollover(party: str, old: str = "", new: str = "/2") -> Signed:
    roots = composite(f"{party}/root{old}"), composite(f"{party}/root{new}")
    drafted = issue.draft_rollover(
        exchange=EXCHANGE,
        issuer=party,
        party=party_id(party),
        old_root_key_id=roots[0].public.key_id,
        new_root=roots[1].public,
        now_ms=NOON,
    )
    return add_signature(ceremony.sign_statement(drafted, roots[0]), roots[1], context=EXCHANGE)


def genesis_of(exchange: Exchange) -> Directory:
    return Directory.found(exchange.entries[0], expected_hash=exchange.directory.genesis_hash)


def council(directory: Directory) -> dict[str, bytes]:
    return {party: key_id for key_id, (party, _) in directory.council_roots().items()}


def test_nothing_is_needed_while_the_council_is_that_of_the_genesis() -> None:
    exchange = an_exchange(("XA", "XV", "XO"))
    exchange.add(a_rollover("XV"))
    assert seat_entries(exchange.entries, exchange.directory) == ()


def test_a_few_entries_bring_a_machine_without_the_log_to_the_same_council() -> None:
    exchange = an_exchange_whose_council_changed()
    entries = seat_entries(exchange.entries, exchange.directory)
    assert len(entries) == 4, "invitation, root, admission and the change of XA's root"
    directory = with_seats(genesis_of(exchange), entries)
    assert council(directory) == council(exchange.directory) != council(genesis_of(exchange))
    ceremony.check_seat(directory, composite("XA/root/2"))
    with pytest.raises(NotAllowed):
        ceremony.check_seat(directory, composite("XA/root"))


def test_a_root_that_was_ended_has_no_seat() -> None:
    exchange = an_exchange(("XA", "XH"), council=a_council(("XA", "XH")))
    ended = issue.draft_revocation(
        exchange=EXCHANGE,
        issuer=COUNCIL,
        party=party_id("XH"),
        key_id=composite("XH/root").public.key_id,
        reason=RevocationReason.LOST,
        compromised_since_ms=0,
        now_ms=NOON,
    )
    exchange.add(ceremony.sign_statement(ended, composite("XA/root")))
    directory = with_seats(genesis_of(exchange), seat_entries(exchange.entries, exchange.directory))
    assert set(council(directory)) == set(council(exchange.directory)) == {"XA"}


def test_what_does_not_hold_is_refused() -> None:
    exchange = an_exchange_whose_council_changed()
    entries = seat_entries(exchange.entries, exchange.directory)
    for wrong in (entries[1:], (*entries, entries[-1]), entries[:1] * (SEAT_ENTRIES + 1)):
        with pytest.raises(BadStatement):
            with_seats(genesis_of(exchange), wrong)
    forged = encode_signed(a_rollover("XH", old="/stolen"))
    with pytest.raises(BadStatement):
        with_seats(genesis_of(exchange), (*entries, forged))


def test_relay_info_carries_them_and_the_new_root_speaks_for_the_council() -> None:
    exchange = an_exchange_whose_council_changed()
    info = RelayInfo(
        exchange=EXCHANGE,
        address="relay.example:7001",
        join_address="relay.example:7002",
        join_ca_pem=x509.pem_of(transport_ca("relay")[0]).decode(),
        genesis_hash=exchange.directory.genesis_hash,
        genesis=exchange.entries[0],
        seats=seat_entries(exchange.entries, exchange.directory),
    )
    found = read_relay_info(write_relay_info(info))
    assert found == info
    assert signers(found, composite("XA/root/2")) == {"XA"}
    with pytest.raises(BadSignature):
        signers(found, composite("XA/root"))


def signers(info: RelayInfo, key: CompositeKey) -> frozenset[str]:
    return frozenset(ceremony.council_signers(an_invitation("XO", key), info.directory()))


def test_a_newcomer_that_repeats_its_request_is_known_though_its_inviter_has_another_root() -> None:
    exchange = an_exchange(("XA", "XV"))
    exchange.add(a_rollover("XA"))
    invitation, root, cert, transport = (
        decode_signed(entry, limit=MIB, what="it") for entry in exchange.entries[-6:-2]
    )
    request = ceremony.make_join_request(
        invitation=invitation, party_root=root, node_cert=cert, transport_key=transport
    )
    assert ceremony.check_join_request(request, exchange.directory, NOON).entries == ()
