"""Certificates for TLS between nodes and relay, and for nothing else: P-256 with ECDSA and SHA-256.

Each partner, and the relay, runs one small CA that the directory pins, and issues itself short-lived leaves. Who a
peer is follows from the CA that issued its leaf, never from a name: with several CAs trusted, any of them could issue
a leaf with any name (crypto.md section 9). CA names are opaque and say nothing of who runs them.
"""

import datetime as dt
import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from exchange.errors import MalformedInput, NotAuthenticated, Unavailable, VerificationFailed
from exchange.names import ExchangeName, PartyId

CERTIFICATE_BYTES = 8 * 1024
"""Of one certificate from a peer, as DER or PEM."""

URI_LENGTH = 256
_URI_SCHEME = "concord://"

BACKDATE_MS = 5 * 60 * 1000
"""New certificates are valid from a little earlier, for clocks that are behind ours."""

_HOUR_MS = 60 * 60 * 1000
_DAY_MS = 24 * _HOUR_MS
_PEM_START = b"-----BEGIN"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)

E = TypeVar("E", bound=x509.ExtensionType)


def party_uri(exchange: ExchangeName, party: PartyId) -> str:
    """Return the URI name of a partner's leaf."""
    return f"{_URI_SCHEME}{exchange}/party/{party}"


def relay_uri(exchange: ExchangeName) -> str:
    """Return the URI name of the relay's leaf."""
    return f"{_URI_SCHEME}{exchange}/relay"


def new_ca(common_name: str, *, now_ms: int, days: int) -> tuple[bytes, bytes]:
    """Return a new self-signed CA for leaves only: the certificate as DER, the private key as PKCS #8 DER.

    `common_name` should be opaque; it stands in every leaf. MalformedInput unless it has 1 to 64 characters.
    """
    try:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    except ValueError as error:
        raise MalformedInput("a CA's name has 1 to 64 characters") from error
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(name, name, key.public_key(), now_ms, now_ms + days * _DAY_MS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER), key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def issue_leaf(
    ca_der: bytes,
    ca_key_der: bytes,
    *,
    uri: str,
    dns_names: Sequence[str],
    ip_addresses: Sequence[str],
    now_ms: int,
    hours: int,
    client: bool,
    server: bool,
) -> tuple[bytes, bytes]:
    """Return a new leaf and its new private key, both as PEM, for the roles asked for; it ends no later than its CA.

    The chain is the leaf alone: whoever can verify it holds the CA already.

    Raises:
        MalformedInput: the CA, its key or a name does not parse, the key is not the CA's, no role is asked for, or the
            leaf would be over before it starts.
        VerificationFailed: not a CA that check_ca accepts.
        Unavailable: not now, by this machine's clock; the CA is our own, and no peer is to blame.
    """
    begins_ms, ends_ms = validity(ca_der)
    check_ca(ca_der, begins_ms)
    if not begins_ms <= now_ms <= ends_ms:
        raise Unavailable(
            "our own transport CA is not valid by this machine's clock",
            hint="set the clock; if it is right, the CA has ended, and new keys are needed",
        )
    ca = _load(ca_der)
    ca_key = _private_key(ca_key_der)
    if ca_key.public_key() != ca.public_key():
        raise MalformedInput("the private key is not this CA's")
    roles = [ExtendedKeyUsageOID.CLIENT_AUTH] * client + [ExtendedKeyUsageOID.SERVER_AUTH] * server
    if not roles:
        raise MalformedInput("a leaf serves as client, server or both")
    key = ec.generate_private_key(ec.SECP256R1())
    until_ms = min(now_ms + hours * _HOUR_MS, _ms(ca.not_valid_after_utc))
    if until_ms <= now_ms:
        raise MalformedInput("the leaf would be over before it starts")
    # The subject stays empty and the alternative names therefore critical (RFC 5280, 4.2.1.6).
    leaf = (
        _builder(x509.Name([]), ca.subject, key.public_key(), now_ms, until_ms)
        .add_extension(x509.SubjectAlternativeName(_names(uri, dns_names, ip_addresses)), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(roles), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return leaf.public_bytes(Encoding.PEM), key_pem


def check_ca(der: bytes, now_ms: int) -> None:
    """Return when `der` is a CA that the directory may pin.

    Raises:
        MalformedInput: not one DER certificate of acceptable size.
        VerificationFailed: not a P-256 CA for leaves only, not signed by itself, or not valid now.
    """
    ca = _load(der)
    if ca.public_bytes(Encoding.DER) != der:
        raise MalformedInput("the certificate is not DER")
    if not _is_p256(ca):
        raise VerificationFailed("the CA's key is not on P-256")
    constraints = _extension(ca, x509.BasicConstraints)
    if constraints is None or not constraints.ca or constraints.path_length != 0:
        raise VerificationFailed("not a CA for leaves only")
    usage = _extension(ca, x509.KeyUsage)
    if usage is None or not usage.key_cert_sign:
        raise VerificationFailed("the CA's key may not sign certificates")
    if not _is_issued_by(ca, ca):
        # Nobody can make a CA of its own from another's key. A copy of another's certificate passes, and so does one
        # with the other form of its signature (ECDSA has two): who pins CAs must compare ca_key_hash, not the bytes.
        raise VerificationFailed("the CA is not signed by itself")
    if not _valid_at(ca, now_ms):
        raise VerificationFailed("the CA is not valid now")


def ca_key_hash(der_or_pem: bytes) -> bytes:
    """Return the SHA-256 of a certificate's public key (SubjectPublicKeyInfo): what makes two CAs the same CA.

    Raises:
        MalformedInput: it does not parse, or its key is not on P-256.
    """
    certificate = _load(der_or_pem)
    if not _is_p256(certificate):
        raise MalformedInput("the certificate's key is not on P-256")
    info = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).digest()


def issued_by(leaf_pem: bytes, ca_ders: Iterable[bytes], now_ms: int, *, server: bool = False) -> bytes:
    """Return the one of `ca_ders` that issued the leaf of a peer itself; costs about 0.5 ms, so keep the answer.

    The peer is a client unless `server` says that it is the one that was called. Both certificates must be valid now.
    Every one of `ca_ders` passed check_ca when it was pinned.

    Raises:
        NotAuthenticated: no CA issued it, or it is not a P-256 leaf for this role, valid now.
    """
    leaf = _load_peer(leaf_pem)
    constraints = _extension(leaf, x509.BasicConstraints)
    if constraints is None or constraints.ca or not _is_p256(leaf):
        raise NotAuthenticated("the peer's certificate is not a P-256 leaf")
    role = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    roles = _extension(leaf, x509.ExtendedKeyUsage)
    if roles is None or role not in roles:
        raise NotAuthenticated("the peer's certificate is not for this role")
    if not _valid_at(leaf, now_ms):
        raise NotAuthenticated("the peer's certificate is not valid now")
    for ca_der in ca_ders:
        ca = _load(ca_der)
        if _is_issued_by(leaf, ca):
            if not _valid_at(ca, now_ms):
                raise NotAuthenticated("the CA of the peer's certificate is not valid now")
            return ca_der
    raise NotAuthenticated("no CA of the directory issued the peer's certificate")


def uri_of(leaf_pem: bytes) -> str:
    """Return the one URI name of a leaf; it is a claim until issued_by named the CA.

    Raises:
        NotAuthenticated: it does not parse, or has not exactly one `concord://` name.
    """
    names = _extension(_load_peer(leaf_pem), x509.SubjectAlternativeName)
    uris = [] if names is None else names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1 or len(uris[0]) > URI_LENGTH or not uris[0].startswith(_URI_SCHEME):
        raise NotAuthenticated("the peer's certificate has not exactly one concord:// name")
    return uris[0]


def validity(der_or_pem: bytes) -> tuple[int, int]:
    """Return when a certificate starts and ends to be valid, whole seconds; MalformedInput if it does not parse."""
    certificate = _load(der_or_pem)
    return _ms(certificate.not_valid_before_utc), _ms(certificate.not_valid_after_utc)


def pem_of(der: bytes) -> bytes:
    """Return a DER certificate as PEM; MalformedInput if it does not parse."""
    return _load(der).public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now_ms: int, until_ms: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_EPOCH + (now_ms - BACKDATE_MS) * _MILLISECOND)
        .not_valid_after(_EPOCH + until_ms * _MILLISECOND)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _names(uri: str, dns_names: Sequence[str], ip_addresses: Sequence[str]) -> list[x509.GeneralName]:
    if not uri.startswith(_URI_SCHEME) or len(uri) > URI_LENGTH:
        raise MalformedInput(f"a leaf's URI name starts with {_URI_SCHEME} and has at most {URI_LENGTH} characters")
    try:
        return [
            x509.UniformResourceIdentifier(uri),
            *(x509.DNSName(name) for name in dns_names),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in ip_addresses),
        ]
    except ValueError as error:
        raise MalformedInput(f"a name of the leaf is not valid: {error}") from error


