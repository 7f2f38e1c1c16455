"""Directory statements as bytes: one encoding, and nothing that is impossible by itself."""

from dataclasses import replace

import pytest

from exchange.crypto import x509
from exchange.crypto.codec import encode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import sign
from exchange.directory import codec, rules
from exchange.directory.ceremony import common
from exchange.directory.statements import (
    Admission,
    AgreementCommit,
    AgreementStatus,
    Common,
    ExchangeLimits,
    Expulsion,
    Genesis,
    Invitation,
    LimitSet,
    NodeCert,
    PartyRoot,
    PrekeyBundle,
    PrekeyBundleHash,
    RelayKeySet,
    Revocation,
    RevocationReason,
    RootRollover,
    Statement,
    Suspension,
    TransportKey,
    Witness,
    Witnesses,
    WitnessSet,
)
from exchange.errors import BadInput, ExchangeError, MalformedInput
from exchange.names import COUNCIL, RELAY, ExchangeName, PartyId
from exchange.v1 import directory_pb2 as pb
from tests.support.directory_builders import (
    EXCHANGE,
    LIMITS,
    NOON,
    a_council,
    a_join_request,
    an_invitation,
    composite,
    ed25519,
    mldsa44,
    party_keys,
    relay_keys,
    transport_ca,
    xwing,
)

XV = PartyId("XV")
HASH = bytes(range(32))
BY_COUNCIL = common(EXCHANGE, COUNCIL, (2, HASH), now_ms=NOON)
BY_PARTY = common(EXCHANGE, XV, (2, HASH), now_ms=NOON, not_after_ms=NOON + 1)
INVITATION = Invitation(
    common(EXCHANGE, COUNCIL, (0, b""), now_ms=NOON, not_after_ms=NOON + 1), XV, "XV", ed25519("k").public, 5, "Velkar"
)
LOG = relay_keys().log
GENESIS = Genesis(common(EXCHANGE, COUNCIL, (1, b""), now_ms=NOON), a_council().members, 1, relay_keys(), LIMITS, NOON)
STATEMENTS: tuple[Statement, ...] = (
    GENESIS,
    INVITATION,
    PartyRoot(replace(BY_PARTY, seq=1, prev=b""), composite("k").public, HASH),
    Admission(BY_COUNCIL, XV, HASH),
    NodeCert(BY_PARTY, composite("k").public, ed25519("k").public),
    TransportKey(BY_PARTY, transport_ca("k")[0]),
    PrekeyBundleHash(BY_PARTY, HASH, 18_955, 30),
    AgreementCommit(common(EXCHANGE, RELAY, (1, b""), now_ms=NOON), HASH, AgreementStatus.SUSPENDED),
    Revocation(BY_PARTY, XV, HASH, RevocationReason.COMPROMISED, NOON),
    RootRollover(replace(BY_PARTY, seq=0, prev=b""), XV, HASH, composite("k").public, 0),
    Suspension(BY_COUNCIL, XV, suspended=True),
    WitnessSet(BY_COUNCIL, Witnesses((Witness(XV, mldsa44("k").public),), 1)),
    Expulsion(BY_COUNCIL, XV),
    RelayKeySet(BY_COUNCIL, relay_keys("next"), NOON),
    LimitSet(BY_COUNCIL, ExchangeLimits(1, 1 << 20, 256, 600, 600, 1 << 30, 50)),
)


@pytest.mark.parametrize("statement", STATEMENTS, ids=codec.name_of)
def test_every_statement_survives_its_encoding(statement: Statement) -> None:
    payload = codec.encode(statement)
    assert codec.decode(codec.name_of(statement), payload) == statement
    assert codec.decode_as(type(statement), payload) == statement


def test_every_statement_of_the_proto_is_here() -> None:
    names = {type(statement).__name__ for statement in STATEMENTS}
    carried = {name for name, kind in pb.DESCRIPTOR.message_types_by_name.items() if "common" in kind.fields_by_name}
    assert names == carried


