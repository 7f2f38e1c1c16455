"""The fold over the directory log: who is in, with which keys, as of which entry."""

from hashlib import sha256

import pytest

from exchange import merkle
from exchange.crypto.codec import encode_signed
from exchange.crypto.signed import Signed, add_signature, sign
from exchange.crypto.x509 import ca_key_hash
from exchange.directory import ceremony, issue
from exchange.directory.codec import encode
from exchange.directory.fold import Applied, Directory
from exchange.directory.state import Ignored, KeyUse, Reason, Status
from exchange.directory.statements import AgreementStatus, CouncilMember, RevocationReason
from exchange.errors import BadStatement, InternalError
from exchange.names import COUNCIL, ExchangeName, party_id
from tests.support.directory_builders import (
    DAY_MS,
    EXCHANGE,
    LIMITS,
    NOON,
    Council,
    Exchange,
    a_council,
    a_directory,
    a_join_request,
    an_exchange,
    an_invitation,
    composite,
    ed25519,
    party_keys,
    relay_keys,
    transport_ca,
)

XA, XV, XO = party_id("XA"), party_id("XV"), party_id("XO")


def ignored(exchange: Exchange, signed: Signed) -> Reason:
    """Append a statement that must be ignored; return why."""
    outcome = exchange.directory.apply(encode_signed(signed), exchange.directory.size)
    assert isinstance(outcome, Ignored), outcome
    exchange.entries.append(encode_signed(signed))
    return outcome.reason


def a_revocation(
    exchange: Exchange, name: str, key_id: bytes, *, by: str = "", reason: RevocationReason = RevocationReason.LOST
) -> Signed:
    issuer = by or name
    return issue.make_revocation(
        exchange=EXCHANGE,
        issuer=issuer,
        party=party_id(name),
        key_id=key_id,
        reason=reason,
        compromised_since_ms=NOON if reason is RevocationReason.COMPROMISED else 0,
        now_ms=NOON,
        key=exchange.council_key if issuer == COUNCIL else party_keys(issuer).root,
    )


def a_suspension(exchange: Exchange, name: str, *, suspended: bool = True) -> Signed:
    return issue.make_suspension(
        exchange=EXCHANGE,
        place=exchange.directory.next_seq_prev(COUNCIL),
        party=party_id(name),
        suspended=suspended,
        now_ms=NOON,
        council_key=exchange.council_key,
    )


def an_expulsion(exchange: Exchange, name: str) -> Signed:
    return issue.make_expulsion(
        exchange=EXCHANGE,
        place=exchange.directory.next_seq_prev(COUNCIL),
        party=party_id(name),
        now_ms=NOON,
        council_key=exchange.council_key,
    )


def a_node_cert(exchange: Exchange, name: str, label: str) -> Signed:
    """A second certificate for the node of a member, for the keys NAME/LABEL."""
    return ceremony.make_node_cert(
        exchange=EXCHANGE,
        party=party_id(name),
        place=exchange.directory.next_seq_prev(name),
        statement_key=composite(f"{name}/{label}").public,
        envelope_key=ed25519(f"{name}/{label}").public,
        now_ms=NOON,
        not_after_ms=NOON + DAY_MS,
        root=party_keys(name).root,
    )


def an_admission(exchange: Exchange, name: str) -> Signed:
    return ceremony.make_admission(
        exchange=EXCHANGE,
        party=party_id(name),
        root_key_id=party_keys(name).root.public.key_id,
        now_ms=NOON,
        council_key=exchange.council_key,
    )


# Founding


def test_a_genesis_is_anchored_by_the_hash_of_its_payload() -> None:
    signed = a_council().genesis()
    digest = sha256(signed.payload).digest()
    assert Directory.found(encode_signed(signed), expected_hash=digest).genesis_hash == digest
    with pytest.raises(BadStatement):
        Directory.found(encode_signed(signed), expected_hash=bytes(32))


