"""Back the relay up while it runs, and make a home of a backup that provably continues what partners have seen.

back_up: configuration, keys, genesis and one unchanging view of the embedded store, with the attachments that wait in
it, sealed under the relay's passphrase and verified by restoring it to a temporary place. A database server has tools
of its own: then the keys alone.

restore: the files, verified; then what partners have seen (`concord log witness --seen`) is held against the store:
1. enough of them: with witnesses, so many that every quorum is among them; without, every member
2. each checkpoint that the relay has signed is continued by the store, and each promise stands in it
3. the newest of these checkpoints are kept as handed out: the relay never signs anything that does not continue them
Where entries are lost there is no honest way on: a relay that writes others in their place is convicted by whoever has
seen the old ones (docs/decisions/0017-a-restored-relay.md). Nothing appears then, and what is lost is said.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from exchange.crypto.keys import PublicKey
from exchange.directory.fold import Directory
from exchange.directory.state import MEMBERS
from exchange.errors import BadInput, BadProof, ConfigurationError, Conflict, MalformedInput, VerificationFailed
from exchange.limits import KIB
from exchange.names import PartyId
from exchange.receipts.verify import open_promise
from exchange.relay.config import ENV_PREFIX, RelaySettings
from exchange.relay.continuity import HandedOut
from exchange.relay.home import RelayHome, RelaySecrets
from exchange.relay.sequencer import Log
from exchange.relay.store.logs import SqlLogs
from exchange.runtime.backup_file import (
    Bar,
    Manifest,
    Watched,
    appearing,
    describe,
    read_backup,
    temporary,
    unshown,
    write_verified,
)
from exchange.runtime.config import load_config
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import examine, refuse_damaged, upgrade
from exchange.runtime.secrets import private_dir
from exchange.runtime.seen_file import LogsSeen
from exchange.runtime.snapshot import copy_whole
from exchange.tlog.checkpoint import Checkpoint, directory_origin, traffic_origin
from exchange.tlog.signing import open_checkpoint
from exchange.tlog.tiles import root_at

MIGRATIONS = "exchange.relay.store.migrations"
STORE = "relay.db"
FILES = ("relay.toml", "relay.keys", "genesis.signed")
NAMES = frozenset({*FILES, STORE})
"""Files of a relay's home that a backup holds."""

RELAY = "relay"
MEMORY_KIB = 256 * KIB
LOAD_ENTRIES = 1_000


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A backup that was written and verified."""

    manifest: Manifest
    size: int
    server: bool
    """The store is a database server's, and not in the file."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A home that was made of a backup."""

    manifest: Manifest
    directory_size: int
    traffic_size: int
    compared: tuple[PartyId, ...]


def permitted(name: str) -> bool:
    """Say whether a backup of a relay may hold a file of this name."""
    return name in NAMES


def settings_of(home: RelayHome) -> RelaySettings:
    """Return the configuration of a home."""
    return load_config(RelaySettings, home.config, env_prefix=ENV_PREFIX)


# -- backing up --------------------------------------------------------------------------------------------------------


def back_up(
    home: RelayHome, out: Path, passphrase: bytes, *, now_ms: int, memory_kib: int = MEMORY_KIB, bar: Bar = unshown
) -> BackedUp:
    """Write a verified backup of a relay, running or not, to a new file.

    Raises:
        Conflict: there is a file of this name.
        ConfigurationError: something in the home is missing or damaged, or the store is of another version.
        WrongPassphrase: not the relay's passphrase.
        StorageFull: there is no room for it.
    """
    settings = settings_of(home)
    RelaySecrets.load(home.keys, passphrase)
    home.read_genesis()
    with temporary(home.root, "backup") as folder:
        for name in FILES:
            shutil.copyfile(home.root / name, folder / name)
        names = [*FILES]
        if not settings.database:
            copy_whole(home.root / STORE, folder / STORE)
            names.append(STORE)
        manifest = describe(folder, names, party=RELAY, exchange=settings.exchange, made_ms=now_ms)
        verify = partial(_verify, home, passphrase, bar)
        write_verified(out, folder, manifest, passphrase, verify, memory_kib=memory_kib, bar=bar)
    return BackedUp(manifest, out.stat().st_size, bool(settings.database))


def _verify(home: RelayHome, passphrase: bytes, bar: Bar, part: Path) -> None:
    with temporary(home.root, "verify") as folder:
        with part.open("rb") as file, bar("verifying", part.stat().st_size) as advance:
            read_backup(Watched(file, advance), folder, passphrase, allowed=permitted)
        _check_files(RelayHome(folder), passphrase)


def _check_files(home: RelayHome, passphrase: bytes) -> RelaySecrets:
    """Return the keys in these files, if a relay could run on them."""
    secrets = RelaySecrets.load(home.keys, passphrase)
    settings = settings_of(home)
    Directory.found(home.read_genesis(), expected_hash=None)
    store = home.root / STORE
    if store.exists() == bool(settings.database):
        raise ConfigurationError("the backup does not hold the store that relay.toml names")
    if store.exists():
        refuse_damaged(sqlite_url(store))
        examine(sqlite_url(store), MIGRATIONS)
    return secrets


# -- restoring ---------------------------------------------------------------------------------------------------------


