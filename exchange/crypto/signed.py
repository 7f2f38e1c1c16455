"""Signed statements: a typed payload and the signatures over exactly these bytes (PROTOCOL 1).

A key signs the RFC 6962 root of 1 to 1,024 leaves; a leaf is the DSSE encoding of one typed payload. Every statement
of a batch carries its own path and stands alone as evidence. What is signed is itself a DSSE encoding, of root and
number of leaves, under the exchange's name.
A verifier may keep the roots that it has checked (`VerifiedRoots`), so that a batch costs it one signature check.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from exchange.crypto.dsse import pae
from exchange.crypto.keys import PublicKey
from exchange.crypto.signing import SigningKey, sign_bytes, verify_bytes
from exchange.errors import BadProof, BadSignature, MalformedInput, TooLarge
from exchange.limits import BATCH_STATEMENTS, SIGNATURES
from exchange.merkle import Tree, leaf_hash, root_from_path

KeyLookup = Callable[[bytes], PublicKey | None]
"""Gives the admitted key of a key id, if the caller accepts that key for this purpose at all."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature over the root of a batch, and the path from one leaf to that root."""

    key_id: bytes
    sig: bytes
    index: int
    size: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Signed:
    """A payload and its signatures; nothing is known of it until verify_signed or verified_signers returned."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]


class VerifiedRoots:
    """Batch signatures that held, the most recently used ones; a copy per process is enough.

    An entry covers all that was checked: key, root, size, context and the signature's own bytes, so that a signature
    with one bit flipped never passes because its batch is known. Bounded: peers decide how many batches there are.
    """

    def __init__(self, capacity: int = 4096) -> None:
        """Keep at most `capacity` entries, about 350 bytes each."""
        self._capacity = capacity
        self._entries: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        """Return how many entries are kept."""
        return len(self._entries)

    def holds(self, entry: bytes) -> bool:
        """Say whether `entry` was checked before, and count that as a use."""
        try:
            self._entries.move_to_end(entry)
        except KeyError:
            return False
        return True

    def add(self, entry: bytes) -> None:
        """Keep `entry`; the least recently used one makes room."""
        self._entries[entry] = None
        while len(self._entries) > self._capacity:
            # Several threads may make room at once; each step is atomic, and an empty cache is harmless.
            with suppress(KeyError):
                self._entries.popitem(last=False)


def only(key: PublicKey) -> KeyLookup:
    """Return a lookup that knows one key."""
    return lambda key_id: key if key_id == key.key_id else None


@lru_cache(maxsize=256)
def payload_type(name: str) -> str:
    """Return the payload type of a statement's short name, such as `promise`; MalformedInput for no such name."""
    if not _NAME.fullmatch(name):
        raise MalformedInput(f"{name[:80]!r} cannot name a kind of statement")
    return f"application/vnd.concord.{name}.v1+protobuf"


_BATCH_TYPE = payload_type("batch")


def sign(key: SigningKey, name_or_type: str, payload: bytes, *, context: str) -> Signed:
    """Return one statement, signed alone; `context` is the exchange's name."""
    return sign_batch(key, ((name_or_type, payload),), context=context)[0]


def sign_batch(key: SigningKey, statements: Sequence[tuple[str, bytes]], *, context: str) -> list[Signed]:
    """Return every (name or type, payload) signed, in order, for the price of one signature.

    Every payload must carry 16 random bytes of its own, else the siblings' hashes in a path could be guessed.

    Raises:
        MalformedInput: no statement at all, or a context that cannot be signed under.
        TooLarge: more than 1,024.
    """
    if not statements:
        raise MalformedInput("a batch has at least one statement")
    if len(statements) > BATCH_STATEMENTS:
        raise TooLarge(f"a batch has at most {BATCH_STATEMENTS} statements, not {len(statements)}")
    typed = [(_full_type(name), payload) for name, payload in statements]
    tree = Tree([leaf_hash(pae(kind, payload)) for kind, payload in typed])
    sig = sign_bytes(key, _signed_message(tree.root, len(typed)), context.encode())
    return [
        Signed(kind, payload, (Signature(key.public.key_id, sig, index, len(typed), path),))
        for index, ((kind, payload), path) in enumerate(zip(typed, tree.paths(), strict=True))
    ]


