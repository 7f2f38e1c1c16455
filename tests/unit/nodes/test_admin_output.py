"""What the commands print: text from others cannot drive the terminal, and pipes get plain columns."""

import pytest

from nodes.admin import output


@pytest.mark.parametrize(
    "text, shown",
    [
        ("plain", "plain"),
        ("خبر", "خبر"),
        ("a\x1b[2Jb", "a\\u001b[2Jb"),
        ("report\u202egnp.exe", "report\\u202egnp.exe"),
        ("bell\x07", "bell\\u0007"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_text_from_others_cannot_drive_the_terminal(text: str, shown: str) -> None:
    assert output.printable(text) == shown


def test_a_table_in_a_pipe_is_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("item", "title"), [("3f9a", "Road [bold]block")])
    assert capsys.readouterr().out == "item  title\n3f9a  Road [bold]block\n"


def test_a_narrow_terminal_cuts_nothing_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    output.table(("item", "when", "title"), [("3f9a3f9a3f9a", "2026-11-24 04:23:48", "Roadblock" * 9)])
    shown = capsys.readouterr().out
    assert "3f9a3f9a3f9a" in shown and "…" not in shown


def test_an_empty_table_says_so_and_leaves_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("item",), [], empty="no reports yet")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "no reports yet\n")


def test_an_error_is_followed_by_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    output.complain("no label", place="report.json", hint="write one")
    assert capsys.readouterr().err == "error: report.json: no label\nhint: write one\n"


@pytest.mark.parametrize("count, words", [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")])
def test_sizes_are_readable(count: int, words: str) -> None:
    assert output.size(count) == words


@pytest.mark.parametrize(
    "seconds, words",
    [(-5, "0 s"), (0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7_260, "2 h 1 min"), (90_000, "1 d 1 h")],
)
def test_an_age_is_told_in_its_two_largest_units(seconds: int, words: str) -> None:
    assert output.age(1_000_000, 1_000_000 + seconds * 1_000) == words


def test_a_bar_is_drawn_on_a_terminal_alone_and_shows_no_character_that_drives_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with output.bar("map.pdf", 2_000_000) as advance:
        advance(2_000_000)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with output.bar("map\u202efdp[bold]", 2_000_000) as advance:
        advance(1_000_000)
        advance(1_000_000)
    shown = capsys.readouterr()
    assert shown.out == "" and "map\\u202efdp" in shown.err and "2.0/2.0 MB" in shown.err
