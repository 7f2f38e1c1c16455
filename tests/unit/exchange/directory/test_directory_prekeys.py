"""Bundles of daily prekeys: who made them, which day they are for."""

import pytest

from exchange.crypto.codec import encode_signed
from exchange.crypto.signed import Signed
from exchange.directory import issue, prekeys
from exchange.directory.codec import decode_as
from exchange.directory.statements import PrekeyBundle, RevocationReason
from exchange.errors import BadSignature, BadStatement, ExchangeError, MalformedInput
from exchange.names import PartyId, party_id
from tests.support.directory_builders import DAY_MS, EXCHANGE, NOON, Exchange, an_exchange, composite, xwing

XA, XV = party_id("XA"), party_id("XV")
TODAY = prekeys.day_of(NOON)


def a_bundle(
    party: PartyId, first_day: int = TODAY, days: int = 3, *, key: str = "XV/statement", name: str = "XV"
) -> Signed:
    return prekeys.make_bundle(
        exchange=EXCHANGE,
        party=party,
        first_day=first_day,
        keys=[xwing(f"{name}/prekey/{day}").public for day in range(first_day, first_day + days)],
        statement_key=composite(key),
    )


def test_the_key_of_a_moment_is_that_of_its_day_in_utc() -> None:
    bundle = decode_as(PrekeyBundle, a_bundle(XV).payload)
    midnight = (TODAY + 1) * DAY_MS
    assert prekeys.choose(bundle, NOON) == bundle.keys[0]
    assert prekeys.choose(bundle, midnight - 1) == bundle.keys[0]
    assert prekeys.choose(bundle, midnight) == bundle.keys[1]
    assert prekeys.choose(bundle, midnight + 2 * DAY_MS - 1) == bundle.keys[2]


def test_a_day_outside_the_bundle_has_no_key() -> None:
    bundle = decode_as(PrekeyBundle, a_bundle(XV).payload)
    assert prekeys.choose(bundle, TODAY * DAY_MS - 1) is None
    assert prekeys.choose(bundle, (TODAY + 3) * DAY_MS) is None


def test_a_published_bundle_opens() -> None:
    exchange = an_exchange(("XA", "XV"))
    signed = exchange.publish_prekeys("XV", TODAY)
    bundle = prekeys.open_bundle(encode_signed(signed), exchange.directory, XV)
    assert (bundle.party, len(bundle.keys)) == (XV, 30)
    assert prekeys.choose(bundle, NOON) == exchange.parties[XV].prekey(TODAY).public


def test_a_bundle_can_be_checked_together_with_the_statement_that_names_it() -> None:
    exchange = an_exchange(("XV",))
    bundle = a_bundle(XV)
    statement = prekeys.make_bundle_hash(
        bundle,
        place=exchange.directory.next_seq_prev("XV"),
        now_ms=NOON,
        statement_key=exchange.parties[XV].statement,
    )
    trial = exchange.directory.fork()
    trial.apply(encode_signed(statement), trial.size)
    assert prekeys.open_bundle(encode_signed(bundle), trial, XV).party == XV
    with pytest.raises(BadStatement):
        prekeys.open_bundle(encode_signed(bundle), exchange.directory, XV)


def test_the_newest_bundle_that_covers_a_day_counts() -> None:
    exchange = an_exchange(("XV",))
    first = exchange.publish_prekeys("XV", TODAY, 10)
    second = exchange.publish_prekeys("XV", TODAY + 5, 10)
    hashes = [record.statement.bundle_sha256 for record in exchange.directory.bundles(XV)]
    assert exchange.directory.bundle_hash(XV) == hashes[0]
    assert exchange.directory.bundle_of_day(XV, TODAY + 4) == hashes[1]
    assert exchange.directory.bundle_of_day(XV, TODAY + 5) == hashes[0]
    assert exchange.directory.bundle_of_day(XV, TODAY + 15) is None
    for signed in (first, second):
        prekeys.open_bundle(encode_signed(signed), exchange.directory, XV)
    for _ in range(8):
        exchange.publish_prekeys("XV", TODAY + 5, 10)
    assert len(exchange.directory.bundles(XV)) == 8


def named(exchange: Exchange, bundle: Signed) -> None:
    """Log the hash of a bundle that XV did not make as it should."""
    exchange.add(
        prekeys.make_bundle_hash(
            bundle,
            place=exchange.directory.next_seq_prev("XV"),
            now_ms=NOON,
            statement_key=exchange.parties[XV].statement,
        )
    )


def test_a_bundle_that_another_key_signed_does_not_open() -> None:
    exchange = an_exchange(("XA", "XV"))
    for key in ("XV/root", "XA/statement", "stranger"):
        bundle = a_bundle(XV, key=key)
        named(exchange, bundle)
        with pytest.raises(BadSignature):
            prekeys.open_bundle(encode_signed(bundle), exchange.directory, XV)


def test_a_bundle_of_another_party_does_not_open() -> None:
    exchange = an_exchange(("XA", "XV"))
    signed = exchange.publish_prekeys("XA", TODAY)
    with pytest.raises(BadStatement):
        prekeys.open_bundle(encode_signed(signed), exchange.directory, XV)


def test_a_bundle_falls_with_the_key_that_signed_it() -> None:
    exchange = an_exchange(("XV",))
    signed = exchange.publish_prekeys("XV", TODAY)
    exchange.add(
        issue.make_revocation(
            exchange=EXCHANGE,
            issuer=XV,
            party=XV,
            key_id=exchange.parties[XV].statement.public.key_id,
            reason=RevocationReason.LOST,
            now_ms=NOON,
            key=exchange.parties[XV].root,
        )
    )
    with pytest.raises(BadStatement):
        prekeys.open_bundle(encode_signed(signed), exchange.directory, XV)


def test_a_bundle_has_one_to_forty_days() -> None:
    for days in (0, 41):
        with pytest.raises(MalformedInput):
            a_bundle(XV, days=days)


@pytest.mark.parametrize("junk", [b"", b"junk", bytes(70_000)])
def test_junk_is_no_bundle(junk: bytes) -> None:
    with pytest.raises(ExchangeError):
        prekeys.open_bundle(junk, an_exchange(("XV",)).directory, XV)
