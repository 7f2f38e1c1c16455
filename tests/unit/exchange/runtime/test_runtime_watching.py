"""`status --watch`: tables that refresh, in place on a terminal and one group an interval elsewhere."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from exchange.runtime.watching import Shown, watch
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


@pytest.mark.parametrize("noun", ["relay", "node"])
def test_tables_that_refresh_are_not_json(noun: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([noun, "status", "--home", str(tmp_path), "--watch", "--json"]) == 2
    assert "not JSON" in capsys.readouterr().err
