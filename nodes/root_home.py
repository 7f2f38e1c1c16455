"""The home of a party root, usually on a machine without network.

    root.keys   keystore under the root's passphrase
    root.pub    public half, to hand out
    relays/     relay info of each exchange that this root invited for; pins the genesis of that exchange
    admissions/ what this root admitted, so that asking again gives the same statement
Made wholly or refused; every file is durable before the function returns.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from exchange.crypto.keystore import seal_keystore
from exchange.crypto.signing import CompositeKey
from exchange.errors import ConfigurationError, Conflict, MalformedInput, NotFound
from exchange.names import ExchangeName, PartyId, party_id
from exchange.runtime.armour import ARMOUR_BYTES
from exchange.runtime.relay_info import (
    RelayInfo,
    RootFile,
    read_relay_info,
    read_root_file,
    write_relay_info,
    write_root_file,
)
from exchange.runtime.secrets import open_keystore_file, private_dir, write_private

KEYSTORE = "root.keys"
PUBLIC = "root.pub"
RELAYS = "relays"
ADMISSIONS = "admissions"
MEMORY_MIB = 1024
"""Argon2id memory for a root's keystore (crypto.md 3.5)."""


@dataclass(frozen=True, slots=True)
class Root:
    """An opened root."""

    party: PartyId
    key: CompositeKey


def init_root(home: Path, party: PartyId, passphrase: bytes, *, memory_mib: int = MEMORY_MIB) -> RootFile:
    """Make a root in a home of its own.

    Raises:
        Conflict: the home exists already.
        MalformedInput: `memory_mib` is outside the limits of a keystore.
    """
    check_free_home(home)
    key = CompositeKey.generate()
    # The party stands beside the seed, so that nobody makes this root sign for another party by changing root.pub.
    entries = {"root": key.seed, "party": party.encode()}
    keystore = seal_keystore(entries, passphrase, memory_kib=memory_mib * 1024)
    public = RootFile(party, key.public)
    private_dir(home)
    write_private(home / PUBLIC, write_root_file(public).encode())
    write_private(home / KEYSTORE, keystore)
    return public


def check_free_home(home: Path) -> None:
    """Return when a root can be made here: the directory is missing, empty or unfinished; Conflict otherwise.

    The keystore is written last: a home that holds no more than the public half, and what a crash left of either, is
    one of which nobody was told.
    """
    begun = (PUBLIC, f".{PUBLIC}.", f".{KEYSTORE}.")
    if home.exists() and (not home.is_dir() or any(not path.name.startswith(begun) for path in home.iterdir())):
        raise Conflict(f"{home} exists already", hint="a root is never overwritten; choose another --home")


def open_root(home: Path, passphrase: bytes) -> Root:
    """Return the root of a home.

    Raises:
        ConfigurationError: there is none, others may read it, it is damaged or holds no root.
        WrongPassphrase: the passphrase does not open it.
    """
    entries = open_keystore_file(home / KEYSTORE, passphrase)
    if set(entries) != {"root", "party"}:
        raise ConfigurationError(f"{home / KEYSTORE} is not the keystore of a root", hint="check --home")
    return Root(party_id(entries["party"].decode("ascii", "replace")), CompositeKey.from_seed(entries["root"]))


def public_root(home: Path) -> RootFile:
    """Return the public half of a home's root, without its passphrase; ConfigurationError when there is none."""
    return read_root_file(read_text(home / PUBLIC))


def remember_relay(home: Path, relay: RelayInfo) -> None:
    """Keep where an exchange is and how it began.

    Raises:
        Conflict: this root knows an exchange of that name with another genesis.
    """
    path = _relay_path(home, relay.exchange)
    if path.exists() and read_relay_info(read_text(path)).genesis_hash != relay.genesis_hash:
        raise Conflict(
            f"this root knows {relay.exchange} with another genesis",
            hint="compare the genesis hash with the council; it never changes",
        )
    private_dir(home / RELAYS)
    write_private(path, write_relay_info(relay).encode())


def known_relay(home: Path, exchange: ExchangeName) -> RelayInfo:
    """Return what `remember_relay` kept, or raise NotFound."""
    path = _relay_path(home, exchange)
    if not path.exists():
        raise NotFound(f"this root has not invited for {exchange[:100]}", hint="give --relay relay.info")
    return read_relay_info(read_text(path))


def admission_path(home: Path, genesis_hash: bytes, root_key_id: bytes) -> Path:
    """Return where the admission of a root to an exchange is kept."""
    return home / ADMISSIONS / f"{sha256(genesis_hash + root_key_id).hexdigest()[:32]}.admission"


def _relay_path(home: Path, exchange: ExchangeName) -> Path:
    # A name may hold slashes; its hash never does.
    return home / RELAYS / f"{sha256(exchange.encode()).hexdigest()[:32]}.info"


def read_text(path: Path) -> str:
    """Return the text of a file that a person handed over; ConfigurationError when it cannot be read.

    Raises:
        MalformedInput: longer than any armoured file, or not text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(ARMOUR_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", hint="check the path") from error
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise MalformedInput(f"{path} is not a Concord file") from error


def check_free_file(path: Path) -> None:
    """Return when nothing is at `path`: Conflict otherwise, for what is handed out is never overwritten."""
    if path.exists():
        raise Conflict(f"{path} exists already", hint="move it away, or choose another --out")


def write_file(path: Path, text: str, *, secret: bool) -> None:
    """Write a new file durably: readable by us alone when `secret`, else by everybody.

    Raises:
        Conflict: there is one already.
        ConfigurationError: it cannot be written.
    """
    check_free_file(path)
    write_private(path, text.encode())
    if not secret:
        path.chmod(0o644)
