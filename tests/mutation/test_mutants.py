"""Every check of the sharing rules is missed by a named test when it is gone (docs/spec/policy.md, "Coverage").

Each mutant runs its test in a process of its own, in which one module is changed while it is imported.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutation.mutant import STEPS, Mutant
from tests.mutation.mutants import MUTANTS
from tests.support.mutant_run import run_pytest
from tests.support.mutate import ROOT, VARIABLE

RUN_S = 300.0
FAILED = 1
"""pytest's own code for tests that failed; an error of the mutant itself has another."""


def without(*plugins: str) -> list[str]:
    """Return the options that leave these plugins out."""
    return [word for plugin in plugins for word in ("-p", f"no:{plugin}")]


def run(mutant: Mutant, output: Path) -> int:
    """Run a mutant's test and return pytest's code."""
    change = {"file": mutant.file, "before": mutant.before, "after": mutant.after}
    quiet = [
        "-q",
        "-x",
        "--no-header",
        *without("cacheprovider", "xdist", "hypothesispytest"),
        "-p",
        "tests.support.mutate",
    ]
    chosen = ["-k", mutant.only] if mutant.only else []
    return run_pytest(
        [*quiet, *chosen, *mutant.test.split()],
        root=ROOT,
        environment={VARIABLE: json.dumps(change)},
        output=output,
        limit_s=RUN_S,
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_check_that_is_gone_is_missed(mutant: Mutant, tmp_path: Path) -> None:
    output = tmp_path / "output"
    code = run(mutant, output)
    assert code == FAILED, f"{mutant.test} ended with {code}\n{output.read_text()[-2000:]}"


def test_without_a_change_the_same_tests_pass(tmp_path: Path) -> None:
    """So that a mutant is missed because of what it changes, and not because of how it is run."""
    for mutant in {mutant.test: mutant for mutant in MUTANTS if mutant.file == STEPS}.values():
        output = tmp_path / "output"
        assert run(replace(mutant, after=mutant.before), output) == 0, output.read_text()[-2000:]


def test_every_mutant_changes_something_that_is_there() -> None:
    """Quick, so that a change of the code shows at once which mutants it has left behind."""
    gone = [mutant.name for mutant in MUTANTS if (ROOT / mutant.file).read_text().count(mutant.before) != 1]
    assert not gone
