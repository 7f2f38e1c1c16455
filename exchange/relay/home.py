"""The relay's directory: configuration, keys, genesis, store.

    relay.toml        configuration
    relay.keys        keystore: the promise key, the log's two keys, two CAs for TLS, and the keys that are to follow
                      them; nothing that opens anything
    genesis.unsigned  what the council is to sign
    genesis.signed    what it signed; without it the relay does not start
    relay.info        public: what the council puts into invitations; written at every start
    relay.db          the store, unless another database is configured
    run/admin.sock    where `concord relay status` asks
    handed-out/       the newest checkpoint of each log that was handed out: the store must continue it
    requests/         who asks to join: one file for the council each

The council's keys never lie here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from exchange.crypto import x509
from exchange.crypto.codec import decode_signed
from exchange.crypto.keystore import seal_keystore
from exchange.crypto.logkeys import LogKeys
from exchange.crypto.random import random_bytes
from exchange.crypto.signing import Ed25519Key, Mldsa44Key
from exchange.directory.statements import RelayKeys
from exchange.errors import BadInput, ConfigurationError
from exchange.limits import STATEMENT_BYTES
from exchange.relay.config import RelaySettings
from exchange.runtime.armour import read_armour
from exchange.runtime.engine import sqlite_url
from exchange.runtime.lifecycle import check_socket_path
from exchange.runtime.secrets import open_keystore_file, private_dir, write_private

GENESIS_REQUEST = "GENESIS REQUEST"
GENESIS = "GENESIS"

CA_DAYS = 3_650

JOIN_NAMES = frozenset({"join-ca", "join-ca-key"})
SET_NAMES = frozenset({"promise", "log", "log-mldsa", "transport-ca", "transport-ca-key"})
KEY_NAMES = SET_NAMES | JOIN_NAMES
"""Entries of a new relay's keystore, all of them: signing and TLS. Later sets have the same names with `.N` behind."""

SETS_MOST = 8
"""Sets of keys that a keystore holds: in force, followed, and not named yet."""