def test_a_genesis_counts_parties_and_not_keys() -> None:
    roots = (composite("XA/root"), composite("XA/second root"), composite("XV/root"))
    members = tuple(CouncilMember(party, root.public) for party, root in zip((XA, XA, XV), roots, strict=True))
    payload = Council(members, roots, 2).genesis().payload
    by_one_party = ceremony.cosign_genesis(ceremony.sign_genesis(payload, roots[0]), roots[1])
    with pytest.raises(BadStatement):
        Directory.found(encode_signed(by_one_party), expected_hash=None)
    by_two = ceremony.cosign_genesis(ceremony.sign_genesis(payload, roots[1]), roots[2])
    assert Directory.found(encode_signed(by_two), expected_hash=None).size == 1


def test_a_log_cannot_begin_with_anything_else() -> None:
    exchange = an_exchange()
    for entry in (exchange.entries[1], b"", b"junk"):
        with pytest.raises(BadStatement):
            Directory.found(entry, expected_hash=None)


def test_a_genesis_names_one_exchange_for_its_signatures_too() -> None:
    signed = a_council().genesis()
    elsewhere = sign(composite("XA/root"), "genesis", signed.payload, context="other.concord.example")
    with pytest.raises(BadStatement):
        Directory.found(encode_signed(elsewhere), expected_hash=None)


def test_a_second_genesis_changes_nothing() -> None:
    exchange = an_exchange()
    assert ignored(exchange, a_council().genesis()) is Reason.OUT_OF_ORDER


# Joining


def test_a_party_that_joins_and_is_admitted_has_its_keys() -> None:
    exchange = an_exchange()
    directory, keys = exchange.directory, exchange.parties[XV]
    record = directory.party(XV)
    assert record is not None
    assert (record.status, record.country, record.root) == (Status.ADMITTED, "XV", keys.root.public)
    assert directory.current_statement_key(XV) == keys.statement.public
    assert directory.current_envelope_key(XV) == keys.envelope.public
    assert directory.transport_cas() == {exchange.parties[p].ca: p for p in (XA, XV)}
    assert directory.ignored == ()


def test_before_admission_a_party_has_nothing() -> None:
    exchange = an_exchange(("XA",))
    keys = exchange.join("XV", admit=False)
    directory = exchange.directory
    record = directory.party(XV)
    assert record is not None and record.status is Status.JOINING and record.admitted_at is None
    assert directory.statement_key(XV, keys.statement.public.key_id, at_size=directory.size) is None
    assert directory.current_envelope_key(XV) is None
    assert XV not in directory.transport_cas().values()
    admitted_at = exchange.admit("XV")
    key_id = keys.statement.public.key_id
    assert directory.statement_key(XV, key_id, at_size=admitted_at) is None
    assert directory.statement_key(XV, key_id, at_size=admitted_at + 1) == keys.statement.public


def test_invitations_may_be_used_in_any_order() -> None:
    exchange = an_exchange(())
    invitations = {name: an_invitation(name, exchange.council_key) for name in ("XA", "XV", "XO")}
    for name in ("XO", "XA", "XV"):
        request = a_join_request(party_keys(name), invitations[name])
        for part in (request.invitation, request.party_root, request.node_cert, request.transport_key):
            exchange.add(part)
    assert {record.party for record in exchange.directory.parties()} == {XA, XV, XO}


def test_a_second_root_under_one_invitation_is_an_alarm_and_not_a_replacement() -> None:
    exchange = an_exchange(("XA",))
    exchange.join("XV", admit=False)
    invitation = an_invitation("XV", exchange.council_key)
    exchange.add(invitation)
    digest = sha256(invitation.payload).digest()
    # Under the first, spent, invitation of XV:
    spent = exchange.directory.party(XV)
    assert spent is not None
    thief = ceremony.prove_invitation(
        ceremony.make_party_root(
            exchange=EXCHANGE, party=XV, invitation_sha256=spent.invitation_sha256, root=composite("thief"), now_ms=NOON
        ),
        party_keys("XV").one_time,
    )
    assert ignored(exchange, thief) is Reason.INVITATION_SPENT
    assert [alarm.reason for alarm in exchange.directory.ignored] == [Reason.INVITATION_SPENT]
    after = exchange.directory.party(XV)
    assert after is not None and after.root == party_keys("XV").root.public
    assert exchange.directory.index_of(digest) is not None


