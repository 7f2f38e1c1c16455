"""Report and label files on disk, and the templates to fill in."""

import os
from pathlib import Path

import pytest

from exchange.errors import BadInput, BadLabel, Conflict, NotFound, TooLarge
from exchange.limits import LABEL_BYTES, REPORT_BYTES
from nodes.reportfile import read_bounded, read_report_file
from nodes.stix import read_report
from nodes.templates import write_report


def test_the_label_beside_the_report_is_found(tmp_path: Path) -> None:
    for name, label in (("a.json", "a.label.yaml"), ("b.stix.json", "b.label.yaml")):
        (tmp_path / name).write_bytes(b"report")
        (tmp_path / label).write_bytes(b"label")
        assert read_report_file(tmp_path / name) == (b"report", b"label")


def test_a_named_label_wins_over_the_one_beside(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"report")
    (tmp_path / "a.label.yaml").write_bytes(b"beside")
    (tmp_path / "other.yaml").write_bytes(b"named")
    assert read_report_file(tmp_path / "a.json", tmp_path / "other.yaml") == (b"report", b"named")


def test_a_report_without_a_label_has_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"report")
    assert read_report_file(tmp_path / "a.json") == (b"report", b"")


def test_a_missing_file_a_directory_and_a_fifo_are_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(NotFound):
            read_bounded(path, 10, "report")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotFound, match="not a regular file"):
        read_bounded(tmp_path / "pipe", 10, "report")


def test_an_empty_label_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"report")
    (tmp_path / "a.label.yaml").touch()
    with pytest.raises(BadLabel, match="empty"):
        read_report_file(tmp_path / "a.json")


@pytest.mark.parametrize("linked", ["a.json", "a.label.yaml"])
def test_where_others_may_write_no_link_is_followed(tmp_path: Path, linked: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    for name in ("a.json", "a.label.yaml"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / linked).unlink()
    (tmp_path / linked).symlink_to(tmp_path / "secret")
    assert b"secret" in read_report_file(tmp_path / "a.json")
    with pytest.raises(NotFound):
        read_report_file(tmp_path / "a.json", follow=False)


@pytest.mark.parametrize("report, label", [(REPORT_BYTES + 1, 1), (1, LABEL_BYTES + 1)])
def test_too_large_a_file_is_refused(tmp_path: Path, report: int, label: int) -> None:
    (tmp_path / "a.json").write_bytes(b"x" * report)
    (tmp_path / "a.label.yaml").write_bytes(b"x" * label)
    with pytest.raises(TooLarge):
        read_report_file(tmp_path / "a.json")


def test_a_new_report_reads_back_as_a_report(tmp_path: Path) -> None:
    report, label = write_report(tmp_path / "roadblock", kind="alert", title='Roadblock "near" the dam')
    read = read_report(report.read_bytes())
    assert (read.kind, read.title) == ("alert", 'Roadblock "near" the dam')
    assert label.name == "roadblock.label.yaml"


def test_a_new_report_never_overwrites(tmp_path: Path) -> None:
    write_report(tmp_path / "roadblock", kind="alert", title="One")
    with pytest.raises(Conflict):
        write_report(tmp_path / "roadblock", kind="alert", title="Two")


def test_an_unknown_kind_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        write_report(tmp_path / "roadblock", kind="gossip", title="One")
    assert list(tmp_path.iterdir()) == []
