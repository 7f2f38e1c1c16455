"""An operator's own home: the keystore and the public key file.

operator.keys   the composite key, under a passphrase
operator.pub    its public half, for an administrator: concord operator add
session         nodes/session.py
"""

from pathlib import Path

from exchange.crypto.keys import KeyAlgorithm, PublicKey, admit_public_key, fingerprint
from exchange.crypto.keystore import seal_keystore
from exchange.crypto.signing import CompositeKey
from exchange.errors import ConfigurationError, Conflict
from exchange.limits import KIB
from exchange.runtime.armour import read_armour, write_armour
from exchange.runtime.json_record import decode_record, encode_record, from_base64, to_base64
from exchange.runtime.secrets import open_keystore_file, private_dir, write_private

KEYSTORE = "operator.keys"
PUBLIC = "operator.pub"
MEMORY_MIB = 256
"""Argon2id memory for an operator's keystore."""

_ARMOUR = "OPERATOR KEY"


def init_operator(home: Path, passphrase: bytes, *, memory_mib: int = MEMORY_MIB) -> PublicKey:
    """Make an operator's key.

    Raises:
        Conflict: there is one already.
    """
    check_free_home(home)
    key = CompositeKey.generate()
    keystore = seal_keystore({"operator": key.seed}, passphrase, memory_kib=memory_mib * KIB)
    private_dir(home)
    # The keystore last: a home without it is unfinished, and init may be run again.
    write_private(home / PUBLIC, write_operator_key(key.public).encode())
    write_private(home / KEYSTORE, keystore)
    return key.public


def check_free_home(home: Path) -> None:
    """Return when an operator's key can be made here; Conflict when there is one already."""
    if (home / KEYSTORE).exists():
        raise Conflict(f"{home} holds an operator's key already", hint="it is never overwritten; choose another home")


def open_operator(home: Path, passphrase: bytes) -> CompositeKey:
    """Return the operator's key.

    Raises:
        ConfigurationError: there is none, others may read it, or it is damaged.
        WrongPassphrase: the passphrase does not open it.
    """
    if not (home / KEYSTORE).exists():
        raise ConfigurationError(f"no operator's key in {home}", hint="concord operator init")
    entries = open_keystore_file(home / KEYSTORE, passphrase)
    if set(entries) != {"operator"}:
        raise ConfigurationError(f"{home / KEYSTORE} is not the keystore of an operator", hint="check the home")
    return CompositeKey.from_seed(entries["operator"])


def write_operator_key(key: PublicKey) -> str:
    """Return the text of a public key file."""
    return write_armour(_ARMOUR, encode_record({"key": to_base64(key.raw)}))


def read_operator_key(text: str) -> PublicKey:
    """Return the key in a public key file; MalformedInput or TooLarge for anything else."""
    fields = decode_record(read_armour(text, {_ARMOUR})[1], {"key": str}, what="the operator's key")
    return admit_public_key(KeyAlgorithm.COMPOSITE_65, from_base64(fields["key"], what="the operator's key"))


def operator_fingerprint(key: PublicKey) -> str:
    """Return what operator and administrator compare: 32 letters in groups of four."""
    return fingerprint("operator", key.raw)
