"""Signed statements as bytes (protos/exchange/v1/signing.proto), alone or inside another message.

Only the one canonical encoding is accepted, and every length and count from a peer is capped before anything is
hashed or verified.
"""

from exchange.crypto.signed import Signature, Signed
from exchange.crypto.signing import COMPOSITE_SIGNATURE_BYTES, ED25519_SIGNATURE_BYTES
from exchange.errors import MalformedInput, TooLarge
from exchange.limits import BATCH_STATEMENTS, SIGNATURES
from exchange.names import HASH_BYTES
from exchange.v1 import signing_pb2
from exchange.wire import serialise, strict_parse

PATH_STEPS = 10
"""Of a leaf among 1,024."""

TYPE_LENGTH = 128
_SIGNATURE_LENGTHS = frozenset({COMPOSITE_SIGNATURE_BYTES, ED25519_SIGNATURE_BYTES})


def encode_signed(signed: Signed) -> bytes:
    """Return the bytes that decode_signed accepts."""
    return serialise(signed_to_proto(signed))


def decode_signed(data: bytes, *, limit: int, what: str) -> Signed:
    """Return the statement of these bytes; nothing in it is verified yet. `what` names it in errors.

    Raises:
        TooLarge: more than `limit` bytes, or too many signatures.
        MalformedInput: not canonical, or a part of it has an impossible length or number.
    """
    return signed_from_proto(strict_parse(signing_pb2.Signed, data, limit=limit, what=what), what=what)


def signed_to_proto(signed: Signed) -> signing_pb2.Signed:
    """Return the statement as a message, to stand inside another one."""
    return signing_pb2.Signed(
        payload_type=signed.payload_type,
        payload=signed.payload,
        signatures=[
            signing_pb2.Signature(
                key_id=signature.key_id,
                sig=signature.sig,
                index=signature.index,
                size=signature.size,
                path=signature.path,
            )
            for signature in signed.signatures
        ],
    )


def signed_from_proto(message: signing_pb2.Signed, *, what: str = "a signed statement") -> Signed:
    """Return the statement of a message that was parsed strictly with the one around it.

    Raises:
        TooLarge: too many signatures.
        MalformedInput: a part has an impossible length or number.
    """
    if not 1 <= len(message.payload_type) <= TYPE_LENGTH:
        raise MalformedInput(f"{what}: a payload type has 1 to {TYPE_LENGTH} characters")
    if not message.signatures:
        raise MalformedInput(f"{what} carries no signature")
    if len(message.signatures) > SIGNATURES:
        raise TooLarge(f"{what} carries {len(message.signatures)} signatures; the limit is {SIGNATURES}")
    signatures = tuple(_signature_from_proto(signature, what) for signature in message.signatures)
    return Signed(message.payload_type, message.payload, signatures)


def _signature_from_proto(message: signing_pb2.Signature, what: str) -> Signature:
    path = tuple(message.path)
    if len(message.key_id) != HASH_BYTES:
        raise MalformedInput(f"{what}: a key id has {HASH_BYTES} bytes, not {len(message.key_id)}")
    if len(message.sig) not in _SIGNATURE_LENGTHS:
        raise MalformedInput(f"{what}: no signature has {len(message.sig)} bytes")
    if not message.index < message.size <= BATCH_STATEMENTS:
        raise MalformedInput(f"{what}: leaf {message.index} of a batch of {message.size}")
    if len(path) > PATH_STEPS or set(map(len, path)) - {HASH_BYTES}:
        raise MalformedInput(f"{what}: a path has at most {PATH_STEPS} steps of {HASH_BYTES} bytes")
    return Signature(message.key_id, message.sig, message.index, message.size, path)
