"""Which worker of a parallel run gets which tests: those of one file stay together, in the order of the files.

The tests of a file share what they begin with, some of them a relay and eight nodes that take most of a minute to
start: it is made once, and not by each worker that gets some of them. Where the tests of a file are long, many, and
share nothing, each goes to whoever is free.
"""

from xdist.scheduler import LoadFileScheduling

APART = ("tests/mutation/test_mutants.py", "tests/crash/test_crash_steps.py")
"""Files whose tests share nothing."""


def together(test: str) -> str:
    """Return the name of the tests that go to one worker with this one."""
    file = test.partition("::")[0]
    return test if file in APART else file


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # it has no types
    """`--dist loadfile`, but for the files in APART."""

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)
