"""Founding, inviting, joining, admitting: what each side makes and what the other checks."""

from dataclasses import replace

import pytest

from exchange.crypto.keys import fingerprint
from exchange.directory import ceremony
from exchange.directory.codec import decode_as
from exchange.directory.statements import Genesis, JoinRequest
from exchange.errors import BadSignature, BadStatement, ExchangeError, MalformedInput, NotAllowed
from exchange.limits import CLOCK_AHEAD_MS
from exchange.names import party_id
from tests.support.directory_builders import (
    DAY_MS,
    EXCHANGE,
    LIMITS,
    NOON,
    a_council,
    a_join_request,
    an_exchange,
    an_invitation,
    composite,
    ed25519,
    party_keys,
    relay_keys,
)

XV = party_id("XV")


def a_request(name: str = "XV") -> JoinRequest:
    return a_join_request(party_keys(name), an_invitation(name, composite("XA/root")))


def test_only_roots_of_its_council_sign_a_genesis() -> None:
    payload = a_council().genesis().payload
    with pytest.raises(NotAllowed):
        ceremony.sign_genesis(payload, composite("XV/root"))
    signed = ceremony.sign_genesis(payload, composite("XA/root"))
    with pytest.raises(NotAllowed):
        ceremony.cosign_genesis(signed, composite("XV/root"))
    with pytest.raises(MalformedInput):
        ceremony.cosign_genesis(signed, composite("XA/root"))
    with pytest.raises(MalformedInput):
        ceremony.sign_genesis(b"junk", composite("XA/root"))


def test_a_genesis_that_nobody_could_sign_is_not_drafted() -> None:
    with pytest.raises(MalformedInput):
        ceremony.draft_genesis(
            exchange=EXCHANGE,
            council=a_council().members,
            threshold=2,
            relay=relay_keys(),
            limits=LIMITS,
            now_ms=NOON,
        )


def test_two_drafts_of_one_genesis_are_two_exchanges() -> None:
    drafts = {a_council().genesis().payload for _ in range(2)}
    assert len(drafts) == 2
    assert len({decode_as(Genesis, draft).relay for draft in drafts}) == 1


def test_a_join_request_is_judged_before_anything_is_logged() -> None:
    exchange = an_exchange(("XA",))
    claims = ceremony.check_join_request(a_request(), exchange.directory, NOON)
    assert (claims.party, claims.country, claims.ceiling) == (XV, "XV", 5)
    assert claims.fingerprint == fingerprint("XV", composite("XV/root").public.raw)
    assert len(claims.entries) == 4 and exchange.directory.party(XV) is None


def test_repeating_a_join_request_is_safe() -> None:
    exchange = an_exchange(("XA",))
    request = a_request()
    for entry in ceremony.check_join_request(request, exchange.directory, NOON).entries:
        exchange.directory.apply(entry, exchange.directory.size)
    assert ceremony.check_join_request(request, exchange.directory, NOON + 99 * DAY_MS).entries == ()


def test_a_repeated_request_must_carry_its_signatures_again() -> None:
    exchange = an_exchange(("XA",))
    request, other = a_request(), a_request("XO")
    for entry in ceremony.check_join_request(request, exchange.directory, NOON).entries:
        exchange.directory.apply(entry, exchange.directory.size)
    for name in ("invitation", "party_root", "node_cert", "transport_key"):
        part, borrowed = getattr(request, name), getattr(other, name).signatures
        for signatures in (borrowed, part.signatures[:1] + borrowed[:1]):
            forged = replace(part, signatures=signatures)
            with pytest.raises(BadSignature):
                ceremony.check_join_request(replace(request, **{name: forged}), exchange.directory, NOON)
    half = replace(request.party_root, signatures=request.party_root.signatures[:1])
    with pytest.raises(BadSignature):
        ceremony.check_join_request(replace(request, party_root=half), exchange.directory, NOON)


def test_a_second_request_under_one_invitation_is_refused() -> None:
    exchange = an_exchange(("XA",))
    first = a_request()
    for entry in ceremony.check_join_request(first, exchange.directory, NOON).entries:
        exchange.directory.apply(entry, exchange.directory.size)
    thief = replace(party_keys("XV"), root=composite("thief"), statement=composite("thief/statement"))
    with pytest.raises(BadStatement, match="invitation-spent"):
        ceremony.check_join_request(a_join_request(thief, first.invitation), exchange.directory, NOON)


def test_a_late_request_is_refused_by_the_relay_and_not_by_the_council_that_judges_it_later() -> None:
    exchange = an_exchange(("XA",))
    late = NOON + 14 * DAY_MS
    with pytest.raises(BadStatement):
        ceremony.check_join_request(a_request(), exchange.directory, late)
    assert ceremony.check_join_request(a_request(), exchange.directory, None).party == XV


def test_a_root_whose_clock_is_a_little_ahead_can_join() -> None:
    exchange = an_exchange(("XA",))
    invitation = an_invitation("XV", composite("XA/root"))
    for ahead_ms, holds in ((CLOCK_AHEAD_MS, True), (CLOCK_AHEAD_MS + 1, False)):
        request = a_join_request(party_keys("XV"), invitation, now_ms=NOON + ahead_ms)
        if holds:
            assert len(ceremony.check_join_request(request, exchange.directory, NOON).entries) == 4
        else:
            with pytest.raises(BadStatement, match="outside-its-time"):
                ceremony.check_join_request(request, exchange.directory, NOON)


def test_the_parts_of_a_request_belong_together() -> None:
    exchange = an_exchange(("XA",))
    mine, other = a_request(), a_request("XO")
    again = an_invitation("XV", composite("XA/root"))
    for mixed in (
        replace(mine, node_cert=other.node_cert),
        replace(mine, transport_key=other.transport_key),
        replace(mine, party_root=other.party_root),
        replace(mine, invitation=other.invitation),
        replace(mine, invitation=again),
        replace(mine, node_cert=mine.transport_key),
    ):
        with pytest.raises(ExchangeError):
            ceremony.check_join_request(mixed, exchange.directory, NOON)


def test_a_request_without_the_proof_of_the_one_time_key_is_refused() -> None:
    exchange = an_exchange(("XA",))
    request = a_join_request(replace(party_keys("XV"), one_time=ed25519("guess")), a_request().invitation)
    with pytest.raises(BadStatement, match="bad-signature"):
        ceremony.check_join_request(request, exchange.directory, NOON)


def test_a_request_on_another_invitation_than_the_councils_is_refused() -> None:
    exchange = an_exchange(("XA",))
    request = a_join_request(party_keys("XV"), an_invitation("XV", composite("XV/root")))
    with pytest.raises(BadStatement):
        ceremony.check_join_request(request, exchange.directory, NOON)


def test_no_statement_is_signed_that_nobody_would_decode() -> None:
    with pytest.raises(MalformedInput):
        ceremony.make_node_cert(
            exchange=EXCHANGE,
            party=XV,
            place=(2, bytes(32)),
            statement_key=composite("XV/statement").public,
            envelope_key=ed25519("XV/envelope").public,
            now_ms=NOON,
            not_after_ms=NOON,
            root=composite("XV/root"),
        )
