"""Every check of the sharing rules is missed by a named test when it is gone (docs/spec/policy.md, "Coverage").

Each mutant runs its test in a process of its own, in which one module is changed while it is imported.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.mutation.mutants import MUTANTS, Mutant
from tests.support.mutate import ROOT, VARIABLE

RUN_S = 300.0
FAILED = 1
"""pytest's own code for tests that failed; an error of the mutant itself has another."""


def run(mutant: Mutant) -> subprocess.CompletedProcess[str]:
    change = {"file": mutant.file, "before": mutant.before, "after": mutant.after}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider"]
    chosen = ["-k", mutant.only] if mutant.only else []
    return subprocess.run(
        [*command, "-p", "tests.support.mutate", *chosen, *mutant.test.split()],
        cwd=ROOT,
        env={**os.environ, VARIABLE: json.dumps(change), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=RUN_S,
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_check_that_is_gone_is_missed(mutant: Mutant) -> None:
    ran = run(mutant)
    assert ran.returncode == FAILED, (
        f"{mutant.test} ended with {ran.returncode}\n{ran.stdout[-2000:]}{ran.stderr[-500:]}"
    )


def test_every_mutant_changes_something_that_is_there() -> None:
    """Quick, so that a change of the code shows at once which mutants it has left behind."""
    gone = [mutant.name for mutant in MUTANTS if (ROOT / mutant.file).read_text().count(mutant.before) != 1]
    assert not gone