@dataclass(frozen=True, slots=True)
class RelayHome:
    """Paths."""

    root: Path

    @property
    def config(self) -> Path:
        """Configuration."""
        return self.root / "relay.toml"

    @property
    def keys(self) -> Path:
        """Keystore."""
        return self.root / "relay.keys"

    @property
    def genesis_request(self) -> Path:
        """What the council is to sign."""
        return self.root / "genesis.unsigned"

    @property
    def genesis(self) -> Path:
        """What the council signed."""
        return self.root / "genesis.signed"

    @property
    def info(self) -> Path:
        """What goes into invitations."""
        return self.root / "relay.info"

    @property
    def admin_socket(self) -> Path:
        """Where the operator asks."""
        return self.root / "run" / "admin.sock"

    @property
    def handed_out(self) -> Path:
        """The newest checkpoint of each log that this relay handed out."""
        return self.root / "handed-out"

    @property
    def requests(self) -> Path:
        """Who asks to join."""
        return self.root / "requests"

    def database_url(self, settings: RelaySettings) -> str:
        """Return the database that is configured, or the embedded one."""
        return settings.database or sqlite_url(self.root.resolve() / "relay.db")

    def read_genesis(self) -> bytes:
        """Return the signed genesis, not verified.

        Raises:
            ConfigurationError: it is not there, or not a genesis.
        """
        try:
            text = self.genesis.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{self.genesis} is missing: the council has not founded the exchange",
                hint=f"concord root sign {self.genesis_request} --out {self.genesis}",
            ) from error
        try:
            data = read_armour(text, {GENESIS})[1]
            decode_signed(data, limit=STATEMENT_BYTES, what="the genesis")
        except BadInput as error:
            raise ConfigurationError(f"{self.genesis}: {error}", hint="put what the council signed there") from error
        return data


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A CA for TLS leaves, both DER."""

    certificate: bytes
    key: bytes = field(repr=False)

    @classmethod
    def new(cls, now_ms: int) -> Self:
        """Make one with an opaque name."""
        return cls(*x509.new_ca(random_bytes(16).hex(), now_ms=now_ms, days=CA_DAYS))


@dataclass(frozen=True, slots=True)
class KeySet:
    """One set of keys that the genesis, or the council later, names as a whole."""

    promise: Ed25519Key
    """Promises, refusals, agreement commitments."""
    log: LogKeys
    """Checkpoints of both logs."""
    transport: CertificateAuthority
    """Issues the leaf that partners see."""

    @classmethod
    def new(cls, now_ms: int) -> Self:
        """Make all keys."""
        return cls(Ed25519Key.generate(), LogKeys.generate(), CertificateAuthority.new(now_ms))

    @property
    def public(self) -> RelayKeys:
        """What the directory says of them."""
        return RelayKeys(self.promise.public, self.log.public, self.transport.certificate)


@dataclass(frozen=True, slots=True)
class RelaySecrets:
    """Everything secret that the relay has."""

    sets: tuple[KeySet, ...]
    """In the order in which they were made; which of them is in force is for the directory to say."""
    join: CertificateAuthority
    """Issues the leaf that newcomers see; named in relay.info."""

    @classmethod
    def new(cls, now_ms: int) -> Self:
        """Make all keys of a new relay."""
        return cls((KeySet.new(now_ms),), CertificateAuthority.new(now_ms))

    def save(self, path: Path, passphrase: bytes, *, memory_kib: int) -> None:
        """Write the keystore, in the place of the one before if there is one."""
        entries = {"join-ca": self.join.certificate, "join-ca-key": self.join.key}
        for number, each in enumerate(self.sets):
            named = {
                "promise": each.promise.seed,
                "log": each.log.ed25519.seed,
                "log-mldsa": each.log.mldsa.seed,
                "transport-ca": each.transport.certificate,
                "transport-ca-key": each.transport.key,
            }
            entries |= {f"{name}{_mark(number)}": value for name, value in named.items()}
        write_private(path, seal_keystore(entries, passphrase, memory_kib=memory_kib))

    @classmethod
    def load(cls, path: Path, passphrase: bytes) -> Self:
        """Read the keystore.

        Raises:
            WrongPassphrase: the passphrase does not open it.
            ConfigurationError: it is missing, others may read it, it is damaged, or of another kind.
        """
        found = open_keystore_file(path, passphrase)
        count, more = divmod(len(found) - len(JOIN_NAMES), len(SET_NAMES))
        names = {f"{name}{_mark(number)}" for number in range(count) for name in SET_NAMES} | JOIN_NAMES
        if more or not 1 <= count <= SETS_MOST or found.keys() != names:
            raise ConfigurationError(f"{path} is not the keystore of a relay", hint="check --home")
        join = CertificateAuthority(found["join-ca"], found["join-ca-key"])
        return cls(tuple(_key_set(found, _mark(number)) for number in range(count)), join)


def _mark(number: int) -> str:
    return f".{number}" if number else ""


def _key_set(found: Mapping[str, bytes], mark: str) -> KeySet:
    return KeySet(
        Ed25519Key.from_seed(found[f"promise{mark}"]),
        LogKeys(Ed25519Key.from_seed(found[f"log{mark}"]), Mldsa44Key.from_seed(found[f"log-mldsa{mark}"])),
        CertificateAuthority(found[f"transport-ca{mark}"], found[f"transport-ca-key{mark}"]),
    )


def new_home(root: Path) -> RelayHome:
    """Return a home that holds no relay yet, or one whose keys were never made; directories are made.

    Raises:
        ConfigurationError: there is one already, or the directory cannot be used.
    """
    check_socket_path(RelayHome(root).admin_socket)
    home = RelayHome(private_dir(root))
    if home.keys.exists():
        raise ConfigurationError(f"{root} holds a relay already", hint="choose another --home")
    private_dir(home.requests)
    private_dir(home.admin_socket.parent)
    return home
