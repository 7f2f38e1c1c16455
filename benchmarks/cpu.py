"""CPU seconds that processes have used, with all that they started; a busy machine hardly moves them.

Read from Linux's /proc. A process that ends takes its time along, unless its parent waited for it.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def seconds_by_name(processes: Iterable[tuple[str, int]]) -> dict[str, float]:
    """Return CPU seconds by name so far, each process with its descendants; several of one name are added up."""
    used, children = _read_all()
    total: dict[str, float] = defaultdict(float)
    for name, pid in processes:
        waiting = [pid]
        while waiting:
            each = waiting.pop()
            total[name] += used.get(each, 0.0)
            waiting += children.get(each, ())
    return dict(total)


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, with all that they started."""
    _, children = _read_all()
    found: list[int] = []
    waiting = list(children.get(pid, ()))
    while waiting:
        each = waiting.pop()
        found.append(each)
        waiting += children.get(each, ())
    return found


def _read_all() -> tuple[dict[int, float], Mapping[int, list[int]]]:
    used: dict[int, float] = {}
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name of the program, in brackets, may hold blanks: what is read stands behind it.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        own_and_waited_for = sum(int(field) for field in fields[11:15])
        used[int(entry.name)] = own_and_waited_for * _TICK_S
        children[int(fields[1])].append(int(entry.name))
    return used, children
