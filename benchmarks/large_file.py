"""One large file from disk to disk, by the commands that people use, and what it costs each process in memory.

`python -m benchmarks.attachments --file-mib 2048` writes such a file, gives it to `concord report push --attach`, waits
until the recipient has it, exports it with `concord report export-attachment`, and backs the recipient up. It prints
the peak of resident memory of every process, commands included, over what it takes without the file. The disk needs
about eight times the size of the file.
"""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.end_to_end import LABEL, WAIT_S, Field, a_report, field
from benchmarks.memory import forget_peak, resident
from benchmarks.table import Line
from exchange.crypto.random import random_bytes
from exchange.errors import StorageFull, Unavailable
from exchange.limits import MIB
from nodes.demo.cast import COUNCIL

DISK_TIMES = 8
"""The file, sealed at the sender, at the relay in log and store, at the recipient, exported, backed up, some room."""

POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended."""

    output: str
    peak: int
    """Most resident memory that was seen, in bytes."""
    seconds: float


def lines(mib: int) -> list[Line]:
    """Return the figures of one file of so many MiB."""
    with field(1) as made:
        scratch = made.home.path
        free = shutil.disk_usage(scratch).free
        if free < DISK_TIMES * mib * MIB:
            raise StorageFull(f"{free // MIB:,} MiB are free, {DISK_TIMES * mib:,} are needed", hint="set TMPDIR")
        return _measure(made, scratch, mib)


def _measure(made: Field, scratch: Path, mib: int) -> list[Line]:
    file, out, report, label = (scratch / name for name in ("file.bin", "out.bin", "report.json", "label.yaml"))
    _write(file, mib)
    report.write_bytes(a_report(1_000))
    label.write_bytes(LABEL)
    recipient = made.recipients[0]
    home = {name: str(made.home.node(name)) for name in (COUNCIL, recipient)}
    pids = {each.name: each.pid for each in made.processes.started()}
    servers = {"relay": pids["relay"], "sender": pids[COUNCIL], "recipient": pids[recipient]}
    usual = _run("report", "list", "--home", home[COUNCIL])
    idle = {role: resident(pid, "VmRSS") for role, pid in servers.items()}
    for pid in servers.values():
        forget_peak(pid)
    confirmed = _run("report", "who-gets", str(report), "--label", str(label), "--home", home[COUNCIL], "--json")
    accept = [word for hint in json.loads(confirmed.output)["hints"] for word in ("--accept", hint["accept"])]
    push = ["report", "push", str(report), "--label", str(label), "--attach", str(file), "--yes", *accept]
    pushed = _run(*push, "--home", home[COUNCIL])
    item = pushed.output.split()[0]
    arrived_s = _wait(item, home[recipient], mib)
    asked = ("--for", "internal_only", "--purpose", "protect_life", "--out", str(out))
    exported = _run("report", "export-attachment", item, file.name, *asked, "--home", home[recipient])
    if not _same(file, out):
        raise Unavailable("what was exported is another file")
    out.unlink()
    backup = ("node", "backup", "--home", home[recipient], *made.home.passphrase)
    small = _run(*backup, str(scratch / "small"), "--without-attachments")
    backed_up = _run(*backup, str(scratch / "whole"))
    peaks = {role: resident(pid, "VmHWM") for role, pid in servers.items()}
    speed = f"; {mib / arrived_s:.0f} MiB a second to the recipient"
    shown = [_line(f"{role}, from idle", idle[role], peaks[role], mib, speed) for role in servers]
    commands = (
        ("report push --attach, from report list", usual, pushed),
        ("report export-attachment, from report list", usual, exported),
        ("node backup, from one --without-attachments", small, backed_up),
    )
    for name, without, ran in commands:
        shown.append(_line(f"concord {name}", without.peak, ran.peak, mib, f"; {mib / ran.seconds:.0f} MiB a second"))
    return shown


def _line(what: str, usual: int, peak: int, mib: int, more: str = "") -> Line:
    beside = f"{usual / MIB:.0f} MiB without, the file has {mib:,} MiB{more}"
    return Line(f"memory while {mib:,} MiB pass: {what}", f"+{(peak - usual) / MIB:.0f} MiB", "", "", beside)


def _write(path: Path, mib: int) -> None:
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(random_bytes(MIB))


def _same(one: Path, other: Path) -> bool:
    with one.open("rb") as left, other.open("rb") as right:
        while data := left.read(MIB):
            if data != right.read(MIB):
                return False
        return not right.read(1)


def _run(*arguments: str) -> Ran:
    """Run a command to its end and watch its memory."""
    start, peak = time.perf_counter(), 0
    with subprocess.Popen([sys.executable, "-m", "nodes", *arguments], stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            # Between its end and this look it may be gone.
            try:
                peak = max(peak, resident(process.pid, "VmHWM"))
            except (OSError, ValueError):
                break
            time.sleep(POLL_S)
        output = process.stdout.read() if process.stdout is not None else ""
    if process.returncode:
        raise Unavailable(f"concord {' '.join(arguments[:2])} ended with {process.returncode}")
    return Ran(output, peak, time.perf_counter() - start)


def _wait(item: str, home: str, mib: int) -> float:
    """Return after how many seconds the recipient has the file."""
    start = time.monotonic()
    while True:
        shown = subprocess.run(
            [sys.executable, "-m", "nodes", "report", "show", item, "--home", home, "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        if shown.returncode == 0 and [each["state"] for each in json.loads(shown.stdout)["attachments"]] == ["here"]:
            return time.monotonic() - start
        if time.monotonic() - start > WAIT_S + mib:
            raise Unavailable(f"the file is not there: {shown.stdout[-300:]}{shown.stderr[-300:]}")
        time.sleep(1)
