"""The doctor without a running node: it names what is broken in a home, and how to mend it."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from exchange.crypto.keystore import seal_keystore
from exchange.policy.model import Tlp
from exchange.policy.readers import ReaderTerms
from exchange.runtime.clock import now_ms
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from exchange.runtime.secrets import private_dir, write_private
from nodes.doctor import diagnose
from nodes.operators import Profile, admit
from nodes.roles import Role
from nodes.store import MIGRATIONS
from tests.support.operators import DAY_MS, key_of

MEMORY_KIB = 64 * 1024
SETTINGS = b'party = "XA"\nexchange = "test.concord.example"\nrelay_address = "127.0.0.1:1"\n'


@pytest.fixture(scope="module")
def keys_file() -> bytes:
    """A keystore of a node."""
    return seal_keystore({"master": b"x"}, b"open sesame", memory_kib=MEMORY_KIB)


@pytest.fixture
def home(tmp_path: Path, keys_file: bytes) -> Path:
    """A home with nothing wrong in it but that no exchange is known and no node runs."""
    made = private_dir(tmp_path / "xa")
    write_private(made / "node.toml", SETTINGS)
    write_private(made / "node.keys", keys_file)
    for name in ("node.db", "keys.db"):
        upgrade(f"sqlite:///{made / name}", MIGRATIONS)
    return made


def errors(home: Path) -> dict[str, str]:
    """Return what is wrong, by subject, without what the fixture leaves out."""
    found = {each.subject: f"{each.message} → {each.hint}" for each in diagnose(home) if each.severity == "error"}
    found.pop("exchange", None)
    return found


def test_a_home_in_order_has_nothing_to_mend(home: Path) -> None:
    assert errors(home) == {}


def test_a_node_that_nobody_could_back_up_is_told_of(home: Path) -> None:
    def backups() -> list[str]:
        return [each.message for each in diagnose(home) if each.subject == "backup"]

    url = sqlite_url(home / "node.db")
    profile = Profile("root", key_of("root").public, frozenset({Role.ADMINISTRATOR}), Tlp.RED, now_ms() + DAY_MS)
    another = replace(profile, name="noor", key=key_of("noor").public, roles=frozenset({Role.SECURITY_OFFICER}))
    assert backups() == []
    with Database(url) as database:
        database.write_now(partial(admit, profile=profile, by="owner", terms=ReaderTerms(), now_ms=now_ms()))
        assert "may permit it: root" in backups()[0]
        database.write_now(partial(admit, profile=another, by="root", terms=ReaderTerms(), now_ms=now_ms()))
        assert backups() == []


def of_a_newer_version(home: Path) -> None:
    with sqlite3.connect(home / "node.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def spoil(home: Path, name: str) -> None:
    for suffix in ("-wal", "-shm"):
        (home / f"{name}{suffix}").unlink(missing_ok=True)
    data = bytearray((home / name).read_bytes())
    # The first page, with the header, stays: such damage is found by reading, not by opening.
    data[4096:] = b"\xa5" * (len(data) - 4096)
    (home / name).write_bytes(data)


def cut_off(home: Path) -> None:
    (home / "node.keys").write_bytes((home / "node.keys").read_bytes()[:60])


@pytest.mark.parametrize(
    "subject, said, break_it",
    [
        ("keystore", "missing", lambda home: (home / "node.keys").unlink()),
        ("keystore", "chmod 600", lambda home: (home / "node.keys").chmod(0o640)),
        ("keystore", "restore it from the backup", cut_off),
        ("files", "chmod 600", lambda home: (home / "node.db").chmod(0o644)),
        ("home", "chmod 700", lambda home: home.chmod(0o755)),
        ("store", "9999", of_a_newer_version),
        ("store", "damaged", lambda home: spoil(home, "node.db")),
        ("keys.db", "damaged", lambda home: spoil(home, "keys.db")),
        (
            "configuration",
            "line 4: unknown setting partyy → did you mean party?",
            lambda home: add(home, 'partyy = "X"'),
        ),
        ("configuration", "cannot be read", lambda home: (home / "node.toml").unlink()),
    ],
)
def test_what_is_broken_is_named_with_its_mend(
    home: Path, subject: str, said: str, break_it: Callable[[Path], object]
) -> None:
    break_it(home)
    found = errors(home)
    assert list(found) == [subject]
    assert said in found[subject]


def add(home: Path, line: str) -> None:
    write_private(home / "node.toml", SETTINGS + line.encode() + b"\n")
