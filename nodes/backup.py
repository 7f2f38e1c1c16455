"""Back a node up while it runs, and make a home of a backup; docs/guides/lost-disk-or-root.md.

back_up:
1. an unchanging view of node.db, then of keys.db without its prekeys, is copied into the home, and the other files
2. all of it is sealed under the node's own passphrase into a file with a dot name
3. that file is restored to a temporary place and looked through; only then it gets its name
Keys of reports are durable before the row that needs them, so the later view of keys.db has every key of the earlier
view of node.db. Prekeys are left out: a destroyed day must stay destroyed.

restore: everything is made ready beside the new home, which then appears at once:
1. the files, verified
2. a stream of numbers of its own: later numbers of the old one may be with partners already. What was sealed and not
   answered goes again under new numbers; a recipient that has the item knows it by its hash
3. no session, and another witness key: a witness must not forget what it has cosigned
The node then asks for what it misses (nodes/resending.py), and tells its partners (nodes/anew.py).
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from exchange.crypto.signing import Mldsa44Key
from exchange.errors import ConfigurationError, Conflict
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import examine, refuse_damaged, upgrade
from exchange.runtime.secrets import private_dir
from exchange.runtime.snapshot import copy_tables, copy_whole
from nodes import config, keystore
from nodes.backup_file import Manifest, describe, permitted, read_backup, write_backup
from nodes.keybox import FILE as KEYS_DB
from nodes.keystore import load_keys, next_stream, save_keys
from nodes.store import MIGRATIONS, anew
from nodes.store.keys import count_prekeys, node_keys, report_keys
from nodes.store.tables import keys_metadata, node_key, report_key

NODE_DB = "node.db"
RELAY_INFO = "exchange/relay.info"
SAMPLE = 100
"""Report keys that are opened when a backup is verified."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A backup that was written and verified."""

    manifest: Manifest
    size: int
    reports: int


@dataclass(frozen=True, slots=True)
class Restored:
    """A home that was made of a backup."""

    manifest: Manifest
    stream: int


# -- backing up --------------------------------------------------------------------------------------------------------


def back_up(home: Path, out: Path, passphrase: bytes, *, now_ms: int) -> BackedUp:
    """Write a verified backup of a node, running or not, to a new file.

    Raises:
        Conflict: there is a file of this name.
        ConfigurationError: no node is here, its store is elsewhere, or something in it is damaged.
        WrongPassphrase: not the node's passphrase.
        StorageFull: there is no room for it.
    """
    if out.exists():
        raise Conflict(f"{out} exists already", hint="a backup is never overwritten; choose another name")
    settings = config.load(home)
    if settings.store_url:
        raise ConfigurationError(
            "the store is not in the home: store_url is set",
            hint="back the database up with its own tools, see the guide",
        )
    load_keys(home, passphrase)
    part = out.with_name(f".{out.name}.part")
    with _temporary(home, "backup") as folder:
        names = _gather(home, folder, settings)
        manifest = describe(folder, names, party=settings.party, exchange=settings.exchange, made_ms=now_ms)
        try:
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "wb") as file:
                write_backup(file, folder, manifest, passphrase, memory_kib=settings.keystore_memory_kib)
                file.flush()
                os.fsync(file.fileno())
            reports = _verify(part, home, passphrase)
            part.replace(out)
            _sync(out.parent)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
    return BackedUp(manifest, out.stat().st_size, reports)


def _gather(home: Path, folder: Path, settings: config.NodeConfig) -> list[str]:
    """Copy what belongs into a backup; return the names."""
    copy_whole(home / NODE_DB, folder / NODE_DB)
    copy_tables(home / KEYS_DB, folder / KEYS_DB, (report_key.name, node_key.name))
    private_dir(folder / "exchange")
    beside = [settings.label_defaults] if settings.label_defaults and permitted(settings.label_defaults) else []
    names = [config.FILE, keystore.FILE, RELAY_INFO, *beside]
    for name in names:
        shutil.copyfile(home / name, folder / name)
    return [*names, NODE_DB, KEYS_DB]


def _verify(part: Path, home: Path, passphrase: bytes) -> int:
    """Restore a backup to a temporary place and look through it; return how many reports' keys it holds."""
    with _temporary(home, "verify") as folder:
        with part.open("rb") as file:
            read_backup(file, folder, passphrase)
        return check_files(folder, passphrase)


def check_files(folder: Path, passphrase: bytes) -> int:
    """Check that a node could run on these files; return how many reports' keys they hold.

    Raises:
        ConfigurationError: something is damaged, of a newer version, or does not belong together.
        VerificationFailed: the keys are of another keystore.
    """
    keys = load_keys(folder, passphrase)
    config.load(folder)
    url = sqlite_url(folder / NODE_DB)
    refuse_damaged(url)
    examine(url, MIGRATIONS)
    refuse_damaged(sqlite_url(folder / KEYS_DB))
    with Database(sqlite_url(folder / KEYS_DB)) as keybox:
        keybox.write_now(keys_metadata.create_all)
        if keybox.read_now(count_prekeys):
            raise ConfigurationError("there are prekeys in the backup")
        items = keybox.read_now(anew.items_with_keys)
        keybox.read_now(lambda connection: report_keys(connection, keys.master, items[:SAMPLE]))
        keybox.read_now(lambda connection: node_keys(connection, keys.master))
    return len(items)


# -- restoring ---------------------------------------------------------------------------------------------------------


def restore(backup: Path, home: Path, passphrase: bytes, *, now_ms: int) -> Restored:
    """Make a home of a backup; it appears whole or not at all.

    Raises:
        Conflict: the home holds something already.
        WrongPassphrase: not the passphrase that the node had when it was backed up.
        MalformedInput, VerificationFailed, ConfigurationError: no backup, or a damaged one.
    """
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise Conflict(f"{home} holds something already", hint="restore into a new home")
    home.parent.mkdir(parents=True, exist_ok=True)
    ready = home.with_name(f".{home.name}.restoring")
    if ready.exists():
        shutil.rmtree(ready)
    private_dir(ready)
    with backup.open("rb") as file:
        # 1
        manifest = read_backup(file, ready, passphrase)
    check_files(ready, passphrase)
    # 2 and 3
    stream = _begin_anew(ready, passphrase, now_ms)
    if home.exists():
        home.rmdir()
    ready.rename(home)
    _sync(home.parent)
    return Restored(manifest, stream)


def _begin_anew(folder: Path, passphrase: bytes, now_ms: int) -> int:
    settings, keys = config.load(folder), load_keys(folder, passphrase)
    url = sqlite_url(folder / NODE_DB)
    upgrade(url, MIGRATIONS)
    with Database(url) as database:
        database.write_now(anew.begin)
    stream = next_stream(keys.stream, now_ms)
    fresh = replace(keys, stream=stream, witness=Mldsa44Key.generate())
    save_keys(folder, fresh, passphrase, memory_kib=settings.keystore_memory_kib)
    return stream


@contextmanager
def _temporary(home: Path, what: str) -> Iterator[Path]:
    """Give a folder in the home, which only we may enter, and remove it."""
    folder = Path(tempfile.mkdtemp(prefix=f".{what}-", dir=home))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