def test_a_root_needs_the_one_time_key_of_its_invitation() -> None:
    exchange = an_exchange(("XA",))
    invitation = an_invitation("XV", exchange.council_key)
    exchange.add(invitation)
    root = ceremony.make_party_root(
        exchange=EXCHANGE,
        party=XV,
        invitation_sha256=sha256(invitation.payload).digest(),
        root=party_keys("XV").root,
        now_ms=NOON,
    )
    assert ignored(exchange, root) is Reason.BAD_SIGNATURE
    assert ignored(exchange, ceremony.prove_invitation(root, ed25519("another"))) is Reason.BAD_SIGNATURE
    bare = Signed(
        root.payload_type, root.payload, (ceremony.prove_invitation(root, ed25519("XV/one-time")).signatures[1],)
    )
    assert ignored(exchange, bare) is Reason.BAD_SIGNATURE
    exchange.add(ceremony.prove_invitation(root, ed25519("XV/one-time")))


def test_a_root_under_no_invitation_or_anothers_is_ignored() -> None:
    exchange = an_exchange(("XA",))
    invitation = an_invitation("XV", exchange.council_key)
    keys = party_keys("XO")
    request = a_join_request(keys, invitation)
    assert ignored(exchange, request.party_root) is Reason.NO_INVITATION
    exchange.add(invitation)
    signed = ceremony.prove_invitation(
        ceremony.make_party_root(
            exchange=EXCHANGE,
            party=XO,
            invitation_sha256=sha256(invitation.payload).digest(),
            root=keys.root,
            now_ms=NOON,
        ),
        ed25519("XV/one-time"),
    )
    assert ignored(exchange, signed) is Reason.NO_INVITATION


def test_a_later_invitation_lets_a_party_begin_to_join_anew() -> None:
    exchange = an_exchange(("XA",))
    old = exchange.join("XV", admit=False)
    one_time = ed25519("XV/one-time/2")
    earlier = an_invitation("XV", exchange.council_key, now_ms=NOON - 1, one_time=ed25519("XV/one-time/0"))
    later = an_invitation("XV", exchange.council_key, now_ms=NOON + 1, one_time=one_time)
    for invitation, key, reason in ((earlier, ed25519("XV/one-time/0"), Reason.PARTY_TAKEN), (later, one_time, None)):
        exchange.add(invitation)
        root = ceremony.make_party_root(
            exchange=EXCHANGE,
            party=XV,
            invitation_sha256=sha256(invitation.payload).digest(),
            root=composite("XV/new root"),
            now_ms=NOON,
        )
        proven = ceremony.prove_invitation(root, key)
        if reason is not None:
            assert ignored(exchange, proven) is reason
        else:
            exchange.add(proven)
    assert ignored(exchange, an_admission(exchange, "XV")) is Reason.WRONG_ROOT
    exchange.add(
        ceremony.make_admission(
            exchange=EXCHANGE,
            party=XV,
            root_key_id=composite("XV/new root").public.key_id,
            now_ms=NOON,
            council_key=exchange.council_key,
        )
    )
    # The node of the attempt before is gone with its root.
    assert exchange.directory.current_statement_key(XV) is None
    size = exchange.directory.size
    assert exchange.directory.statement_key(XV, old.statement.public.key_id, at_size=size) is None
    assert XV not in exchange.directory.transport_cas().values()


def test_party_ids_are_never_reused() -> None:
    exchange = an_exchange(("XA", "XV"))
    assert ignored(exchange, an_invitation("XV", exchange.council_key)) is Reason.PARTY_TAKEN
    exchange.add(an_expulsion(exchange, "XV"))
    assert ignored(exchange, an_invitation("XV", exchange.council_key)) is Reason.PARTY_TAKEN
    assert ignored(exchange, an_admission(exchange, "XV")) is Reason.NO_CHANGE


