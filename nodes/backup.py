"""Back a node up while it runs, and make a home of a backup; docs/guides/lost-disk-or-root.md.

back_up:
1. an unchanging view of the store, then of keys.db without its prekeys, is copied into the home, and the other files.
   The store becomes a node.db, also when it is elsewhere (store_url)
2. where the node has operators, two of them have permitted it (nodes/permits.py)
3. attachments, sealed as they lie here, go with it, unless they are left out (nodes/backup_attachments.py)
4. all of it is sealed under the node's own passphrase into a file with a dot name
5. that file is restored to a temporary place and looked through; only then it gets its name
Keys of reports are durable before the row that needs them, so the later view of keys.db has every key of the earlier
view of the store. Prekeys are left out: a destroyed day must stay destroyed.

restore: everything is made ready beside the new home, which then appears at once:
1. the files, verified; where the node had operators, two of them have permitted it for this very file
2. a stream of numbers of its own: later numbers of the old one may be with partners already. What was sealed and not
   answered goes again under new numbers; a recipient that has the item knows it by its hash
3. no session, and another witness key: a witness must not forget what it has cosigned
4. where the store is to be elsewhere, its rows go there, all at once; that database must be empty
The node then asks for what it misses (nodes/resending.py), and tells its partners (nodes/anew.py).
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from exchange.crypto.signing import Mldsa44Key
from exchange.errors import ConfigurationError
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
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import examine, refuse_damaged, upgrade
from exchange.runtime.secrets import private_dir
from exchange.runtime.snapshot import copy_rows, copy_tables, copy_whole
from nodes import config, keystore
from nodes.backup_attachments import Gathered, check, gather, is_attachment, whole
from nodes.keybox import FILE as KEYS_DB
from nodes.keystore import load_keys, next_stream, save_keys
from nodes.operators import Operator, known
from nodes.permits import Act, Permit, node_subject, two_of
from nodes.store import MIGRATIONS, anew
from nodes.store.columns import metadata
from nodes.store.keys import count_prekeys, node_keys, report_keys
from nodes.store.operators import AuditLine, add_audit
from nodes.store.tables import keys_metadata, node_key, report_key

NAMES = frozenset({"node.toml", "node.keys", "node.db", "keys.db", "exchange/relay.info"})
"""Files of a node's home that a backup holds."""

_BESIDE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,60}\.yaml")
"""Label defaults, which node.toml names."""

NODE_DB = "node.db"
RELAY_INFO = "exchange/relay.info"
RESTORED = "node.restore"
"""Action in the audit, for each operator who permitted it."""
SAMPLE = 100
"""Report keys that are opened when a backup is verified."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A backup that was written and verified."""

    manifest: Manifest
    size: int
    reports: int
    attachments: int
    left_out: tuple[bytes, ...]
    """Items of which an attachment is damaged or missing here, and not in the backup."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A home that was made of a backup."""

    manifest: Manifest
    stream: int
    attachments: int
    permitted: tuple[str, ...]
    """Operators who permitted it; nobody where there were none."""


def permitted(name: str) -> bool:
    """Say whether a backup of a node may hold a file of this name."""
    return name in NAMES or _BESIDE.fullmatch(name) is not None or is_attachment(name)


# -- backing up --------------------------------------------------------------------------------------------------------


def back_up(
    home: Path,
    out: Path,
    passphrase: bytes,
    *,
    now_ms: int,
    permits: Sequence[Permit] = (),
    attachments: bool = True,
    bar: Bar = unshown,
) -> BackedUp:
    """Write a verified backup of a node, running or not, to a new file.

    Raises:
        Conflict: there is a file of this name.
        NotAllowed, BadSignature: the node has operators, and not two of them permit it.
        ConfigurationError: no node is here, its store is of another version, or something in it is damaged.
        WrongPassphrase: not the node's passphrase.
        StorageFull: there is no room for it.
    """
    settings = config.load(home)
    load_keys(home, passphrase)
    checked: list[_Checked] = []
    with temporary(home, "backup") as folder:
        # 1
        names = _gather(home, folder, settings)
        # 2
        subject = node_subject(settings.exchange, settings.party)
        people = two_of(permits, _operators(folder, now_ms), act=Act.BACKUP, subject=subject, now_ms=now_ms)
        # 3
        gathered = _attachments(home, folder, bar) if attachments else Gathered()
        manifest = describe(
            folder,
            names,
            party=settings.party,
            exchange=settings.exchange,
            made_ms=now_ms,
            permitted=people,
            more=gathered.kept,
        )
        # 4, 5
        write_verified(
            out,
            folder,
            manifest,
            passphrase,
            lambda part: checked.append(_verify(part, home, passphrase, bar)),
            memory_kib=settings.keystore_memory_kib,
            bar=bar,
        )
    (found,) = checked
    return BackedUp(manifest, out.stat().st_size, found.reports, found.attachments, gathered.left_out)


def _attachments(home: Path, folder: Path, bar: Bar) -> Gathered:
    with Database(sqlite_url(folder / KEYS_DB)) as keybox:
        items = keybox.read_now(anew.items_with_keys)
    with Database(sqlite_url(folder / NODE_DB)) as database:
        rows = database.read_now(whole)
    return gather(home, folder, rows, items, bar)


def _gather(home: Path, folder: Path, settings: config.NodeConfig) -> list[str]:
    """Copy what belongs into a backup; return the names."""
    if settings.store_url:
        _gather_store(settings.store_url, folder / NODE_DB)
    else:
        copy_whole(home / NODE_DB, folder / NODE_DB)
    copy_tables(home / KEYS_DB, folder / KEYS_DB, (report_key.name, node_key.name))
    private_dir(folder / "exchange")
    beside = [settings.label_defaults] if settings.label_defaults and permitted(settings.label_defaults) else []
    names = [config.FILE, keystore.FILE, RELAY_INFO, *beside]
    for name in names:
        shutil.copyfile(home / name, folder / name)
    return [*names, NODE_DB, KEYS_DB]


def _gather_store(url: str, path: Path) -> None:
    if not examine(url, MIGRATIONS):
        raise ConfigurationError(
            "the store is of an older version of the program", hint="start the node once, which brings it up to date"
        )
    upgrade(sqlite_url(path), MIGRATIONS)
    copy_rows(url, sqlite_url(path), metadata.sorted_tables)


def _operators(folder: Path, at_ms: int) -> list[Operator]:
    """Return every operator that the node of these files ever had, as they stand at a time."""
    with Database(sqlite_url(folder / NODE_DB)) as database:
        return database.read_now(partial(known, now_ms=at_ms))


@dataclass(frozen=True, slots=True)
class _Checked:
    reports: int
    attachments: int


def _verify(part: Path, home: Path, passphrase: bytes, bar: Bar) -> _Checked:
    """Restore a backup to a temporary place and look through it; attachments are read, and not written once more."""
    with temporary(home, "verify") as folder:
        with part.open("rb") as file, bar("verifying", part.stat().st_size) as advance:
            source = Watched(file, advance)
            manifest = read_backup(source, folder, passphrase, allowed=permitted, only_look=is_attachment)
        return _Checked(check_files(folder, passphrase), _check_attachments(folder, manifest))


def _check_attachments(folder: Path, manifest: Manifest) -> int:
    with Database(sqlite_url(folder / NODE_DB)) as database:
        return check(manifest, database.read_now(whole))


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


def restore(
    backup: Path,
    home: Path,
    passphrase: bytes,
    *,
    now_ms: int,
    permits: Sequence[Permit] = (),
    store_url: str | None = None,
    bar: Bar = unshown,
) -> Restored:
    """Make a home of a backup; it appears whole or not at all. `store_url` takes the place of what node.toml says.

    Raises:
        Conflict: the home, or the database that is to be the store, holds something already.
        WrongPassphrase: not the passphrase that the node had when it was backed up.
        NotAllowed, BadSignature: the node had operators, and not two of them permit it for this file.
        MalformedInput, VerificationFailed, ConfigurationError: no backup, or a damaged one.
    """
    with appearing(home) as ready:
        return _make_ready(ready, backup, passphrase, now_ms=now_ms, permits=permits, store_url=store_url, bar=bar)


def _make_ready(
    ready: Path,
    backup: Path,
    passphrase: bytes,
    *,
    now_ms: int,
    permits: Sequence[Permit],
    store_url: str | None,
    bar: Bar,
) -> Restored:
    # 1
    with backup.open("rb") as file, bar("restoring", backup.stat().st_size) as advance:
        source = Watched(file, advance)
        manifest = read_backup(source, ready, passphrase, allowed=permitted)
    check_files(ready, passphrase)
    upgrade(sqlite_url(ready / NODE_DB), MIGRATIONS)
    held = _check_attachments(ready, manifest)
    operators = _operators(ready, manifest.made_ms)
    subject = source.digest().hex()
    people = two_of(permits, operators, act=Act.RESTORE, subject=subject, now_ms=now_ms)
    # 2 and 3
    if store_url is not None:
        config.change_store(ready, store_url)
    lines = [AuditLine(now_ms, name, RESTORED, subject) for name in people]
    stream = _begin_anew(ready, passphrase, now_ms, lines)
    # 4
    elsewhere = config.load(ready).store_url
    if elsewhere:
        upgrade(elsewhere, MIGRATIONS)
        copy_rows(sqlite_url(ready / NODE_DB), elsewhere, metadata.sorted_tables)
        (ready / NODE_DB).unlink()
    return Restored(manifest, stream, held, people)


def _begin_anew(folder: Path, passphrase: bytes, now_ms: int, lines: Sequence[AuditLine]) -> int:
    settings, keys = config.load(folder), load_keys(folder, passphrase)
    with Database(sqlite_url(folder / NODE_DB)) as database:
        database.write_now(anew.begin)
        for line in lines:
            database.write_now(partial(add_audit, line=line))
    stream = next_stream(keys.stream, now_ms)
    fresh = replace(keys, stream=stream, witness=Mldsa44Key.generate())
    save_keys(folder, fresh, passphrase, memory_kib=settings.keystore_memory_kib)
    return stream
