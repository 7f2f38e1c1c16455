"""Keys that follow each other: node keys with an overlap, roots by both or by the council, and who may object."""

from collections.abc import Sequence

import pytest

from exchange.crypto.codec import encode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed, add_signature
from exchange.crypto.signing import CompositeKey
from exchange.directory import ceremony, issue
from exchange.directory.fold import Directory
from exchange.directory.state import Ignored, KeyUse, Reason
from exchange.directory.statements import RevocationReason, RootRollover
from exchange.errors import BadStatement, MalformedInput
from exchange.limits import KEY_OVERLAP_MS, ROLLOVER_DELAY_MS
from exchange.names import COUNCIL, party_id
from tests.support.directory_builders import (
    DAY_MS,
    EXCHANGE,
    NOON,
    Exchange,
    a_council,
    an_exchange,
    composite,
    ed25519,
    party_keys,
    transport_ca,
)

XV = party_id("XV")
LATER = NOON + 100 * DAY_MS
EFFECTIVE = NOON + ROLLOVER_DELAY_MS + DAY_MS


def a_cert(name: str, *, now_ms: int = LATER, root: CompositeKey | None = None) -> Signed:
    """Return a certificate for XV's next node keys, which needs no place."""
    drafted = issue.draft_node_cert(
        exchange=EXCHANGE,
        party=XV,
        statement_key=composite(f"XV/{name}").public,
        envelope_key=ed25519(f"XV/{name}").public,
        now_ms=now_ms,
        not_after_ms=now_ms + 365 * DAY_MS,
    )
    return ceremony.sign_statement(drafted, root or party_keys("XV").root)


def ignored(directory: Directory, signed: Signed) -> Reason:
    outcome = directory.apply(encode_signed(signed), directory.size)
    assert isinstance(outcome, Ignored), outcome
    return outcome.reason


def signed_by(statement: RootRollover, keys: Sequence[CompositeKey]) -> Signed:
    signed = ceremony.sign_statement(statement, keys[0])
    for key in keys[1:]:
        signed = add_signature(signed, key, context=EXCHANGE)
    return signed


def a_rollover(*keys: CompositeKey, issuer: str = "XV", new: str = "XV/root/2", old: str = "XV/root") -> Signed:
    drafted = issue.draft_rollover(
        exchange=EXCHANGE,
        issuer=issuer,
        party=XV,
        old_root_key_id=composite(old).public.key_id,
        new_root=composite(new).public,
        effective_ms=EFFECTIVE if issuer == COUNCIL else 0,
        now_ms=NOON,
    )
    return signed_by(drafted, keys or (composite("XV/root"), composite(new)))


def valid(directory: Directory, key: PublicKey, at_ms: int, size: int | None = None) -> bool:
    at_size = directory.size if size is None else size
    return directory.statement_key(XV, key.key_id, at_size=at_size, at_ms=at_ms) is not None


# Node keys


def test_old_node_keys_serve_for_thirty_days_beside_the_new_ones() -> None:
    exchange = an_exchange(("XA", "XV"))
    directory, old = exchange.directory, party_keys("XV").statement.public
    exchange.add(a_cert("next"))
    new = composite("XV/next").public
    assert directory.current_statement_key(XV, at_ms=LATER) == new
    assert valid(directory, old, LATER + KEY_OVERLAP_MS - 1) and valid(directory, new, LATER + KEY_OVERLAP_MS - 1)
    assert not valid(directory, old, LATER + KEY_OVERLAP_MS) and valid(directory, new, LATER + KEY_OVERLAP_MS)
    record = directory.key_record(old.key_id)
    assert record is not None and record.until_ms == LATER + KEY_OVERLAP_MS


def test_what_was_judged_before_a_rotation_does_not_change_by_it() -> None:
    exchange = an_exchange(("XA", "XV"))
    size, old = exchange.directory.size, party_keys("XV").statement.public
    exchange.add(a_cert("next"))
    assert valid(exchange.directory, old, LATER + KEY_OVERLAP_MS, size)