def add_signature(signed: Signed, key: SigningKey, *, context: str) -> Signed:
    """Return `signed` with one more signature, by `key`; the ones it carries are not checked here.

    Raises:
        MalformedInput: this key signed already.
        TooLarge: it carries 256 signatures.
    """
    if any(signature.key_id == key.public.key_id for signature in signed.signatures):
        raise MalformedInput("this key signed the statement already")
    if len(signed.signatures) >= SIGNATURES:
        raise TooLarge(f"a statement carries at most {SIGNATURES} signatures")
    added = sign(key, signed.payload_type, signed.payload, context=context)
    return replace(signed, signatures=signed.signatures + added.signatures)


def verify_signed(
    signed: Signed, lookup: KeyLookup, *, expected_type: str, context: str, seen: VerifiedRoots | None = None
) -> bytes:
    """Return the payload of a statement that one key signed; `expected_type` is a short name or a payload type.

    Raises:
        BadSignature: another type, not exactly one signature, a key that `lookup` does not give, or it does not hold.
    """
    if len(signed.signatures) != 1:
        raise BadSignature(f"one signature is expected, not {len(signed.signatures)}")
    verified_signers(signed, lookup, expected_type=expected_type, context=context, seen=seen)
    return signed.payload


def verified_signers(
    signed: Signed, lookup: KeyLookup, *, expected_type: str, context: str, seen: VerifiedRoots | None = None
) -> frozenset[bytes]:
    """Return the key ids of all who signed; whether these are enough of the right ones is the caller's question.

    Raises:
        BadSignature: another type, no or too many signatures, a key twice, a key that `lookup` does not give, or any
            one signature does not hold.
    """
    if signed.payload_type != _full_type(expected_type):
        raise BadSignature(f"the payload type is {signed.payload_type[:120]!r}, not {expected_type}")
    if not 1 <= len(signed.signatures) <= SIGNATURES:
        raise BadSignature(f"{len(signed.signatures)} signatures; 1 to {SIGNATURES} are expected")
    signers = frozenset(signature.key_id for signature in signed.signatures)
    if len(signers) != len(signed.signatures):
        raise BadSignature("one key signed twice")
    leaf = leaf_hash(pae(signed.payload_type, signed.payload))
    for signature in signed.signatures:
        _verify_one(signature, leaf, lookup, context.encode(), seen)
    return signers


def _verify_one(
    signature: Signature, leaf: bytes, lookup: KeyLookup, context: bytes, seen: VerifiedRoots | None
) -> None:
    key = lookup(signature.key_id)
    # The id is only a hint from the peer: the key that was found must be the one that it names.
    if key is None or key.key_id != signature.key_id:
        raise BadSignature(f"no key {signature.key_id.hex()[:16]} that may sign this here")
    if not 1 <= signature.size <= BATCH_STATEMENTS:
        raise BadSignature(f"a batch of {signature.size} statements")
    try:
        root = root_from_path(leaf, signature.index, signature.size, signature.path)
    except BadProof as error:
        raise BadSignature("the path does not lead from this statement to a root") from error
    message = _signed_message(root, signature.size)
    if seen is None:
        verify_bytes(key, signature.sig, message, context)
        return
    entry = _cache_entry(key.key_id, signature.sig, message, context)
    if not seen.holds(entry):
        verify_bytes(key, signature.sig, message, context)
        seen.add(entry)


def _cache_entry(key_id: bytes, sig: bytes, message: bytes, context: bytes) -> bytes:
    """Join all that a check covers. Every part but the last has a fixed length."""
    return b"".join((key_id, hashlib.sha256(sig).digest(), message, context))


def _signed_message(root: bytes, size: int) -> bytes:
    return pae(_BATCH_TYPE, root + size.to_bytes(4, "big"))


def _full_type(name_or_type: str) -> str:
    return name_or_type if "/" in name_or_type else payload_type(name_or_type)
