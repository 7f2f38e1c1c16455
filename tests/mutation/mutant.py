"""Checks that somebody could lose: where each stands, what the code would be without it, and the test that notices.

A row of the coverage tables of docs/spec/policy.md names what keeps a field; the mutants of that field remove it, one
place at a time, and the named test must fail. `before` stands exactly once in its file.
"""

from dataclasses import dataclass

POLICY = "tests/unit/exchange/policy"
CASES = f"{POLICY}/test_policy_decide.py::test_a_decision_gives_exactly_these_reasons"
CODEC = f"{POLICY}/test_policy_codec.py"
STEPS = "exchange/policy/steps.py"
DECIDE = "exchange/policy/decide.py"
AUDIENCE = "exchange/policy/audience.py"
BINDING = "exchange/policy/binding.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One check removed."""

    field: str
    """Of the coverage tables: `label.tlp`, `community.history`, `agreement.ceiling`; or another thing that is kept."""
    where: str
    """Who loses it: everyone, sender, relay, recipient, export, reader."""
    file: str
    before: str
    after: str
    test: str
    """Test ids that pytest takes, the first failure suffices."""
    only: str = ""
    """pytest's -k, to keep it short."""

    @property
    def name(self) -> str:
        """A name for people."""
        return f"{self.field} ({self.where}): {self.before.strip()[:60]}"


def without(  # noqa: PLR0917 - a table reads well
    field: str, where: str, file: str, before: str, after: str, test: str = CASES, only: str = ""
) -> Mutant:
    """Return one mutant."""
    return Mutant(field, where, file, before, after, test, only)