def _load(der_or_pem: bytes) -> x509.Certificate:
    if len(der_or_pem) > CERTIFICATE_BYTES:
        raise MalformedInput(f"a certificate has at most {CERTIFICATE_BYTES} bytes, not {len(der_or_pem)}")
    load = x509.load_pem_x509_certificate if der_or_pem.startswith(_PEM_START) else x509.load_der_x509_certificate
    try:
        certificate = load(der_or_pem)
    except (ValueError, x509.InvalidVersion) as error:  # the library's own errors are no ValueErrors
        raise MalformedInput("not an X.509 certificate") from error
    if certificate.serial_number <= 0:  # RFC 5280, 4.1.2.2; the library only warns
        raise MalformedInput("a certificate's serial number is positive")
    return certificate


def _load_peer(leaf_pem: bytes) -> x509.Certificate:
    try:
        return _load(leaf_pem)
    except MalformedInput as error:
        raise NotAuthenticated(f"the peer's certificate is {error}") from error


def _private_key(der: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_der_private_key(der, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # The library's own text could quote the key.
        raise MalformedInput("not a private key in PKCS #8") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise MalformedInput("not a private key on an elliptic curve")
    return key


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return None


def _is_p256(certificate: x509.Certificate) -> bool:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def _is_issued_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        if not isinstance(certificate.signature_hash_algorithm, hashes.SHA256):
            return False
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _valid_at(certificate: x509.Certificate, now_ms: int) -> bool:
    return _ms(certificate.not_valid_before_utc) <= now_ms <= _ms(certificate.not_valid_after_utc)


def _ms(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND
