"""Attachments in a backup: the sealed files as they lie in the home, each once, none of them copied to make it.

They are linked into the backup's folder, so that what the node removes meanwhile is still there, and are read piece by
piece. Sealed they are already: their keys are in the backup's store, each under its report's own key, and a report that
was destroyed before the backup has none. What is not whole yet is not in it, and is fetched anew after a restore.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from exchange.errors import VerificationFailed
from exchange.names import ID_BYTES
from exchange.runtime.backup_file import Bar, Kept, Manifest, digest_of
from exchange.runtime.secrets import private_dir
from nodes.blob_files import FOLDER
from nodes.store import blobs
from nodes.store.blobs import BlobState, KeptBlob

PREFIX = f"{FOLDER}/"


@dataclass(frozen=True, slots=True)
class Gathered:
    """Attachments for a backup."""

    kept: tuple[Kept, ...] = ()
    left_out: tuple[bytes, ...] = ()
    """Items of which one is damaged, or is not where it should lie."""


def is_attachment(name: str) -> bool:
    """Say whether a file of a backup is an attachment."""
    stem = name.removeprefix(PREFIX)
    return name.startswith(PREFIX) and len(stem) == 2 * ID_BYTES and set(stem) <= set("0123456789abcdef")


def whole(connection: Connection) -> dict[str, KeptBlob]:
    """Return the attachments that lie whole in a node's home, by their names in a backup."""
    found = blobs.files(connection)
    return {f"{PREFIX}{file.hex()}": row for file, row in found.items() if row.state is not BlobState.WAITING}


def gather(home: Path, folder: Path, rows: Mapping[str, KeptBlob], with_keys: Iterable[bytes], bar: Bar) -> Gathered:
    """Link attachments into a folder, and look at each; `with_keys` are the items that are not destroyed."""
    items = set(with_keys)
    wanted = {name: row for name, row in rows.items() if row.item in items}
    private_dir(folder / FOLDER)
    kept: list[Kept] = []
    left_out: dict[bytes, None] = {}
    with bar("looking at attachments", sum(row.size for row in wanted.values())) as advance:
        for name, row in wanted.items():
            if _link(home / name, folder / name) and digest_of(folder / name, advance) == row.sha256:
                kept.append(Kept(name, row.size, row.sha256))
            else:
                left_out[row.item] = None
    return Gathered(tuple(kept), tuple(left_out))


def check(manifest: Manifest, rows: Mapping[str, KeptBlob]) -> int:
    """Return how many attachments a backup holds, all of which its store knows as they are.

    Raises:
        VerificationFailed: one is none of this node's.
    """
    held = [kept for kept in manifest.files if is_attachment(kept.name)]
    for kept in held:
        row = rows.get(kept.name)
        if row is None or (row.size, row.sha256) != (kept.size, kept.sha256):
            raise VerificationFailed(f"{kept.name} in the backup is no attachment of a report in it")
    return len(held)


def _link(source: Path, target: Path) -> bool:
    """Give a file another name in a folder of the same home; say whether it is there."""
    try:
        try:
            os.link(source, target, follow_symlinks=False)
        except PermissionError:
            # Some file systems have no second names.
            shutil.copyfile(source, target, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
