"""Certificates for TLS: who issued what, and what is refused."""

import datetime as dt
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509 as library
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from exchange.crypto.x509 import (
    BACKDATE_MS,
    ca_key_hash,
    check_ca,
    issue_leaf,
    issued_by,
    new_ca,
    party_uri,
    pem_of,
    relay_uri,
    uri_of,
    validity,
)
from exchange.errors import MalformedInput, NotAuthenticated, Unavailable, VerificationFailed
from exchange.names import exchange_name, party_id
from tests.support.crypto_vectors import unhex

# The handshake below reads the machine's clock, hence no fixed time.
NOW_MS = int(dt.datetime.now(dt.UTC).timestamp()) * 1000
DAY_MS = 24 * 60 * 60 * 1000
URI = "concord://demo.concord.example/party/XA"
CA, CA_KEY = new_ca("7f3a", now_ms=NOW_MS, days=30)
TWIN, TWIN_KEY = new_ca("7f3a", now_ms=NOW_MS, days=30)


def leaf(ca: tuple[bytes, bytes] = (CA, CA_KEY), **changes: Any) -> tuple[bytes, bytes]:
    wanted: dict[str, Any] = {
        "uri": URI,
        "dns_names": ["relay.invalid"],
        "ip_addresses": ["127.0.0.1", "::1"],
        "now_ms": NOW_MS,
        "hours": 48,
        "client": True,
        "server": True,
    }
    return issue_leaf(*ca, **(wanted | changes))


def self_made(
    key: Any = None,
    *,
    signer: Any = None,
    algorithm: Any = None,
    extensions: tuple[tuple[library.ExtensionType, bool], ...] | None = None,
    issuer: str = "7f3a",
) -> bytes:
    """Return a certificate that our own functions would not make, as DER."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.fromtimestamp(NOW_MS / 1000, dt.UTC)
    subject = library.Name([library.NameAttribute(NameOID.COMMON_NAME, "7f3a")])
    builder = (
        library.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(library.Name([library.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )
    for extension, critical in CA_EXTENSIONS if extensions is None else extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer or key, algorithm or hashes.SHA256()).public_bytes(Encoding.DER)


def usage(*, signs: bool) -> library.KeyUsage:
    return library.KeyUsage(not signs, False, False, False, False, signs, False, False, False)


CA_EXTENSIONS = ((library.BasicConstraints(True, 0), True), (usage(signs=True), True))


def test_a_new_ca_is_one_that_the_directory_may_pin() -> None:
    check_ca(CA, NOW_MS)
    check_ca(self_made(), NOW_MS)
    assert validity(CA) == (NOW_MS - BACKDATE_MS, NOW_MS + 30 * DAY_MS) == validity(pem_of(CA))


def test_a_ca_is_checked_at_a_time() -> None:
    for moment in (NOW_MS - BACKDATE_MS - 1, NOW_MS + 30 * DAY_MS + 1):
        with pytest.raises(VerificationFailed):
            check_ca(CA, moment)


@pytest.mark.parametrize(
    "der",
    [
        pytest.param(lambda: self_made(extensions=()), id="no extensions"),
        pytest.param(lambda: self_made(extensions=CA_EXTENSIONS[1:]), id="no basic constraints"),
        pytest.param(lambda: self_made(extensions=CA_EXTENSIONS[:1]), id="no key usage"),
        pytest.param(
            lambda: self_made(extensions=((library.BasicConstraints(True, None), True), CA_EXTENSIONS[1])),
            id="any path length",
        ),
        pytest.param(
            lambda: self_made(extensions=((library.BasicConstraints(True, 1), True), CA_EXTENSIONS[1])),
            id="path length 1",
        ),
        pytest.param(
            lambda: self_made(extensions=((library.BasicConstraints(False, None), True), CA_EXTENSIONS[1])),
            id="not a CA",
        ),
        pytest.param(
            lambda: self_made(extensions=(CA_EXTENSIONS[0], (usage(signs=False), True))), id="may not sign certificates"
        ),
        pytest.param(lambda: self_made(ec.generate_private_key(ec.SECP384R1())), id="P-384"),
        pytest.param(lambda: self_made(rsa.generate_private_key(65537, 2048)), id="RSA"),
        pytest.param(lambda: self_made(algorithm=hashes.SHA512()), id="SHA-512"),
        pytest.param(lambda: self_made(issuer="other"), id="other issuer"),
        pytest.param(lambda: self_made(signer=ec.generate_private_key(ec.SECP256R1())), id="signed by another key"),
        pytest.param(lambda: library_der(leaf()[0]), id="a leaf"),
    ],
)
def test_a_ca_that_the_directory_may_not_pin_is_refused(der: Any) -> None:
    with pytest.raises(VerificationFailed):
        check_ca(der(), NOW_MS)


def library_der(pem: bytes) -> bytes:
    return library.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


@pytest.mark.parametrize("junk", [b"", b"junk", CA[:-1], CA + b"\x00", bytes(9000), b"-----BEGIN CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(junk: bytes) -> None:
    for refuse in (lambda: check_ca(junk, NOW_MS), lambda: validity(junk), lambda: pem_of(junk)):
        with pytest.raises(MalformedInput):
            refuse()
    for refuse_peer in (lambda: issued_by(junk, [CA], NOW_MS), lambda: uri_of(junk)):
        with pytest.raises(NotAuthenticated):
            refuse_peer()


def test_a_pem_certificate_is_not_pinned_as_der() -> None:
    with pytest.raises(MalformedInput):
        check_ca(pem_of(CA), NOW_MS)


def test_the_issuing_ca_is_found_even_among_namesakes() -> None:
    assert issued_by(leaf()[0], [TWIN, CA], NOW_MS) == CA
    assert issued_by(leaf((TWIN, TWIN_KEY))[0], [CA, TWIN], NOW_MS) == TWIN


def test_a_leaf_of_an_unknown_ca_is_nobody() -> None:
    for known in ([], [TWIN]):
        with pytest.raises(NotAuthenticated):
            issued_by(leaf()[0], known, NOW_MS)


def test_a_leaf_is_refused_outside_its_time_and_its_cas() -> None:
    assert validity(leaf()[0]) == (NOW_MS - BACKDATE_MS, NOW_MS + 2 * DAY_MS)
    for moment in (NOW_MS - BACKDATE_MS - 1, NOW_MS + 2 * DAY_MS + 1):
        with pytest.raises(NotAuthenticated):
            issued_by(leaf()[0], [CA], moment)


def test_a_leaf_ends_no_later_than_its_ca() -> None:
    assert validity(leaf(hours=24 * 365)[0])[1] == validity(CA)[1]
    for hours in (0, -1):
        with pytest.raises(MalformedInput):
            leaf(hours=hours)


def test_a_leaf_serves_in_its_role_only() -> None:
    client, server = leaf(server=False)[0], leaf(client=False)[0]
    assert issued_by(client, [CA], NOW_MS) == issued_by(server, [CA], NOW_MS, server=True) == CA
    with pytest.raises(NotAuthenticated):
        issued_by(client, [CA], NOW_MS, server=True)
    with pytest.raises(NotAuthenticated):
        issued_by(server, [CA], NOW_MS)
    with pytest.raises(MalformedInput):
        leaf(client=False, server=False)


@pytest.mark.parametrize("moment", [NOW_MS - BACKDATE_MS - 1, NOW_MS + 31 * DAY_MS])
def test_a_ca_issues_nothing_while_it_is_not_valid_and_the_clock_is_named_and_no_failed_check(moment: int) -> None:
    with pytest.raises(Unavailable, match="our own transport CA is not valid by this machine's clock"):
        leaf(now_ms=moment)


def test_a_ca_is_no_leaf_and_no_leaf_issues() -> None:
    with pytest.raises(NotAuthenticated):
        issued_by(pem_of(CA), [CA], NOW_MS)
    pem, key_pem = leaf()
    key_der = load_pem_private_key(key_pem, None).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(VerificationFailed):
        leaf((library_der(pem), key_der))


CLIENT = (library.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
NO_CA = (library.BasicConstraints(False, None), True)


def signed_by(ca_key_der: bytes, key: Any, extensions: tuple[tuple[library.ExtensionType, bool], ...]) -> bytes:
    return pem_of(self_made(key, signer=load_der_private_key(ca_key_der, password=None), extensions=extensions))


def test_a_leaf_is_on_p256_says_that_it_is_none_and_what_it_is_for() -> None:
    p256, p384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    assert issued_by(signed_by(CA_KEY, p256, (NO_CA, CLIENT)), [CA], NOW_MS) == CA
    for key, extensions in (
        (p384, (NO_CA, CLIENT)),
        (ed25519.Ed25519PrivateKey.generate(), (NO_CA, CLIENT)),
        (p256, (CLIENT,)),
        (p256, (NO_CA,)),
        (p256, (CA_EXTENSIONS[0], CLIENT)),
    ):
        with pytest.raises(NotAuthenticated):
            issued_by(signed_by(CA_KEY, key, extensions), [CA], NOW_MS)


def test_a_leaf_that_outlives_its_ca_ends_with_it() -> None:
    old, old_key = new_ca("7f3a", now_ms=NOW_MS - 10 * DAY_MS, days=9)
    made = signed_by(old_key, ec.generate_private_key(ec.SECP256R1()), (NO_CA, CLIENT))
    assert validity(made)[1] > NOW_MS
    with pytest.raises(NotAuthenticated):
        issued_by(made, [old], NOW_MS)


def test_a_ca_made_with_another_partners_ca_key_is_not_found_without_it() -> None:
    """A partner cannot pin another's public key as its own: it would have to sign the certificate with it."""
    other = load_der_private_key(CA_KEY, password=None)
    assert isinstance(other, ec.EllipticCurvePrivateKey)
    stolen = self_made(other, signer=ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(VerificationFailed):
        check_ca(stolen, NOW_MS)


def test_a_ca_with_the_other_form_of_its_signature_is_known_by_its_key() -> None:
    """Whoever has seen a CA can write it down in another way that holds; only the key tells that it is the same."""
    original = library.load_der_x509_certificate(CA)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = decode_dss_signature(original.signature)
    signature = b"\x00" + encode_dss_signature(r, order - s)
    algorithm = unhex("300a06082a8648ce3d040302")
    body = original.tbs_certificate_bytes + algorithm + b"\x03" + bytes((len(signature),)) + signature
    copy = b"\x30\x82" + len(body).to_bytes(2, "big") + body
    check_ca(copy, NOW_MS)
    assert copy != CA and issued_by(leaf()[0], [copy], NOW_MS) == copy
    assert ca_key_hash(copy) == ca_key_hash(CA) == ca_key_hash(pem_of(CA)) != ca_key_hash(TWIN)
    with pytest.raises(MalformedInput):
        ca_key_hash(self_made(ec.generate_private_key(ec.SECP384R1())))


def test_a_key_that_is_not_the_cas_issues_nothing() -> None:
    for ca, key in ((CA, TWIN_KEY), (CA, b"junk"), (CA, ed25519_pkcs8()), (b"junk", CA_KEY)):
        with pytest.raises(MalformedInput) as caught:
            leaf((ca, key))
        assert CA_KEY.hex()[:16] not in repr(caught.value)


def ed25519_pkcs8() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def test_names_of_partners_and_relay() -> None:
    exchange = exchange_name("demo.concord.example")
    assert party_uri(exchange, party_id("XA")) == URI
    assert relay_uri(exchange) == "concord://demo.concord.example/relay"
    assert uri_of(leaf()[0]) == URI


@pytest.mark.parametrize("changes", [{"uri": "https://x"}, {"uri": "concord://" + "x" * 300}, {"ip_addresses": ["x"]}])
def test_a_name_that_cannot_be_one_is_not_issued(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedInput):
        leaf(**changes)


@pytest.mark.parametrize("names", [[], ["https://x"], ["concord://a.b/relay", "concord://a.b/party/XA"]], ids=str)
def test_a_peer_has_exactly_one_name(names: list[str]) -> None:
    alternative = library.SubjectAlternativeName([library.UniformResourceIdentifier(name) for name in names])
    der = self_made(extensions=((alternative, False),) if names else ())
    with pytest.raises(NotAuthenticated):
        uri_of(pem_of(der))


@pytest.mark.parametrize("name", ["", "n" * 65])
def test_a_ca_name_has_1_to_64_characters(name: str) -> None:
    with pytest.raises(MalformedInput):
        new_ca(name, now_ms=NOW_MS, days=1)


def test_mutual_tls_1_3_accepts_these_certificates(tmp_path: Path) -> None:
    """Both ends in memory, no socket: the certificates must satisfy a TLS stack, not only us."""

    def context(purpose: ssl.Purpose, own: tuple[bytes, bytes], peer_ca: bytes) -> ssl.SSLContext:
        made = ssl.SSLContext(
            ssl.PROTOCOL_TLS_SERVER if purpose is ssl.Purpose.CLIENT_AUTH else ssl.PROTOCOL_TLS_CLIENT
        )
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(cadata=pem_of(peer_ca).decode())
        chain, key = tmp_path / f"{purpose.shortname}.pem", tmp_path / f"{purpose.shortname}.key"
        chain.write_bytes(own[0])
        key.write_bytes(own[1])
        made.load_cert_chain(chain, key)
        return made

    server = context(ssl.Purpose.CLIENT_AUTH, leaf(client=False), TWIN)
    client = context(ssl.Purpose.SERVER_AUTH, leaf((TWIN, TWIN_KEY), server=False), CA)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="relay.invalid"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ends[0].version() == ends[1].version() == "TLSv1.3"
    presented = ends[1].getpeercert(binary_form=True)
    assert presented is not None and issued_by(pem_of(presented), [CA, TWIN], NOW_MS) == TWIN


def test_a_certificate_of_a_version_that_does_not_exist_is_refused() -> None:
    version = CA.index(bytes.fromhex("a003020102")) + 4
    strange = CA[:version] + b"\x50" + CA[version + 1 :]
    with pytest.raises(MalformedInput):
        validity(strange)
    with pytest.raises(MalformedInput):
        check_ca(strange, NOW_MS)


def test_a_certificate_with_a_name_that_the_library_does_not_read_is_refused() -> None:
    # An x400Address, [3], in the place of the URI, [6].
    named, _ = leaf()
    der = ssl.PEM_cert_to_DER_cert(named.decode())
    at = der.index(b"\x86" + bytes((len(URI),)) + URI.encode())
    strange = ssl.DER_cert_to_PEM_cert(der[:at] + b"\xa3" + der[at + 1 :]).encode()
    with pytest.raises(NotAuthenticated):
        uri_of(strange)


def test_a_serial_number_that_is_not_positive_is_refused() -> None:
    """The library only warns of it (RFC 5280, 4.1.2.2)."""
    first = CA.index(b"\xa0\x03\x02\x01\x02\x02") + 7  # behind the version, and the tag and length of the serial
    negative = CA[:first] + bytes([0x81]) + CA[first + 1 :]
    with pytest.raises(MalformedInput, match="serial number"):
        validity(negative)
