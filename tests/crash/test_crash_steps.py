"""Every durable step of relay and node × killed before, killed after.

The list of the steps is what the source says (tests/support/durable_steps.py). Each stands in exactly one of: a story,
which is played in a process that is killed with SIGKILL at the step, before and after (tests/support/crash_room.py);
ONE_WRITE, steps whose whole effect is one row that is kept once; and NO_STATE, which leave nothing that a crash could
tear. A step that is new in the source stands nowhere, and a step that went stands here for nothing: both fail.
"""

import json
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection

from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.migrate import upgrade
from nodes.app import MIGRATIONS
from nodes.store import witnesses
from nodes.store.witnesses import KeptEvidence
from tests.crash.stories import STORIES
from tests.crash.test_crash_relay import WHEN, die
from tests.support.crash_points import AFTER, BEFORE
from tests.support.durable_steps import ROOT, Step, steps

ONE_WRITE = {
    "nodes.forks:Forks._keep": "keep_evidence",
    "nodes.losses:Losses._tell": "keep_evidence",
    "nodes.exposing:expose_twice": "keep_evidence",
    "nodes.exposing:expose_outdated": "keep_evidence",
}
"""Steps of a witness to a lie: each keeps one file under the hash of its claim, and the lie can be seen again."""

NO_STATE = {
    "exchange.relay.deliver:Deliveries.open": "tells the other processes of this relay by NOTIFY; nothing is stored",
    "exchange.relay.keys:Keystore.reload": "replaces keys in memory, not a file",
    "exchange.runtime.backup_file:write_verified#3": "removes what a failed backup wrote; the next begins it anew",
    "exchange.runtime.lifecycle:bind_socket": "removes the socket that a process before has left",
}

STORY_S = 900


def in_stories() -> list[str]:
    return [step for _, named in STORIES.values() for step in named]


def test_every_durable_step_has_its_place_and_only_one() -> None:
    listed = Counter([*in_stories(), *ONE_WRITE, *NO_STATE])
    there = {step.name for step in steps()}
    assert there - listed.keys() == set(), "durable steps that nobody is killed at: let a story pass them"
    assert listed.keys() - there == set(), "steps that are gone"
    assert [name for name, count in listed.items() if count > 1] == []


@pytest.mark.parametrize("name", ONE_WRITE)
def test_a_step_of_one_write_calls_what_its_test_is_about(name: str) -> None:
    (step,) = [each for each in steps() if each.name == name]
    assert ONE_WRITE[name] in _source(step)


def _source(step: Step) -> str:
    lines = (ROOT / step.file).read_text().splitlines()
    return "\n".join(lines[step.first_line - 1 : step.last_line])


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.parametrize("story", STORIES)
def test_killed_before_and_after_each_of_its_steps_a_story_ends_as_if_nothing_had_happened(story: str) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.crash_room", story]
    played = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=STORY_S, check=False)
    assert played.returncode == 0, played.stdout[-2_000:] + played.stderr[-6_000:]
    assert json.loads(played.stdout.splitlines()[-1]) == [], "points that no play came to"


def test_a_step_that_no_story_comes_to_fails_its_pair() -> None:
    """The word of a story that a step was passed is that it was killed there."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.crash_room", "homes", "nodes.losses:Losses._tell"]
    played = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=STORY_S, check=False)
    left = [["nodes.losses:Losses._tell", AFTER], ["nodes.losses:Losses._tell", BEFORE]]
    assert json.loads(played.stdout.splitlines()[-1]) == left, played.stderr[-3_000:]


# -- steps of one write ------------------------------------------------------------------------------------------------


def keep(connection: Connection, evidence: KeptEvidence) -> None:
    witnesses.keep_evidence(connection, evidence)


@WHEN
def test_evidence_is_kept_once_however_often_its_lie_is_seen(tmp_path: Path, when: str) -> None:
    url = sqlite_url(tmp_path / "node.db")
    upgrade(url, MIGRATIONS)
    evidence = KeptEvidence(bytes(32), 1, "relay", "it lies", "a file")
    die(url, keep, evidence, when)
    with Database(url) as database:
        held = database.read_now(partial(witnesses.kept_evidence, limit=9))
        assert held == ([evidence] if when == AFTER else [])
        database.write_now(lambda connection: keep(connection, evidence))
        assert database.read_now(partial(witnesses.kept_evidence, limit=9)) == [evidence]