def test_a_council_party_joins_with_its_council_root_only() -> None:
    exchange = an_exchange(())
    invitation = an_invitation("XA", exchange.council_key)
    exchange.add(invitation)
    root = ceremony.make_party_root(
        exchange=EXCHANGE,
        party=XA,
        invitation_sha256=sha256(invitation.payload).digest(),
        root=composite("XA/another root"),
        now_ms=NOON,
    )
    assert ignored(exchange, ceremony.prove_invitation(root, ed25519("XA/one-time"))) is Reason.WRONG_ROOT


def twin(certificate: bytes) -> bytes:
    """The same certificate with the other form of its ECDSA signature: (r, n - s) for (r, s)."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

    def integer(value: int) -> bytes:
        raw = value.to_bytes(value.bit_length() // 8 + 1, "big")
        return b"\x02" + bytes((len(raw),)) + raw

    def wrapped(tag: bytes, content: bytes) -> bytes:
        size = len(content)
        length = bytes((size,)) if size < 128 else b"\x82" + size.to_bytes(2, "big")
        return tag + length + content

    inner = 4 + int.from_bytes(certificate[6:8], "big") + 4  # SEQUENCE, 2 bytes of length, in SEQUENCE
    signed, rest = certificate[4:inner], certificate[inner:]
    algorithm, signature = rest[: 2 + rest[1]], rest[2 + rest[1] + 3 :]
    r_end = 4 + signature[3]
    r, s = int.from_bytes(signature[4:r_end], "big"), int.from_bytes(signature[r_end + 2 :], "big")
    other = wrapped(b"\x30", integer(r) + integer(order - s))
    return wrapped(b"\x30", signed + algorithm + wrapped(b"\x03", b"\x00" + other))


def test_nobody_enters_a_key_that_the_directory_knows() -> None:
    exchange = an_exchange(("XA", "XV"))
    place = exchange.directory.next_seq_prev("XV")
    keys = exchange.parties[XV]
    assert twin(exchange.parties[XA].ca) != exchange.parties[XA].ca
    for ca in (exchange.parties[XA].ca, twin(exchange.parties[XA].ca), relay_keys().transport_ca):
        stolen = ceremony.make_transport_key(
            exchange=EXCHANGE,
            party=XV,
            place=place,
            ca_certificate=ca,
            now_ms=NOON,
            statement_key=keys.statement,
        )
        assert ignored(exchange, stolen) is Reason.KEY_TAKEN
    taken = (
        (exchange.parties[XA].statement.public, ed25519("new").public),
        (composite("new").public, exchange.parties[XA].envelope.public),
        (composite("new").public, relay_keys().promise),
        (keys.statement.public, ed25519("new").public),
    )
    for statement_key, envelope_key in taken:
        cert = ceremony.make_node_cert(
            exchange=EXCHANGE,
            party=XV,
            place=place,
            statement_key=statement_key,
            envelope_key=envelope_key,
            now_ms=NOON,
            not_after_ms=NOON + DAY_MS,
            root=keys.root,
        )
        assert ignored(exchange, cert) is Reason.KEY_TAKEN


# The council


def test_a_council_statement_needs_as_many_parties_as_the_threshold() -> None:
    council = a_council(("XA", "XV", "XO"), threshold=2)
    directory = a_directory(council)
    invitation = an_invitation("XN", council.roots[0])
    alone = directory.apply(encode_signed(invitation), 1)
    assert isinstance(alone, Ignored) and alone.reason is Reason.BELOW_THRESHOLD
    both = add_signature(invitation, council.roots[2], context=EXCHANGE)
    assert isinstance(directory.apply(encode_signed(both), 2), Applied)


def test_two_roots_of_one_party_count_once() -> None:
    roots = (composite("XA/root"), composite("XA/second root"), composite("XV/root"))
    members = tuple(CouncilMember(p, r.public) for p, r in zip((XA, XA, XV), roots, strict=True))
    directory = a_directory(Council(members, roots, 2))
    invitation = add_signature(an_invitation("XN", roots[0]), roots[1], context=EXCHANGE)
    outcome = directory.apply(encode_signed(invitation), 1)
    assert isinstance(outcome, Ignored) and outcome.reason is Reason.BELOW_THRESHOLD


def test_a_signature_by_a_stranger_spoils_a_council_statement() -> None:
    exchange = an_exchange()
    signed = add_signature(an_invitation("XN", exchange.council_key), composite("stranger"), context=EXCHANGE)
    assert ignored(exchange, signed) is Reason.BAD_SIGNATURE


def test_only_the_council_admits_suspends_and_expels() -> None:
    exchange = an_exchange(("XA", "XV"))
    exchange.join("XO", admit=False)
    thief = exchange.parties[XV].root
    admission = ceremony.make_admission(
        exchange=EXCHANGE,
        party=XO,
        root_key_id=party_keys("XO").root.public.key_id,
        now_ms=NOON,
        council_key=thief,
    )
    assert ignored(exchange, admission) is Reason.BAD_SIGNATURE
    assert ignored(exchange, an_invitation("XN", thief)) is Reason.BAD_SIGNATURE


def test_an_expelled_council_party_votes_no_more() -> None:
    council = a_council(("XA", "XV"), threshold=1)
    exchange = an_exchange(("XA", "XV"), council=council)
    exchange.add(an_expulsion(exchange, "XV"))
    assert ignored(exchange, an_invitation("XN", council.roots[1])) is Reason.BAD_SIGNATURE
    exchange.add(an_invitation("XN", council.roots[0]))


def test_a_suspended_party_keeps_its_keys_and_an_expelled_one_nothing() -> None:
    exchange = an_exchange(("XA", "XV"))
    directory, keys = exchange.directory, exchange.parties[XV]
    suspended_at = exchange.add(a_suspension(exchange, "XV"))
    assert directory.standing(XV, at_size=directory.size) is Status.SUSPENDED
    assert directory.current_statement_key(XV) == keys.statement.public
    assert XV in directory.transport_cas().values()
    exchange.add(a_suspension(exchange, "XV", suspended=False))
    assert directory.standing(XV, at_size=directory.size) is Status.ADMITTED
    expelled_at = exchange.add(an_expulsion(exchange, "XV"))
    assert XV not in directory.transport_cas().values()
    assert directory.current_statement_key(XV) is None
    assert directory.statement_key(XV, keys.statement.public.key_id, at_size=expelled_at) == keys.statement.public
    assert directory.statement_key(XV, keys.statement.public.key_id, at_size=expelled_at + 1) is None
    assert directory.standing(XV, at_size=suspended_at) is Status.ADMITTED
    assert directory.standing(XV, at_size=suspended_at + 1) is Status.SUSPENDED
    assert ignored(exchange, a_node_cert(exchange, "XV", "next")) is Reason.EXPELLED


def test_council_statements_that_count_are_chained() -> None:
    exchange = an_exchange(("XA", "XV"))
    suspension = a_suspension(exchange, "XV")
    lifted_out_of_turn = issue.make_suspension(
        exchange=EXCHANGE,
        place=(9, bytes(32)),
        party=XV,
        suspended=False,
        now_ms=NOON,
        council_key=exchange.council_key,
    )
    exchange.add(suspension)
    assert ignored(exchange, lifted_out_of_turn) is Reason.OUT_OF_ORDER
    exchange.add(a_suspension(exchange, "XV", suspended=False))
    # Nobody can bring an old suspension back.
    assert ignored(exchange, suspension) is Reason.REPEATED


# Keys by position


def test_a_revoked_key_is_valid_before_its_revocation_and_never_after() -> None:
    exchange = an_exchange(("XA", "XV"))
    directory, key = exchange.directory, exchange.parties[XV].statement.public
    index = exchange.add(a_revocation(exchange, "XV", key.key_id))
    exchange.add(an_invitation("XN", exchange.council_key))
    assert directory.statement_key(XV, key.key_id, at_size=index) == key
    assert directory.statement_key(XV, key.key_id, at_size=index + 1) is None
    assert directory.statement_key(XV, key.key_id, at_size=directory.size) is None
    assert directory.current_statement_key(XV) is None


def test_what_a_revoked_key_entered_falls_with_it() -> None:
    exchange = an_exchange(("XA", "XV"), prekeys_from=18_955)
    directory, keys = exchange.directory, exchange.parties[XV]
    assert directory.bundle_hash(XV) is not None
    exchange.add(a_revocation(exchange, "XV", keys.statement.public.key_id))
    assert directory.bundle_hash(XV) is None
    assert XV not in directory.transport_cas().values()
    assert directory.current_envelope_key(XV) == keys.envelope.public
    exchange.add(a_revocation(exchange, "XV", keys.root.public.key_id, by=COUNCIL))
    assert directory.current_envelope_key(XV) is None


def test_a_stolen_node_cannot_hold_up_its_own_revocation() -> None:
    exchange = an_exchange(("XA", "XV"))
    revocation = a_revocation(exchange, "XV", exchange.parties[XV].statement.public.key_id)
    exchange.publish_prekeys("XV", 18_955)  # the thief is faster, and moves the chain on
    exchange.add(revocation)
    assert exchange.directory.bundle_hash(XV) is None


def test_a_revocation_can_get_worse_and_never_better() -> None:
    exchange = an_exchange(("XA", "XV"))
    key_id = exchange.parties[XV].statement.public.key_id
    index = exchange.add(a_revocation(exchange, "XV", key_id))
    assert ignored(exchange, a_revocation(exchange, "XV", key_id)) is Reason.NO_CHANGE
    exchange.add(a_revocation(exchange, "XV", key_id, reason=RevocationReason.COMPROMISED))
    assert ignored(exchange, a_revocation(exchange, "XV", key_id)) is Reason.NO_CHANGE
    record = exchange.directory.key_record(key_id)
    assert record is not None and (record.until_index, record.compromised_since_ms) == (index, NOON)


def test_a_party_revokes_its_own_keys_only() -> None:
    exchange = an_exchange(("XA", "XV"))
    victim = exchange.parties[XA].statement.public.key_id
    signed = a_revocation(exchange, "XV", victim)
    assert ignored(exchange, signed) is Reason.NO_SUCH_KEY
    by_other = issue.make_revocation(
        exchange=EXCHANGE,
        issuer=XV,
        party=XA,
        key_id=victim,
        reason=RevocationReason.LOST,
        now_ms=NOON,
        key=exchange.parties[XV].root,
    )
    assert ignored(exchange, by_other) is Reason.WRONG_ISSUER


def test_a_node_cannot_revoke_or_certify_with_its_statement_key() -> None:
    exchange = an_exchange(("XA", "XV"))
    keys = exchange.parties[XV]
    signed = issue.make_revocation(
        exchange=EXCHANGE,
        issuer=XV,
        party=XV,
        key_id=keys.envelope.public.key_id,
        reason=RevocationReason.LOST,
        now_ms=NOON,
        key=keys.statement,
    )
    assert ignored(exchange, signed) is Reason.BAD_SIGNATURE


def test_after_a_rotation_both_keys_hold_and_the_newest_is_current() -> None:
    exchange = an_exchange(("XA", "XV"))
    directory, old = exchange.directory, exchange.parties[XV].statement.public
    exchange.add(a_node_cert(exchange, "XV", "next"))
    new = composite("XV/next").public
    assert directory.current_statement_key(XV) == new
    assert directory.statement_key(XV, old.key_id, at_size=directory.size) == old
    # The new certificate lasts a day.
    assert directory.current_statement_key(XV, at_ms=NOON + 2 * DAY_MS) == old
    assert directory.statement_key(XV, new.key_id, at_size=directory.size, at_ms=NOON + DAY_MS) is None
    assert directory.statement_key(XV, new.key_id, at_size=directory.size, at_ms=NOON + DAY_MS - 1) == new


def test_a_key_serves_one_use_of_one_party() -> None:
    exchange = an_exchange(("XA", "XV"))
    directory, keys = exchange.directory, exchange.parties[XV]
    size = directory.size
    assert directory.statement_key(XA, keys.statement.public.key_id, at_size=size) is None
    assert directory.statement_key(XV, keys.envelope.public.key_id, at_size=size) is None
    assert directory.envelope_key(XV, keys.statement.public.key_id, at_size=size) is None
    assert directory.root_key(XV, keys.statement.public.key_id, at_size=size) is None
    assert directory.root_key(XV, keys.root.public.key_id, at_size=size) == keys.root.public
    record = directory.key_record(keys.statement.public.key_id)
    assert record is not None and (record.party, record.use) == (XV, KeyUse.STATEMENT)


def test_a_future_that_is_not_replayed_yet_has_no_keys() -> None:
    exchange = an_exchange(("XA", "XV"))
    directory, key = exchange.directory, exchange.parties[XV].statement.public
    assert directory.statement_key(XV, key.key_id, at_size=directory.size + 1) is None
    assert directory.standing(XV, at_size=directory.size + 1) is None
    assert directory.agreement_status(bytes(32), at_size=directory.size + 1) is None


def test_a_party_has_at_most_four_transport_cas() -> None:
    exchange = an_exchange(("XA",))

    def another(number: int) -> Signed:
        return ceremony.make_transport_key(
            exchange=EXCHANGE,
            party=XA,
            place=exchange.directory.next_seq_prev("XA"),
            ca_certificate=transport_ca(f"XA/{number}")[0],
            now_ms=NOON,
            statement_key=exchange.parties[XA].statement,
        )

    for number in range(3):
        exchange.add(another(number))
    assert ignored(exchange, another(9)) is Reason.TOO_MANY
    exchange.add(a_revocation(exchange, "XA", ca_key_hash(exchange.parties[XA].ca)))
    assert exchange.parties[XA].ca not in exchange.directory.transport_cas()
    exchange.add(another(9))
    assert len(exchange.directory.transport_cas()) == 4


# Agreements


def test_an_agreement_has_the_status_of_its_position_and_stays_terminated() -> None:
    exchange = an_exchange()
    commitment, directory = sha256(b"view").digest(), exchange.directory

    def commit(status: AgreementStatus) -> Signed:
        return issue.make_agreement_commit(
            exchange=EXCHANGE,
            place=directory.next_seq_prev("relay"),
            commitment=commitment,
            status=status,
            now_ms=NOON,
            promise_key=exchange.promise,
        )

    active = exchange.add(commit(AgreementStatus.ACTIVE))
    suspended = exchange.add(commit(AgreementStatus.SUSPENDED))
    exchange.add(commit(AgreementStatus.TERMINATED))
    assert directory.agreement_status(commitment, at_size=active) is None
    assert directory.agreement_status(commitment, at_size=active + 1) is AgreementStatus.ACTIVE
    assert directory.agreement_status(commitment, at_size=suspended + 1) is AgreementStatus.SUSPENDED
    assert directory.agreement_status(commitment, at_size=directory.size) is AgreementStatus.TERMINATED
    assert ignored(exchange, commit(AgreementStatus.ACTIVE)) is Reason.NO_CHANGE


# The log


def test_the_root_hash_covers_ignored_entries_too() -> None:
    exchange = an_exchange(("XA", "XV", "XO"))
    for junk in (b"", b"junk", exchange.entries[3]):
        exchange.directory.apply(junk, exchange.directory.size)
        exchange.entries.append(junk)
        leaves = [merkle.leaf_hash(entry) for entry in exchange.entries]
        assert exchange.directory.root() == merkle.root_of(leaves)
    assert [alarm.index for alarm in exchange.directory.ignored] == [16, 17, 18]


def test_everybody_who_replays_the_log_knows_the_same() -> None:
    exchange = an_exchange(("XA", "XV", "XO"), prekeys_from=18_955)
    exchange.add(a_suspension(exchange, "XV"))
    replayed = exchange.replayed()
    assert replayed.root() == exchange.directory.root()
    assert replayed.parties() == exchange.directory.parties()
    assert replayed.transport_cas() == exchange.directory.transport_cas()


def test_an_entry_goes_to_the_end_of_the_log_only() -> None:
    exchange = an_exchange()
    with pytest.raises(InternalError):
        exchange.directory.apply(b"", exchange.directory.size + 1)


def test_an_entry_for_another_exchange_is_ignored() -> None:
    exchange = an_exchange()
    elsewhere = ceremony.make_admission(
        exchange=ExchangeName("other.concord.example"),
        party=XV,
        root_key_id=bytes(32),
        now_ms=NOON,
        council_key=exchange.council_key,
    )
    assert ignored(exchange, elsewhere) is Reason.OTHER_EXCHANGE


def test_a_statement_under_another_type_is_ignored() -> None:
    exchange = an_exchange(("XA", "XV"))
    exchange.join("XO", admit=False)
    admission = an_admission(exchange, "XO")
    for name, reason in (("expulsion", Reason.MALFORMED), ("prekey-bundle", Reason.UNKNOWN_TYPE)):
        signed = sign(exchange.council_key, name, admission.payload, context=EXCHANGE)
        assert ignored(exchange, signed) is reason


# Check


def test_check_says_what_apply_would_do_and_changes_nothing() -> None:
    exchange = an_exchange(("XA",))
    directory = exchange.directory
    request = a_join_request(party_keys("XV"), an_invitation("XV", exchange.council_key))
    before = (directory.size, directory.root(), directory.parties(), directory.ignored)
    checked = directory.check(encode_signed(request.invitation), NOON)
    assert (checked.index, checked.kind, checked.issuer) == (directory.size, "invitation", COUNCIL)
    with pytest.raises(BadStatement):
        directory.check(encode_signed(request.party_root), NOON)
    parts = (request.invitation, request.party_root, request.node_cert, request.transport_key)
    assert [c.kind for c in directory.check_all([encode_signed(p) for p in parts], NOON)] == [
        "invitation",
        "party-root",
        "node-cert",
        "transport-key",
    ]
    assert (directory.size, directory.root(), directory.parties(), directory.ignored) == before


@pytest.mark.parametrize("now_ms", [NOON - DAY_MS, NOON + 14 * DAY_MS])
def test_check_refuses_an_invitation_outside_its_time(now_ms: int) -> None:
    exchange = an_exchange(("XA",))
    invitation = an_invitation("XV", exchange.council_key)
    with pytest.raises(BadStatement, match="outside-its-time"):
        exchange.directory.check(encode_signed(invitation), now_ms)
    exchange.add(invitation)
    root = a_join_request(party_keys("XV"), invitation, now_ms=NOON - DAY_MS).party_root
    with pytest.raises(BadStatement, match="outside-its-time"):
        exchange.directory.check(encode_signed(root), now_ms)
    exchange.directory.check(encode_signed(root), NOON + 14 * DAY_MS - 1)
    assert isinstance(exchange.directory.apply(encode_signed(root), exchange.directory.size), Applied)


def test_check_refuses_what_an_expired_key_signed() -> None:
    exchange = an_exchange(("XA",))
    late = NOON + 365 * DAY_MS
    transport = ceremony.make_transport_key(
        exchange=EXCHANGE,
        party=XA,
        place=exchange.directory.next_seq_prev("XA"),
        ca_certificate=transport_ca("XA/second")[0],
        now_ms=NOON,
        statement_key=exchange.parties[XA].statement,
    )
    exchange.directory.check(encode_signed(transport), late - 1)
    with pytest.raises(BadStatement, match="outside-its-time"):
        exchange.directory.check(encode_signed(transport), late)


def test_a_fork_changes_apart() -> None:
    exchange = an_exchange(("XA",))
    fork = exchange.directory.fork()
    fork.apply(encode_signed(an_invitation("XV", exchange.council_key)), fork.size)
    fork.apply(b"junk", fork.size)
    assert (fork.size, len(fork.ignored)) == (exchange.directory.size + 2, 1)
    assert exchange.directory.ignored == () and exchange.directory.root() == exchange.replayed().root()


def test_limits_of_the_genesis_can_be_asked() -> None:
    directory = a_directory()
    assert directory.genesis.limits == LIMITS and directory.relay_keys == relay_keys()
    assert sha256(encode(directory.genesis)).digest() == directory.genesis_hash