def test_a_prekey_bundle_is_no_entry_of_the_log() -> None:
    bundle = PrekeyBundle(EXCHANGE, XV, 18_955, tuple(xwing(f"k{i}").public for i in range(40)), bytes(16))
    payload = codec.encode(bundle)
    assert codec.decode_as(PrekeyBundle, payload) == bundle
    assert len(encode_signed(sign(composite("k"), "prekey-bundle", payload, context=EXCHANGE))) < 64 * 1024
    with pytest.raises(MalformedInput):
        codec.decode("prekey-bundle", payload)
    with pytest.raises(MalformedInput):
        codec.decode_as(PrekeyBundle, codec.encode(replace(bundle, first_day=0)))


def a_common(**changed: object) -> Common:
    return replace(BY_PARTY, **changed)  # type: ignore[arg-type]  # each case changes one field on purpose


@pytest.mark.parametrize(
    "wrong",
    [
        a_common(exchange=ExchangeName("No Exchange")),
        a_common(issuer="nobody"),
        a_common(issuer=""),
        a_common(salt=b""),
        a_common(salt=bytes(17)),
        a_common(prev=b""),
        a_common(prev=bytes(31)),
        a_common(seq=1),
        a_common(seq=0),
        a_common(not_before_ms=1 << 53),
        a_common(not_before_ms=NOON + 1),
        a_common(seq=1 << 53),
    ],
)
def test_impossible_common_fields_are_refused(wrong: Common) -> None:
    with pytest.raises(BadInput):
        codec.decode("expulsion", codec.encode(Expulsion(wrong, XV)))


def a_key(key: PublicKey, raw: bytes) -> PublicKey:
    return PublicKey(key.algorithm, raw)


LOW_ORDER = bytes(31) + b"\x80"
MEMBERS = a_council(("XA", "XV"), 2).members


@pytest.mark.parametrize(
    "wrong",
    [
        replace(INVITATION, country="xv"),
        replace(INVITATION, country="ÄÖ"),
        replace(INVITATION, country="XVV"),
        replace(INVITATION, ceiling=0),
        replace(INVITATION, ceiling=6),
        replace(INVITATION, display_name=""),
        replace(INVITATION, display_name=" Velkar"),
        replace(INVITATION, display_name="Vel\x1b[2Jkar"),
        replace(INVITATION, display_name="Velkar\u202e"),
        replace(INVITATION, display_name="V" * 121),
        replace(INVITATION, party=PartyId("council")),
        replace(INVITATION, common=replace(INVITATION.common, not_after_ms=0)),
        replace(INVITATION, one_time_key=a_key(ed25519("k").public, LOW_ORDER)),
        replace(INVITATION, one_time_key=a_key(ed25519("k").public, b"")),
        replace(GENESIS, council=()),
        replace(GENESIS, council=MEMBERS + MEMBERS[:1]),
        replace(GENESIS, threshold=0),
        replace(GENESIS, threshold=2),
        replace(GENESIS, relay=replace(relay_keys(), log=replace(LOG, ed25519=relay_keys().promise))),
        replace(GENESIS, relay=replace(relay_keys(), log=replace(LOG, ed25519=composite("k").public))),
        replace(GENESIS, relay=replace(relay_keys(), log=replace(LOG, mldsa=LOG.ed25519))),
        replace(GENESIS, relay=replace(relay_keys(), transport_ca=b"junk")),
        replace(GENESIS, limits=replace(LIMITS, recipients=257)),
        replace(GENESIS, limits=replace(LIMITS, min_suite=0)),
        PartyRoot(BY_PARTY, ed25519("k").public, HASH),
        PartyRoot(BY_PARTY, composite("k").public, b""),
        NodeCert(BY_PARTY, composite("k").public, composite("k").public),
        NodeCert(BY_PARTY, ed25519("k").public, ed25519("k").public),
        NodeCert(replace(BY_PARTY, not_after_ms=0), composite("k").public, ed25519("k").public),
        Admission(BY_COUNCIL, XV, b""),
        TransportKey(BY_PARTY, b""),
        TransportKey(BY_PARTY, b"\x30" * 5000),
        TransportKey(BY_PARTY, transport_ca("k")[0][:-1]),
        PrekeyBundleHash(BY_PARTY, HASH, 18_955, 0),
        PrekeyBundleHash(BY_PARTY, HASH, 18_955, 41),
        PrekeyBundleHash(BY_PARTY, HASH, 0, 1),
        Revocation(BY_PARTY, XV, HASH, RevocationReason.COMPROMISED, 0),
        Revocation(BY_PARTY, XV, HASH, RevocationReason.LOST, NOON),
        Suspension(BY_COUNCIL, PartyId("x"), suspended=True),
        WitnessSet(BY_COUNCIL, Witnesses((Witness(PartyId("x"), mldsa44("k").public),), 1)),
        WitnessSet(BY_COUNCIL, Witnesses((Witness(XV, ed25519("k").public),), 1)),
        WitnessSet(BY_COUNCIL, Witnesses((Witness(XV, mldsa44("k").public),), 2)),
        replace(GENESIS, witnesses=Witnesses((Witness(XV, mldsa44("k").public),), 0)),
        replace(GENESIS, witnesses=Witnesses((), 25)),
        RelayKeySet(BY_COUNCIL, replace(relay_keys(), transport_ca=b"junk"), 0),
        RelayKeySet(BY_COUNCIL, relay_keys(), 1 << 60),
        LimitSet(BY_COUNCIL, replace(LIMITS, min_suite=0)),
        LimitSet(BY_COUNCIL, replace(LIMITS, report_bytes=(1 << 20) + 1)),
        LimitSet(BY_COUNCIL, replace(LIMITS, recipients=257)),
        LimitSet(BY_COUNCIL, replace(LIMITS, held_bytes=1)),
    ],
)
def test_impossible_statements_are_refused(wrong: Statement) -> None:
    with pytest.raises(ExchangeError):
        codec.decode(codec.name_of(wrong), codec.encode(wrong))


