"""The node's secret keys: made by `node init`, held in node.keys under a passphrase.

===============  ====================================================================
entry            what
===============  ====================================================================
statement        seed of the composite key: reports, receipts, retractions, prekeys
envelope         seed of the Ed25519 key: envelope headers
witness          seed of the ML-DSA-44 key: cosigns checkpoints of the relay's logs, once the council has named it
transport-ca     certificate (DER) of the CA that issues this node's TLS leaves
transport-key    private key of that CA (PKCS #8)
master           wraps the keys of reports and prekeys in keys.db
stream           number of the stream of sequence numbers; one more after a restore
===============  ====================================================================
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exchange.crypto.keystore import seal_keystore
from exchange.crypto.random import random_bytes
from exchange.crypto.signing import CompositeKey, Ed25519Key, Mldsa44Key
from exchange.crypto.x509 import new_ca
from exchange.errors import ConfigurationError, ExchangeError
from exchange.runtime.secrets import open_keystore_file, write_private

FILE = "node.keys"
MASTER_BYTES = 32
TRANSPORT_CA_DAYS = 3650

_NAMES = frozenset({"statement", "envelope", "witness", "transport-ca", "transport-key", "master", "stream"})


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """What a node signs and unwraps with."""

    statement: CompositeKey
    envelope: Ed25519Key
    transport_ca: bytes
    """DER."""
    transport_key: bytes = field(repr=False)
    master: bytes = field(repr=False)
    stream: int
    witness: Mldsa44Key


def create_keys(*, now_ms: int) -> NodeKeys:
    """Return the keys of a new node; nothing is written."""
    # The CA's name stands in every leaf, in clear on the wire: it says nothing of who runs it.
    certificate, key = new_ca(f"node-{random_bytes(8).hex()}", now_ms=now_ms, days=TRANSPORT_CA_DAYS)
    return NodeKeys(
        statement=CompositeKey.generate(),
        envelope=Ed25519Key.generate(),
        transport_ca=certificate,
        transport_key=key,
        master=random_bytes(MASTER_BYTES),
        stream=1,
        witness=Mldsa44Key.generate(),
    )


def save_keys(home: Path, keys: NodeKeys, passphrase: bytes, *, memory_kib: int) -> None:
    """Write node.keys anew, wholly and durably, or not at all."""
    write_private(home / FILE, seal_keystore(_entries(keys), passphrase, memory_kib=memory_kib))


def load_keys(home: Path, passphrase: bytes) -> NodeKeys:
    """Return the keys in node.keys.

    Raises:
        ConfigurationError: no such file, not private, or damaged.
        WrongPassphrase: another passphrase.
    """
    entries = open_keystore_file(home / FILE, passphrase)
    try:
        return _keys(entries)
    except (KeyError, ExchangeError) as error:
        raise ConfigurationError(f"{home / FILE} is not the keystore of a node", hint="restore it") from error


def _entries(keys: NodeKeys) -> dict[str, bytes]:
    return {
        "statement": keys.statement.seed,
        "envelope": keys.envelope.seed,
        "witness": keys.witness.seed,
        "transport-ca": keys.transport_ca,
        "transport-key": keys.transport_key,
        "master": keys.master,
        "stream": keys.stream.to_bytes(4, "big"),
    }


def _keys(entries: Mapping[str, bytes]) -> NodeKeys:
    if set(entries) != _NAMES or len(entries["master"]) != MASTER_BYTES:
        raise ConfigurationError("entries are missing or unknown")
    return NodeKeys(
        statement=CompositeKey.from_seed(entries["statement"]),
        envelope=Ed25519Key.from_seed(entries["envelope"]),
        transport_ca=entries["transport-ca"],
        transport_key=entries["transport-key"],
        master=entries["master"],
        stream=int.from_bytes(entries["stream"], "big"),
        witness=Mldsa44Key.from_seed(entries["witness"]),
    )
