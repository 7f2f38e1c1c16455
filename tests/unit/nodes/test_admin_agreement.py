"""`concord agreement`: drafting, checking, comparing and signing, with the files that go from root to root."""

import json
from pathlib import Path

import pytest

from nodes import agreement_file as files
from nodes.admin.exit_codes import OK, USAGE
from nodes.admin.main import run

P = ("--passphrase-file", "pass")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with the passphrase in `pass`."""
    monkeypatch.chdir(tmp_path)
    Path("pass").write_text("six random words\n")
    Path("pass").chmod(0o600)
    return tmp_path


def concord(*words: str) -> int:
    return run(["agreement", *words])


def a_root(name: str) -> None:
    """A party root in a folder of that name."""
    assert run(["root", "init", "--party", name, "--home", name, "--memory-mib", "64", *P]) == OK


def sign(file: str, name: str, out: str, *more: str) -> int:
    """Sign by a root, without a node."""
    where = ("--exchange", "test.concord.example", "--no-hand-over", "--out", out)
    return concord("sign", file, "--root", name, *where, "--yes", *P, *more)


def changed(source: str, to: str, *changes: tuple[str, str]) -> str:
    """Write a copy of a text with other words in it."""
    text = Path(source).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    Path(to).write_text(text)
    return to


def opened(file: str) -> files.AgreementFile:
    return files.open_file(Path(file).read_bytes())


def test_a_check_warns_with_lines_and_counts_what_only_people_can_keep(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert concord("draft", "XA", "XV", "--out", "a.yaml") == OK
    assert concord("check", "a.yaml") == OK
    assert "warning" not in (said := capsys.readouterr()).err
    assert "software enforces the clause above; 1 more only people can keep" in said.err
    changed("a.yaml", "b.yaml", ("deny: []", "deny: [alert, guidance]"), ("accession: none", "accession: any "))
    assert concord("check", "b.yaml") == OK
    said = capsys.readouterr()
    line = 1 + Path("b.yaml").read_text().split("\n").index(
        '  - clause: "1"                  # the clause of the text that people signed'
    )
    assert f"warning: line {line}: clause 1: it can never match" in said.err
    assert "may accede  any party" in said.out
    assert concord("check", "b.yaml", "--json") == OK
    told = json.loads(capsys.readouterr().out)
    assert [each["code"] for each in told["warnings"]] == ["ANYONE_MAY_ACCEDE", "NEVER_MATCHES"]
    assert told["may_accede"] == "any"
    assert told["promises"] == ["When it ends, held items are destroyed within 30 days."]


def test_a_check_against_another_text_says_what_is_wider(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert concord("draft", "XA", "XV", "--out", "a.yaml") == OK
    changed("a.yaml", "b.yaml", ("tlp: amber}", "tlp: green}"), ("[alert, guidance]", "[alert, guidance, travel]"))
    capsys.readouterr()
    assert concord("check", "b.yaml", "--against", "a.yaml") == OK
    shown = capsys.readouterr().out.partition("wider or narrower")[2].splitlines()
    assert any("categories" in line and line.endswith("wider") for line in shown)
    assert any("ceiling" in line and line.endswith("narrower") for line in shown)
    assert concord("check", "b.yaml", "--against", "a.yaml", "--json") == OK
    told = json.loads(capsys.readouterr().out)["differences"]
    assert [(each["field"], each["effect"]) for each in told] == [("categories", "wider"), ("ceiling", "narrower")]


@pytest.mark.parametrize(
    "accession, code, shown", [("any", OK, "any party"), ("XO,XH", OK, "XH, XO"), ("xo", USAGE, ""), ("XA", USAGE, "")]
)
def test_a_draft_can_be_open_to_others(
    place: Path, capsys: pytest.CaptureFixture[str], accession: str, code: int, shown: str
) -> None:
    assert concord("draft", "XA", "--accession", accession, "--out", "a.yaml") == code
    if code == OK:
        capsys.readouterr()
        assert concord("check", "a.yaml") == OK
        assert f"may accede  {shown}" in capsys.readouterr().out


def test_a_second_version_and_a_counter_name_what_they_follow_and_show_the_difference(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_root("XA")
    a_root("XV")
    assert concord("draft", "XA", "XV", "--out", "a.yaml") == OK
    assert sign("a.yaml", "XA", "a.signed") == OK
    changed("a.yaml", "b.yaml", ("version: 1", "version: 2"), ("tlp: amber}", "tlp: green}"))
    assert sign("b.yaml", "XA", "b.signed") == USAGE
    assert sign("b.yaml", "XA", "b.signed", "--previous", "a.yaml") == USAGE
    capsys.readouterr()
    assert sign("b.yaml", "XA", "b.signed", "--previous", "a.signed") == OK
    assert "narrower" in capsys.readouterr().out
    first, second = opened("a.signed").agreement, opened("b.signed").agreement
    assert (second.agreement_id, second.version) == (first.agreement_id, 2)

    changed("b.yaml", "c.yaml", ("tlp: green}", "tlp: red}"))
    assert sign("c.yaml", "XV", "c.signed", "--counters", "b.signed") == OK
    assert "wider" in capsys.readouterr().out
    counter = opened("c.signed").agreement
    assert (counter.agreement_id, counter.version) == (first.agreement_id, 2)
    assert counter.previous_sha256 == second.previous_sha256
    assert counter.counters_sha256

    assert sign("a.yaml", "XA", "x.signed") == OK
    assert sign("c.signed", "XA", "d.signed", "--counters", "x.signed") == USAGE
    assert sign("c.signed", "XA", "d.signed", "--counters", "b.signed") == OK
    assert len(opened("d.signed").signed.agreement.signatures) == 2
    assert sign("c.yaml", "XV", "e.signed", "--counters", "b.signed", "--previous", "a.signed") == USAGE
