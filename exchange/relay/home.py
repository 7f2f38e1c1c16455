"""The relay's directory: configuration, keys, genesis, store.

    relay.toml        configuration
    relay.keys        keystore: the promise key, the log's two keys, two CAs for TLS; nothing that opens anything
    genesis.unsigned  what the council is to sign
    genesis.signed    what it signed; without it the relay does not start
    relay.info        public: what the council puts into invitations; written at every start
    relay.db          the store, unless another database is configured
    run/admin.sock    where `concord relay status` asks
    handed-out/       the newest checkpoint of each log that was handed out: the store must continue it
    requests/         who asks to join: one file for the council each

The council's keys never lie here.
"""

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
"""The transport CA is named in the genesis; there is no successor to it yet."""

KEY_NAMES = frozenset({"promise", "log", "log-mldsa", "transport-ca", "transport-ca-key", "join-ca", "join-ca-key"})
"""Entries of the keystore, all of them: signing and TLS."""


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
class RelaySecrets:
    """Everything secret that the relay has."""

    promise: Ed25519Key
    """Promises, refusals, agreement commitments."""
    log: LogKeys
    """Checkpoints of both logs."""
    transport: CertificateAuthority
    """Issues the leaf that partners see; named in the genesis."""
    join: CertificateAuthority
    """Issues the leaf that newcomers see; named in relay.info."""

    @classmethod
    def new(cls, now_ms: int) -> Self:
        """Make all keys."""
        return cls(
            Ed25519Key.generate(),
            LogKeys.generate(),
            CertificateAuthority.new(now_ms),
            CertificateAuthority.new(now_ms),
        )

    @property
    def public(self) -> RelayKeys:
        """What the genesis says of the relay."""
        return RelayKeys(self.promise.public, self.log.public, self.transport.certificate)

    def save(self, path: Path, passphrase: bytes, *, memory_kib: int) -> None:
        """Write the keystore."""
        entries = {
            "promise": self.promise.seed,
            "log": self.log.ed25519.seed,
            "log-mldsa": self.log.mldsa.seed,
            "transport-ca": self.transport.certificate,
            "transport-ca-key": self.transport.key,
            "join-ca": self.join.certificate,
            "join-ca-key": self.join.key,
        }
        write_private(path, seal_keystore(entries, passphrase, memory_kib=memory_kib))

    @classmethod
    def load(cls, path: Path, passphrase: bytes) -> Self:
        """Read the keystore.

        Raises:
            WrongPassphrase: the passphrase does not open it.
            ConfigurationError: it is missing, others may read it, it is damaged, or of another kind.
        """
        found = open_keystore_file(path, passphrase)
        if found.keys() != KEY_NAMES:
            raise ConfigurationError(f"{path} is not the keystore of a relay", hint="check --home")
        return cls(
            Ed25519Key.from_seed(found["promise"]),
            LogKeys(Ed25519Key.from_seed(found["log"]), Mldsa44Key.from_seed(found["log-mldsa"])),
            CertificateAuthority(found["transport-ca"], found["transport-ca-key"]),
            CertificateAuthority(found["join-ca"], found["join-ca-key"]),
        )


def new_home(root: Path) -> RelayHome:
    """Return a home that holds no relay yet; directories are made.

    Raises:
        ConfigurationError: there is one already, or the directory cannot be used.
    """
    check_socket_path(RelayHome(root).admin_socket)
    home = RelayHome(private_dir(root))
    if home.config.exists() or home.keys.exists():
        raise ConfigurationError(f"{root} holds a relay already", hint="choose another --home")
    private_dir(home.requests)
    private_dir(home.admin_socket.parent)
    return home
