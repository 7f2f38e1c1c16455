"""The spool: what is dropped is pushed once, moved with a note, and never lost by a crash."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from exchange.errors import BadLabel, RateLimited
from exchange.policy.model import Category, Tlp
from exchange.runtime.clock import now_ms
from exchange.runtime.database import Database
from nodes.sensors import Scope, Sensors
from nodes.spool import Spool
from nodes.store.columns import metadata

DAY_MS = 86_400_000


class Pushes:
    """The node's side: remembers what was pushed, and refuses what it is told to."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, bytes]] = []
        self.refuse: Exception | None = None

    async def __call__(self, _scope: Scope, content: bytes, label: bytes) -> str:
        if self.refuse is not None:
            raise self.refuse
        self.taken.append((content, label))
        return f"{len(self.taken):064x}"


def a_scope(name: str = "spool") -> Scope:
    return Scope(name, (Category.ALERT,), Tlp.AMBER, 10, b"", now_ms() + DAY_MS)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(f"sqlite:///{tmp_path / 'node.db'}") as made:
        made.write_now(metadata.create_all)
        yield made


def a_spool(tmp_path: Path, database: Database, pushes: Pushes, *, open_: bool = True) -> Spool:
    sensors = Sensors(database)
    if open_:
        asyncio.run(sensors.add(a_scope()))
    spool = Spool(tmp_path / "spool", sensors, pushes)
    spool.prepare()
    return spool


def drop(spool: Spool, name: str, content: bytes = b"report", label: bytes | None = b"label") -> None:
    if label is not None:
        (spool.directory / f"{name}.label.yaml").write_bytes(label)
    (spool.directory / f"{name}.json").write_bytes(content)


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if path.is_file()}


def test_a_report_with_its_label_is_pushed_and_moved_beside_its_item(tmp_path: Path, database: Database) -> None:
    pushes = Pushes()
    spool = a_spool(tmp_path, database, pushes)
    drop(spool, "one")
    assert asyncio.run(spool.run_once()) == 1
    assert pushes.taken == [(b"report", b"label")]
    assert names(spool.sent) == {"one.json", "one.label.yaml", "one.item"}
    assert (spool.sent / "one.item").read_text() == f"{1:064x}\n"
    assert names(spool.directory) == set()


def test_a_label_that_is_a_link_to_elsewhere_is_not_read(tmp_path: Path, database: Database) -> None:
    pushes = Pushes()
    spool = a_spool(tmp_path, database, pushes)
    (tmp_path / "secret").write_bytes(b"secret")
    (spool.directory / "one.label.yaml").symlink_to(tmp_path / "secret")
    drop(spool, "one", label=None)
    assert asyncio.run(spool.run_once()) == 1
    assert pushes.taken == []
    assert b"secret\n" not in (spool.rejected / "one.reason.json").read_bytes()