def revoked(key_id: bytes, reason: RevocationReason, root: CompositeKey | None = None) -> Signed:
    return issue.make_revocation(
        exchange=EXCHANGE,
        issuer="XV",
        party=XV,
        key_id=key_id,
        reason=reason,
        compromised_since_ms=LATER if reason is RevocationReason.COMPROMISED else 0,
        now_ms=LATER,
        key=root or party_keys("XV").root,
    )


def once(directory: Directory, key: PublicKey, size: int | None = None) -> bool:
    at_size = directory.size if size is None else size
    return directory.statement_key_once(XV, key.key_id, at_size=at_size) is not None


def test_a_key_that_another_followed_or_that_was_lost_stood_once() -> None:
    exchange = an_exchange(("XA", "XV"))
    directory, old = exchange.directory, party_keys("XV").statement.public
    before = directory.size
    exchange.add(a_cert("next"))
    new = composite("XV/next").public
    assert not valid(directory, old, LATER + KEY_OVERLAP_MS) and once(directory, old) and once(directory, new)
    assert not once(directory, new, before) and not once(directory, old, directory.size + 1)
    exchange.add(revoked(old.key_id, RevocationReason.LOST))
    assert not valid(directory, old, LATER) and once(directory, old)
    envelope = party_keys("XV").envelope.public
    assert not once(directory, envelope) and directory.statement_key_once(party_id("XA"), old.key_id, at_size=1) is None


@pytest.mark.parametrize("what", ["the key", "its root"])
def test_a_key_that_was_stolen_never_counts_again_and_neither_does_what_a_stolen_root_certified(what: str) -> None:
    exchange = an_exchange(("XA", "XV"))
    directory, keys = exchange.directory, party_keys("XV")
    exchange.add(a_rollover())
    size, old = directory.size, keys.statement.public
    assert once(directory, old)
    key_id = old.key_id if what == "the key" else keys.root.public.key_id
    exchange.add(revoked(key_id, RevocationReason.COMPROMISED, composite("XV/root/2")))
    # Also as of sizes before: what is learnt of a key that has ended holds for all that rests on its past.
    assert not once(directory, old) and not once(directory, old, size)
    assert directory.statement_key(XV, old.key_id, at_size=size) == old


def test_a_key_of_an_attempt_to_join_that_came_to_nothing_never_stood() -> None:
    exchange = an_exchange(("XA", "XV"))
    joining = party_id("XT")
    exchange.join("XT", admit=False)
    lost = party_keys("XT").statement.public
    assert exchange.directory.statement_key_once(joining, lost.key_id, at_size=exchange.directory.size) is None
    exchange.admit("XT")
    assert exchange.directory.statement_key_once(joining, lost.key_id, at_size=exchange.directory.size) == lost


def test_the_root_certifies_without_knowing_what_its_node_published_meanwhile() -> None:
    exchange = an_exchange(("XA", "XV"), prekeys_from=18_955)
    cert = a_cert("next")
    exchange.publish_prekeys("XV", 18_960)
    exchange.add(cert)
    place = exchange.directory.next_seq_prev(XV)
    exchange.publish_prekeys("XV", 18_965)
    assert place[0] + 1 == exchange.directory.next_seq_prev(XV)[0]


def test_a_certificate_that_was_kept_back_displaces_nothing() -> None:
    exchange = an_exchange(("XA", "XV"))
    kept_back = a_cert("kept-back", now_ms=LATER)
    exchange.add(a_cert("next", now_ms=LATER + 1))
    assert ignored(exchange.directory, kept_back) is Reason.OLDER_CERTIFICATE
    assert exchange.directory.current_statement_key(XV) == composite("XV/next").public


def test_a_new_statement_key_enters_its_own_transport_cas_beside_the_old_ones() -> None:
    exchange = an_exchange(("XA", "XV"))
    exchange.add(a_cert("next"))
    for number in range(5):
        signed = ceremony.make_transport_key(
            exchange=EXCHANGE,
            party=XV,
            place=ceremony.ANY_PLACE,
            ca_certificate=transport_ca(f"XV/{number}")[0],
            now_ms=LATER,
            statement_key=composite("XV/next"),
        )
        if number < 4:
            exchange.add(signed)
        else:
            assert ignored(exchange.directory, signed) is Reason.TOO_MANY


