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
device           where a PKCS#11 device is and its PIN; only where keys lie in one
===============  ====================================================================

Of a key in a device, `statement` holds the marker, the seed of ML-DSA's half and the public half of the other, and
`envelope` the marker and the public key (nodes/hsm.py): what is stolen here signs nothing without the device.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from exchange.crypto.keys import ED25519_BYTES, MLDSA65_BYTES, KeyAlgorithm, PublicKey, admit_public_key
from exchange.crypto.keystore import seal_keystore
from exchange.crypto.random import random_bytes
from exchange.crypto.signing import SEED_BYTES, CompositeKey, Ed25519Key, Mldsa44Key, SignEd25519
from exchange.crypto.x509 import new_ca
from exchange.errors import ConfigurationError, ExchangeError, MalformedInput
from exchange.runtime.json_record import decode_record, encode_record
from exchange.runtime.secrets import open_keystore_file, write_private
from nodes.hsm import Device, Place

FILE = "node.keys"
MASTER_BYTES = 32
TRANSPORT_CA_DAYS = 3650

_NAMES = frozenset({"statement", "envelope", "witness", "transport-ca", "transport-key", "master", "stream"})
_OPTIONAL = frozenset({"device"})
_DEVICE_FIELDS: dict[str, type] = dict.fromkeys(("module", "token", "pin"), str)
_IN_DEVICE = b"\x01"
"""Opens the entry of a key in a device; seeds are shorter by one byte."""


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
    device: Place | None = None
    """Where new signing keys are made; None: in the keystore."""


def new_statement_key(device: Device | None) -> CompositeKey:
    """Return a new statement key, whose Ed25519 half lies in the device if there is one."""
    if device is None:
        return CompositeKey.generate()
    public = device.make_key("concord statement")
    return CompositeKey.in_device(random_bytes(SEED_BYTES), public, device.signer(public))


def new_envelope_key(device: Device | None) -> Ed25519Key:
    """Return a new envelope key, in the device if there is one."""
    if device is None:
        return Ed25519Key.generate()
    public = device.make_key("concord envelope")
    return Ed25519Key.in_device(public, device.signer(public))


def create_keys(*, now_ms: int, place: Place | None = None) -> NodeKeys:
    """Return the keys of a new node; nothing is written, but keys are made in the device if there is one."""
    device = place.open() if place else None
    # The CA's name stands in every leaf, in clear on the wire: it says nothing of who runs it.
    certificate, key = new_ca(f"node-{random_bytes(8).hex()}", now_ms=now_ms, days=TRANSPORT_CA_DAYS)
    return NodeKeys(
        statement=new_statement_key(device),
        envelope=new_envelope_key(device),
        transport_ca=certificate,
        transport_key=key,
        master=random_bytes(MASTER_BYTES),
        stream=1,
        witness=Mldsa44Key.generate(),
        device=place,
    )


def next_stream(before: int, now_ms: int) -> int:
    """Return the number of a stream that was never used: higher than the one before, and by the clock.

    One backup may be restored twice; counting on by one would then give two lives of a node the same numbers. The time
    in it says when this life of the node began (nodes/prekeys.py).
    """
    return max(before + 1, now_ms // 1000)


def save_keys(home: Path, keys: NodeKeys, passphrase: bytes, *, memory_kib: int) -> None:
    """Write node.keys anew, wholly and durably, or not at all."""
    write_private(home / FILE, seal_keystore(_entries(keys), passphrase, memory_kib=memory_kib))


def load_keys(home: Path, passphrase: bytes) -> NodeKeys:
    """Return the keys in node.keys.

    Raises:
        ConfigurationError: no such file, not private, or damaged; or the device with its keys is not there.
        WrongPassphrase: another passphrase.
    """
    entries = open_keystore_file(home / FILE, passphrase)
    place = _place(entries.get("device"))
    device = place.open() if place else None
    try:
        return _keys(entries, place, device)
    except ConfigurationError:
        raise
    except (KeyError, ExchangeError) as error:
        raise ConfigurationError(f"{home / FILE} is not the keystore of a node", hint="restore it") from error


def _entries(keys: NodeKeys) -> dict[str, bytes]:
    return {
        "statement": statement_entry(keys.statement),
        "envelope": envelope_entry(keys.envelope),
        "witness": keys.witness.seed,
        "transport-ca": keys.transport_ca,
        "transport-key": keys.transport_key,
        "master": keys.master,
        "stream": keys.stream.to_bytes(4, "big"),
        **({"device": encode_record(asdict(keys.device))} if keys.device else {}),
    }


def _keys(entries: Mapping[str, bytes], place: Place | None, device: Device | None) -> NodeKeys:
    if set(entries) - _OPTIONAL != _NAMES or len(entries["master"]) != MASTER_BYTES:
        raise MalformedInput("entries are missing or unknown")
    return NodeKeys(
        statement=read_statement_key(entries["statement"], device),
        envelope=read_envelope_key(entries["envelope"], device),
        transport_ca=entries["transport-ca"],
        transport_key=entries["transport-key"],
        master=entries["master"],
        stream=int.from_bytes(entries["stream"], "big"),
        witness=Mldsa44Key.from_seed(entries["witness"]),
        device=place,
    )


def envelope_entry(key: Ed25519Key) -> bytes:
    """Return how an envelope key is kept: its seed, or where in the device it is found."""
    return key.seed or _IN_DEVICE + key.public.raw


def statement_entry(key: CompositeKey) -> bytes:
    """Return how a statement key is kept; as `envelope_entry`."""
    in_device = len(key.seed) == SEED_BYTES
    return _IN_DEVICE + key.seed + key.public.raw[MLDSA65_BYTES:] if in_device else key.seed


def read_statement_key(entry: bytes, device: Device | None) -> CompositeKey:
    """Return the key of an entry; ConfigurationError when it lies in a device that is not there."""
    if len(entry) != 1 + SEED_BYTES + ED25519_BYTES or not entry.startswith(_IN_DEVICE):
        return CompositeKey.from_seed(entry)
    public = _device_half(entry[1 + SEED_BYTES :])
    return CompositeKey.in_device(entry[1 : 1 + SEED_BYTES], public, _signer(device, public))


def read_envelope_key(entry: bytes, device: Device | None) -> Ed25519Key:
    """Return the key of an entry; as `read_statement_key`."""
    if len(entry) != 1 + ED25519_BYTES or not entry.startswith(_IN_DEVICE):
        return Ed25519Key.from_seed(entry)
    public = _device_half(entry[1:])
    return Ed25519Key.in_device(public, _signer(device, public))


def _device_half(raw: bytes) -> PublicKey:
    return admit_public_key(KeyAlgorithm.ED25519, raw)


def _signer(device: Device | None, public: PublicKey) -> SignEd25519:
    if device is None:
        raise ConfigurationError("a key lies in a device, and the keystore does not say in which")
    return device.signer(public)


def _place(entry: bytes | None) -> Place | None:
    if entry is None:
        return None
    fields = decode_record(entry, _DEVICE_FIELDS, what="the device")
    return Place(fields["module"], fields["token"], fields["pin"])
