"""`status --watch`: tables that refresh, in place on a terminal and one group an interval elsewhere."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from exchange.errors import NotAuthenticated, Unavailable
from exchange.runtime.watching import Shown, _fitted, watch, watch_json
from nodes.admin.main import run

STOP = """
import os, signal
from exchange.runtime.watching import Shown, watch
looks = []
def look():
    looks.append(1)
    if len(looks) == 3:
        os.kill(os.getpid(), signal.SIGINT)
    return [Shown(f"look {len(looks)}", ["partner", "oldest"], [["XV", "3 s"]])]
watch(look, interval_s=0.01)
print("ended")
"""


def test_elsewhere_each_look_is_a_group_of_lines(capsys: pytest.CaptureFixture[str]) -> None:
    looks = 0

    def look() -> list[Shown]:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise KeyboardInterrupt
        return [Shown(f"look {looks}", ["partner", "oldest"], [["XV", "3 s"]]), Shown("answers", ["answer"], [])]

    watch(look, interval_s=0.001)
    group = "look {}\npartner  oldest\nXV       3 s\n\nanswers\nanswer\n\n"
    assert capsys.readouterr().out == group.format(1) + group.format(2)


def test_ctrl_c_ends_it_cleanly_on_a_terminal_and_tables_are_drawn_there() -> None:
    ours, its_end = pty.openpty()
    try:
        process = subprocess.Popen([sys.executable, "-c", STOP], stdout=its_end, stderr=its_end)
        os.close(its_end)
        screen = b""
        while b"ended" not in screen:
            screen += os.read(ours, 65_536)
        assert process.wait(timeout=20) == 0
    finally:
        os.close(ours)
    assert b"look 2" in screen and "┃".encode() in screen and b"Traceback" not in screen


def looking(*found: object) -> Callable[[], Any]:
    """Return a look that finds these one after the other, raises what is an error, and then is stopped. Any: both."""
    left = iter(found)

    def look() -> Any:
        here = next(left, KeyboardInterrupt())
        if isinstance(here, BaseException):
            raise here
        return here

    return look


AWAY = Unavailable("no node runs in xv")


def test_who_goes_away_is_waited_for_and_that_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    here = [Shown("here", ["partner"], [["XV"]])]
    watch(looking(here, AWAY, AWAY, here, AWAY), interval_s=0.001)
    out = capsys.readouterr().out
    assert out.count("here\npartner\nXV\n\n") == 2
    said = re.findall(r"^no answer since \d\d:\d\d:\d\d UTC: no node runs in xv; it is asked again$", out, re.MULTILINE)
    assert len(said) == out.count("no answer") == 2


@pytest.mark.parametrize("watching", [partial(watch, interval_s=0.001), partial(watch_json, interval_s=0.001)])
def test_who_is_not_there_at_first_is_an_error_and_so_is_what_time_does_not_heal(
    watching: Callable[[Callable[[], Any]], None],
) -> None:
    with pytest.raises(Unavailable):
        watching(looking(AWAY))
    with pytest.raises(NotAuthenticated):
        watching(looking({}, NotAuthenticated("no session")))


def test_as_json_each_look_is_one_object_on_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    watch_json(looking({"party": "XV", "alarms": ["two\nlines"]}, AWAY, {"party": "XV"}), interval_s=0.001)
    first, away, again = map(json.loads, capsys.readouterr().out.splitlines())
    assert first.pop("at_ms") <= again.pop("at_ms")
    assert first == {"party": "XV", "alarms": ["two\nlines"]} and again == {"party": "XV"}
    assert set(away) == {"at_ms", "away"} and away["away"]["reason"] == "UNAVAILABLE"
    assert away["away"]["detail"] == "no node runs in xv" and away["away"]["since_ms"] <= away["at_ms"]


@pytest.mark.parametrize("noun", ["relay", "node"])
def test_nothing_is_watched_where_nothing_runs(noun: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--json"]):
        assert run([noun, "status", "--home", str(tmp_path), "--watch", *more]) != 0
        assert capsys.readouterr().out == ""


def drawn(shown: Shown, *, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, force_terminal=True, color_system=None, file=io.StringIO())
    group = _fitted([], [Shown("node", ["what", "how"], [["party", "XV"]]), shown], console)
    return ["".join(segment.text for segment in line).rstrip() for line in console.render_lines(group, pad=False)]


LONG = Shown(
    "mailboxes",
    ["partner", "connected", "flash", "immediate", "priority", "routine", "oldest"],
    [[f"X{number}", "yes", "0", "0", "0", f"{1000 - number}", f"{900 - number} s"] for number in range(140)],
)


@pytest.mark.parametrize("width", [200, 80, 40, 20])
def test_a_long_table_keeps_to_the_terminal_and_says_how_much_more_there_is(width: int) -> None:
    lines = drawn(LONG, width=width, height=24)
    assert len(lines) < 24 and all(len(line) <= width for line in lines)
    text = " ".join(lines)
    more = re.search(r"and\s+(\d+)\s+more", text)
    assert more is not None and 100 < int(more[1]) < 140
    assert "X0" in text and "X139" not in text, "what matters most stands first"


def test_on_a_narrow_terminal_each_cell_has_its_name_and_none_is_cut() -> None:
    lines = drawn(replace(LONG, rows=LONG.rows[:2]), width=40, height=24)
    text = " ".join(" ".join(lines).split())
    assert "X0: connected yes, flash 0, immediate 0, priority 0, routine 1000, oldest 900 s" in text
    assert "┃" not in text.partition("mailboxes")[2]
    assert "┃" in "".join(drawn(replace(LONG, rows=LONG.rows[:2]), width=100, height=24))