def test_numbers_outside_a_list_are_refused() -> None:
    for status in (0, 4):
        message = pb.AgreementCommit.FromString(codec.encode(STATEMENTS[7]))
        message.status = status  # type: ignore[assignment]  # a number that the enum does not know
        with pytest.raises(MalformedInput):
            codec.decode("agreement-commit", message.SerializeToString(deterministic=True))
    for reason in (0, 4):
        revocation = pb.Revocation.FromString(codec.encode(STATEMENTS[8]))
        revocation.reason = reason  # type: ignore[assignment]  # as above
        with pytest.raises(MalformedInput):
            codec.decode("revocation", revocation.SerializeToString(deterministic=True))


def test_a_transport_ca_must_be_a_ca_and_signed_by_itself() -> None:
    ca, ca_key = transport_ca("k")
    leaf, _ = x509.issue_leaf(
        ca,
        ca_key,
        uri="concord://x/relay",
        dns_names=[],
        ip_addresses=[],
        now_ms=NOON,
        hours=1,
        client=True,
        server=True,
    )
    for certificate in (leaf, x509.pem_of(ca)):
        with pytest.raises(ExchangeError):
            codec.decode("transport-key", codec.encode(TransportKey(BY_PARTY, certificate)))


def test_the_one_encoding_is_the_only_one() -> None:
    payload = codec.encode(STATEMENTS[-1])
    for other in (payload + b"\x78\x01", payload + payload, payload[:-1], b""):
        with pytest.raises(BadInput):
            codec.decode("expulsion", other)


def test_a_join_request_survives_its_encoding_and_fits_the_limit() -> None:
    request = a_join_request(party_keys("XV"), an_invitation("XV", composite("XA/root")))
    data = codec.encode_join_request(request)
    assert codec.decode_join_request(data) == request
    assert len(data) < 20 * 1024
    with pytest.raises(BadInput):
        codec.decode_join_request(data[:-1])
    with pytest.raises(BadInput):
        codec.decode_join_request(b"")


def test_a_rule_stands_for_every_statement() -> None:
    kinds = {type(statement) for statement in STATEMENTS}
    assert set(rules._FITS) == kinds