def test_every_key_a_party_ever_had_can_be_listed() -> None:
    exchange = an_exchange(("XA", "XV"))
    exchange.add(a_cert("next"))
    uses = [record.use for record in exchange.directory.all_keys() if record.party == XV]
    assert uses.count(KeyUse.STATEMENT) == uses.count(KeyUse.ENVELOPE) == 2
    newest = exchange.directory.keys_of(XV, KeyUse.STATEMENT)[0]
    assert newest.public == composite("XV/next").public


# Roots


def test_a_party_goes_on_under_a_new_root_that_both_roots_signed() -> None:
    exchange = an_exchange(("XA", "XV"))
    directory, keys = exchange.directory, party_keys("XV")
    exchange.add(a_rollover())
    new = composite("XV/root/2")
    record = directory.party(XV)
    assert record is not None and record.root == new.public
    # What the old root certified stands; it certifies nothing more.
    assert directory.current_statement_key(XV) == keys.statement.public
    assert ignored(directory, a_cert("by-the-old")) is Reason.BAD_SIGNATURE
    exchange.add(a_cert("by-the-new", root=new))
    assert directory.root_key(XV, keys.root.public.key_id, at_size=directory.size) is None
    assert directory.root_key(XV, keys.root.public.key_id, at_size=directory.size - 3) == keys.root.public


@pytest.mark.parametrize("signers", [("XV/root",), ("XV/root/2",), ("XV/root", "XV/root/2", "XA/root"), ("XA/root",)])
def test_a_rollover_takes_just_the_two_roots(signers: tuple[str, ...]) -> None:
    exchange = an_exchange(("XA", "XV"))
    assert ignored(exchange.directory, a_rollover(*map(composite, signers))) is Reason.BAD_SIGNATURE


def test_a_rollover_of_a_root_that_the_party_does_not_have_is_ignored() -> None:
    exchange = an_exchange(("XA", "XV"))
    exchange.add(a_rollover())
    again = a_rollover(composite("XV/root"), composite("XV/root/3"), new="XV/root/3")
    assert ignored(exchange.directory, again) is Reason.BAD_SIGNATURE
    taken = a_rollover(composite("XV/root/2"), composite("XA/root"), new="XA/root", old="XV/root/2")
    assert ignored(exchange.directory, taken) is Reason.KEY_TAKEN


def test_a_root_that_took_over_falls_with_nothing_but_itself() -> None:
    exchange = an_exchange(("XA", "XV"))
    exchange.add(a_rollover())
    stolen = issue.make_revocation(
        exchange=EXCHANGE,
        issuer="XV",
        party=XV,
        key_id=composite("XV/root").public.key_id,
        reason=RevocationReason.COMPROMISED,
        compromised_since_ms=NOON,
        now_ms=NOON,
        key=composite("XV/root/2"),
    )
    exchange.add(stolen)
    # What the stolen root certified falls with it; the new root certifies again.
    assert exchange.directory.current_statement_key(XV) is None
    exchange.add(a_cert("anew", root=composite("XV/root/2")))
    assert exchange.directory.current_statement_key(XV) == composite("XV/anew").public


def test_a_council_party_votes_with_its_new_root_and_not_with_its_old_one() -> None:
    exchange = an_exchange(("XA", "XV"), council=a_council(("XV",), threshold=1))
    exchange.add(a_rollover())

    def suspension(key: CompositeKey) -> Signed:
        return issue.make_suspension(
            exchange=EXCHANGE,
            place=exchange.directory.next_seq_prev(COUNCIL),
            party=party_id("XA"),
            suspended=True,
            now_ms=NOON,
            council_key=key,
        )

    assert ignored(exchange.directory, suspension(composite("XV/root"))) is Reason.BAD_SIGNATURE
    exchange.add(suspension(composite("XV/root/2")))


# A root that is lost


def a_council_of_three() -> Exchange:
    council = a_council(("XA", "XO", "XT"), threshold=1)
    return an_exchange(("XA", "XV"), council=council)