def test_a_file_that_waits_is_in_the_log_once(
    tmp_path: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    pushes = Pushes()
    pushes.refuse = RateLimited("wait")
    spool = a_spool(tmp_path, database, pushes)
    drop(spool, "one")
    for _ in range(3):
        assert asyncio.run(spool.run_once()) == 0
    assert spool.told == {"one.json": "RATE_LIMITED"}
    assert capsys.readouterr().err.count("spool.waits") <= 1
    pushes.refuse = None
    assert asyncio.run(spool.run_once()) == 1
    asyncio.run(spool.run_once())
    assert spool.told == {}


def test_a_refused_report_moves_beside_the_reason(tmp_path: Path, database: Database) -> None:
    pushes = Pushes()
    pushes.refuse = BadLabel("no purposes", place="line 3", hint="add purposes")
    spool = a_spool(tmp_path, database, pushes)
    drop(spool, "one", label=None)
    asyncio.run(spool.run_once())
    assert names(spool.rejected) == {"one.json", "one.reason.json"}
    reason = orjson.loads((spool.rejected / "one.reason.json").read_bytes())
    assert reason == {"reason": "BAD_LABEL", "message": "no purposes", "place": "line 3", "hint": "add purposes"}


def test_what_may_be_tried_again_stays_and_goes_later(tmp_path: Path, database: Database) -> None:
    pushes = Pushes()
    pushes.refuse = RateLimited("wait")
    spool = a_spool(tmp_path, database, pushes)
    drop(spool, "one")
    assert asyncio.run(spool.run_once()) == 0
    assert names(spool.directory) == {"one.json", "one.label.yaml"}
    pushes.refuse = None
    assert asyncio.run(spool.run_once()) == 1


def test_without_a_sensor_of_its_name_the_spool_is_closed(tmp_path: Path, database: Database) -> None:
    pushes = Pushes()
    spool = a_spool(tmp_path, database, pushes, open_=False)
    drop(spool, "one")
    assert asyncio.run(spool.run_once()) == 0
    assert pushes.taken == []


def test_files_that_are_still_written_links_and_other_endings_are_left_alone(
    tmp_path: Path, database: Database
) -> None:
    pushes = Pushes()
    spool = a_spool(tmp_path, database, pushes)
    (spool.directory / ".one.json").write_bytes(b"half")
    (spool.directory / "notes.txt").write_bytes(b"text")
    (tmp_path / "elsewhere.json").write_bytes(b"secret")
    (spool.directory / "link.json").symlink_to(tmp_path / "elsewhere.json")
    assert asyncio.run(spool.run_once()) == 0
    assert pushes.taken == []


def test_a_second_report_of_the_same_name_keeps_the_first(tmp_path: Path, database: Database) -> None:
    spool = a_spool(tmp_path, database, Pushes())
    for content in (b"first", b"second"):
        drop(spool, "one", content)
        asyncio.run(spool.run_once())
    assert (spool.sent / "one.json").read_bytes() == b"first"
    assert (spool.sent / "one-2.json").read_bytes() == b"second"


def test_a_crash_before_the_report_moved_pushes_it_again_with_its_label(tmp_path: Path, database: Database) -> None:
    pushes = Pushes()
    spool = a_spool(tmp_path, database, pushes)
    drop(spool, "one")
    (spool.sent / "one.label.yaml").hardlink_to(spool.directory / "one.label.yaml")
    spool.prepare()
    asyncio.run(spool.run_once())
    assert pushes.taken == [(b"report", b"label")]
    assert names(spool.directory) == set()


def test_a_crash_after_the_report_moved_leaves_no_label_for_the_next_one(tmp_path: Path, database: Database) -> None:
    pushes = Pushes()
    spool = a_spool(tmp_path, database, pushes)
    drop(spool, "one")
    (spool.sent / "one.label.yaml").hardlink_to(spool.directory / "one.label.yaml")
    (spool.directory / "one.json").replace(spool.sent / "one.json")
    spool.prepare()
    assert names(spool.directory) == set()


def test_a_name_that_leaves_no_room_for_a_suffix_is_cut(tmp_path: Path, database: Database) -> None:
    pushes = Pushes()
    pushes.refuse = BadLabel("no purposes")
    spool = a_spool(tmp_path, database, pushes)
    drop(spool, "n" * 240, label=None)
    assert asyncio.run(spool.run_once()) == 1
    assert {len(name) for name in names(spool.rejected)} == {65, 72}


def test_one_report_that_cannot_be_moved_does_not_hold_up_the_others(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushes = Pushes()
    spool = a_spool(tmp_path, database, pushes)
    drop(spool, "one")
    drop(spool, "two")
    move = Spool._move

    def stuck(self: Spool, path: Path, to: Path, suffix: str, note: bytes) -> None:
        if path.name == "one.json":
            raise PermissionError(13, "Permission denied")
        move(self, path, to, suffix, note)

    monkeypatch.setattr(Spool, "_move", stuck)
    assert asyncio.run(spool.run_once()) == 1
    assert "two.json" in names(spool.sent)