def restore(backup: Path, root: Path, passphrase: bytes, seen: Sequence[LogsSeen], *, bar: Bar = unshown) -> Restored:
    """Make a home of a backup; it appears whole, and only if its store continues what `seen` says, or not at all.

    Raises:
        Conflict: the home holds something already, or the store lacks what partners have seen: what, is said.
        BadInput: too few parties say what they have seen.
        WrongPassphrase: not the passphrase that the relay had when it was backed up.
        MalformedInput, VerificationFailed, ConfigurationError: no backup of a relay, or a damaged one.
    """
    with appearing(root) as ready:
        with backup.open("rb") as file, bar("restoring", backup.stat().st_size) as advance:
            manifest = read_backup(Watched(file, advance), ready, passphrase, allowed=permitted)
        home = RelayHome(ready)
        secrets = _check_files(home, passphrase)
        for folder in (home.requests, home.admin_socket.parent, home.handed_out):
            private_dir(folder)
        url = home.database_url(settings_of(home))
        upgrade(url, MIGRATIONS)
        with Database(url) as database:
            found = database.read_now(partial(_compare, home=home, secrets=secrets, seen=seen))
        return Restored(manifest, *found, tuple(sorted({each.party for each in seen})))


def _compare(
    connection: Connection, *, home: RelayHome, secrets: RelaySecrets, seen: Sequence[LogsSeen]
) -> tuple[int, int]:
    """Hold what was seen against the store, keep the newest of it as handed out, and return the sizes of both logs."""
    logs = SqlLogs(connection)
    directory = _replayed(logs, home.read_genesis())
    _check_enough(directory, {each.party for each in seen})
    opened = partial(_opened, directory=directory, secrets=secrets)
    lost: list[str] = []
    for each in seen:
        if each.exchange != directory.exchange:
            raise BadInput(f"what {each.party} has seen is of {each.exchange}, not of {directory.exchange}")
        for log, note in ((Log.DIRECTORY, each.directory), (Log.TRAFFIC, each.traffic)):
            if note:
                lost += _lacks(logs, log, opened(log, note), each.party)
        lost += _broken(logs, each, {key.key_id: key for key in _promise_keys(directory, secrets)})
    if lost:
        hint = "restore the newest store; without these entries this relay cannot go on: docs/operations/relay.md"
        raise Conflict(f"the store is older than what partners have seen: {'; '.join(lost)}", hint=hint)
    _hand_out(home, opened, seen)
    return logs.state(Log.DIRECTORY).size, logs.state(Log.TRAFFIC).size


def _replayed(logs: SqlLogs, genesis: bytes) -> Directory:
    directory = Directory.found(genesis, expected_hash=None)
    while entries := logs.entries(Log.DIRECTORY, directory.size, LOAD_ENTRIES):
        for entry in entries:
            directory.apply(entry, directory.size)
    return directory


def _check_enough(directory: Directory, seen: set[PartyId]) -> None:
    named = directory.witnesses(at_size=directory.size)
    if named is None:
        wanted = {record.party for record in directory.parties() if record.status in MEMBERS}
        missing = sorted(wanted - seen)
        if missing:
            raise BadInput(
                f"nobody watches the logs, so every member must say what it has seen; missing: {', '.join(missing)}",
                hint="concord log witness --seen FILE, at each of them",
            )
        return
    members = {member.party for member in named.members}
    needed = len(members) - named.quorum + 1
    if len(members & seen) < needed:
        raise BadInput(
            f"{len(members & seen)} witnesses say what they have seen; {needed} of {', '.join(sorted(members))} must",
            hint="concord log witness --seen FILE, at each of them",
        )


def _opened(log: Log, note: str, *, directory: Directory, secrets: RelaySecrets) -> Checkpoint:
    origin = directory_origin(directory.exchange) if log is Log.DIRECTORY else traffic_origin(directory.exchange)
    error = BadProof("no keys of this relay signed the checkpoint")
    for keys in (
        *(each.log.public for each in secrets.sets),
        *(each.keys.log for each in directory.relay_key_history),
    ):
        try:
            return open_checkpoint(note, origin, keys)
        except BadProof as found:
            error = found
    raise error


def _lacks(logs: SqlLogs, log: Log, seen: Checkpoint, party: PartyId) -> list[str]:
    size, name = logs.state(log).size, log.name.lower()
    if seen.size > size:
        return [f"{party} has seen {seen.size:,} entries of the {name} log, {size:,} are here"]
    if seen.size and root_at(partial(logs.tile, log), seen.size) != seen.root:
        return [f"{party} has seen another {name} log of {seen.size:,} entries"]
    return []


def _promise_keys(directory: Directory, secrets: RelaySecrets) -> list[PublicKey]:
    named = [each.keys.promise for each in directory.relay_key_history]
    return [*named, *(each.promise.public for each in secrets.sets)]


def _broken(logs: SqlLogs, seen: LogsSeen, keys: Mapping[bytes, PublicKey]) -> list[str]:
    if seen.promise is None:
        return []
    try:
        signer = seen.promise.signatures[0].key_id if seen.promise.signatures else b""
        if signer not in keys:
            raise BadProof("no key of this relay signed it")
        promise = open_promise(seen.promise, keys[signer], seen.exchange)
    except (MalformedInput, VerificationFailed) as error:
        raise BadInput(f"the promise that {seen.party} holds does not hold: {error}") from error
    size = logs.state(Log.TRAFFIC).size
    if promise.log_index < size:
        return []
    return [f"{seen.party} was promised entry {promise.log_index:,} of the traffic log, {size:,} are here"]


def _hand_out(home: RelayHome, opened: Callable[[Log, str], Checkpoint], seen: Sequence[LogsSeen]) -> None:
    kept = HandedOut(home.handed_out, opened)
    for log, notes in (
        (Log.DIRECTORY, [each.directory for each in seen if each.directory]),
        (Log.TRAFFIC, [each.traffic for each in seen if each.traffic]),
    ):
        if notes:
            kept.keep(log, max(notes, key=lambda note: opened(log, note).size))