def by_council(*council: str) -> Signed:
    return a_rollover(composite("XV/root/2"), *map(composite, council), issuer=COUNCIL)


def test_two_thirds_of_the_council_put_a_root_in_the_place_of_a_lost_one() -> None:
    exchange = a_council_of_three()
    assert ignored(exchange.directory, by_council("XA/root")) is Reason.BELOW_THRESHOLD
    exchange.add(by_council("XA/root", "XO/root"))
    directory, new = exchange.directory, composite("XV/root/2")
    assert ignored(directory, a_cert("too-early", now_ms=EFFECTIVE - 1, root=new)) is Reason.BAD_SIGNATURE
    assert directory.root_key(XV, new.public.key_id, at_size=directory.size, at_ms=EFFECTIVE - DAY_MS) is None
    exchange.add(a_cert("in-time", now_ms=EFFECTIVE, root=new))
    # The node goes on with its keys until the new ones are there; then the council ends the lost root.
    assert valid(directory, party_keys("XV").statement.public, EFFECTIVE)


def test_the_new_root_proves_that_somebody_has_it() -> None:
    exchange = a_council_of_three()
    signed = a_rollover(composite("XA/root"), composite("XO/root"), issuer=COUNCIL)
    assert ignored(exchange.directory, signed) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("objector", ["XV", "XT"])
def test_the_old_root_or_any_one_council_party_objects_in_time(objector: str) -> None:
    exchange = a_council_of_three()
    exchange.add(by_council("XA/root", "XO/root"))

    def objection(now_ms: int) -> Signed:
        return issue.make_revocation(
            exchange=EXCHANGE,
            issuer="XV" if objector == "XV" else COUNCIL,
            party=XV,
            key_id=composite("XV/root/2").public.key_id,
            reason=RevocationReason.SUPERSEDED,
            now_ms=now_ms,
            key=composite(f"{objector}/root"),
        )

    exchange.add(objection(NOON + 1))
    record = exchange.directory.party(XV)
    assert record is not None and record.root == party_keys("XV").root.public
    assert ignored(exchange.directory, a_cert("by-the-new", root=composite("XV/root/2"))) is Reason.BAD_SIGNATURE
    exchange.add(a_cert("by-the-old"))


def test_an_objection_counts_before_the_root_does_and_not_later() -> None:
    exchange = a_council_of_three()
    exchange.add(by_council("XA/root", "XO/root"))
    late = issue.make_revocation(
        exchange=EXCHANGE,
        issuer=COUNCIL,
        party=XV,
        key_id=composite("XV/root/2").public.key_id,
        reason=RevocationReason.SUPERSEDED,
        now_ms=NOON + 1,
        key=composite("XT/root"),
    )
    with pytest.raises(BadStatement, match="time to object is over"):
        exchange.directory.check(encode_signed(late), EFFECTIVE)
    exchange.directory.check(encode_signed(late), EFFECTIVE - 1)


def test_a_rollover_by_the_council_leaves_time_to_object() -> None:
    exchange = a_council_of_three()
    entry = encode_signed(by_council("XA/root", "XO/root"))
    exchange.directory.check(entry, EFFECTIVE - ROLLOVER_DELAY_MS)
    with pytest.raises(BadStatement, match="72 hours"):
        exchange.directory.check(entry, EFFECTIVE - ROLLOVER_DELAY_MS + 1)


@pytest.mark.parametrize(
    ("issuer", "effective_ms"), [("XV", EFFECTIVE), (COUNCIL, 0), (COUNCIL, NOON + ROLLOVER_DELAY_MS - 1)]
)
def test_a_rollover_says_when_it_counts_if_it_is_the_councils(issuer: str, effective_ms: int) -> None:
    drafted = issue.draft_rollover(
        exchange=EXCHANGE,
        issuer=issuer,
        party=XV,
        old_root_key_id=bytes(32),
        new_root=composite("XV/root/2").public,
        effective_ms=effective_ms,
        now_ms=NOON,
    )
    with pytest.raises(MalformedInput):
        ceremony.sign_statement(drafted, composite("XV/root/2"))
