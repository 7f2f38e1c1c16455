"""`concord demo`: it plays to the end, leaves what it says, plays again, and leaves nothing when interrupted."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.admin.exit_codes import DENIED
from nodes.demo import rule_acts
from nodes.demo.processes import Processes

DEMO = [sys.executable, "-m", "nodes", "demo"]
PLAY_S = 240.0

pytestmark = pytest.mark.processes


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A demo home; whatever was left running in it is stopped."""
    made = tmp_path / "demo-home"
    yield made
    if made.exists():
        Processes(made).stop()


def play(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DEMO, "--home", str(home), *options], capture_output=True, text=True, timeout=PLAY_S)


def concord(*words: str, operator: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nodes", *words]
    environment = os.environ | ({"CONCORD_OPERATOR_HOME": operator} if operator else {})
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def test_the_demo_plays_leaves_a_running_exchange_and_plays_again(home: Path) -> None:
    first = play(home)
    assert first.returncode == 0, first.stdout + first.stderr
    for promise in (
        "the relay cannot read",
        "a changed log is refused",
        "a changed envelope is refused",
        "anybody can check a decision",
        "release takes two people",
        "who is in a group can change",
        "anybody can check when it was sent",
    ):
        assert promise in first.stdout
    officer = re.search(r"export CONCORD_OPERATOR_HOME=(\S+)", first.stdout)[1]  # type: ignore[index]  # it is there
    for words in (
        ("report", "list", "--home", str(home / "xv")),
        ("partner", "list", "--home", str(home / "xo"), "--json"),
        ("log", "verify", "--full", "--home", str(home / "xa")),
        ("relay", "status", "--home", str(home / "relay")),
        ("verify", str(home / rule_acts.PROOF)),
    ):
        looked = concord(*words, operator=officer)
        assert looked.returncode == 0, looked.stderr
        assert words[0] in ("relay", "verify") or concord(*words).returncode == DENIED, "a call needs a session"
    again = play(home, "--stop")
    assert again.returncode == 0, again.stdout + again.stderr
    assert Processes(home).running() == []


def test_an_interrupted_demo_leaves_nothing_running(home: Path) -> None:
    with subprocess.Popen([*DEMO, "--home", str(home)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as demo:
        processes = Processes(home)
        deadline = time.monotonic() + PLAY_S
        while len(processes.running()) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        started = [process.pid for process in processes.running()]
        demo.send_signal(signal.SIGINT)
        words = demo.communicate(timeout=60)[1]
    assert demo.returncode == 130, words
    assert b"Traceback" not in words
    assert started
    assert [pid for pid in started if _runs(pid)] == []


def test_a_directory_that_no_demo_made_is_left_alone(home: Path) -> None:
    home.mkdir()
    (home / "letters").write_text("dear")
    refused = play(home)
    assert refused.returncode == 3
    assert refused.stderr.startswith("error: ")
    assert (home / "letters").read_text() == "dear"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return b"Z" not in Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1][:3]
