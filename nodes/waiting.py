"""What becomes of a recipient that may not get a report now: it waits for what may yet change, or is denied for good.

What waits is decided on again when its time comes, and as soon as the directory changes or an approval is given; an
item that is withdrawn or rejected meanwhile never goes. docs/spec/policy.md, "What waits".
"""

from dataclasses import replace

from exchange.policy.decision import TIMED, Decision, Finding, Outcome, Reason
from exchange.policy.explain import sentence
from exchange.policy.model import Label
from nodes.store.rows import Addressee, Reach

NEVER_MS = 2**62
"""Of a row that no time makes due."""


WAITING = "waiting: "


def told(why: str) -> str:
    """Return why something waits, as its story has it."""
    return why.removeprefix(WAITING)


def failures(decision: Decision) -> list[Finding]:
    """Return the findings that deny."""
    if decision.permit:
        return []
    return [finding for finding in decision.findings if finding.outcome is Outcome.FAIL]


def words(decision: Decision) -> str:
    """Return why it is denied, in sentences."""
    return "; ".join(sentence(finding) for finding in failures(decision))


def after_denial(row: Addressee, decision: Decision, label: Label | None) -> Addressee:
    """Return where a recipient stands that our own decision denies; without a label nothing is waited for."""
    if label is None or not decision.waits:
        return replace(row, state=Reach.DENIED, why=words(decision), clause=decision.clause, basis=decision.basis)
    on_change = not TIMED.issuperset(decision.reasons)
    return replace(
        row,
        why=WAITING + words(decision),
        clause=decision.clause,
        basis=decision.basis,
        due_ms=_due_ms(decision, label, on_change=on_change),
        on_change=on_change,
    )


def until_change(row: Addressee, why: str) -> Addressee:
    """Return a row that waits until the directory changes."""
    return replace(row, why=WAITING + why, due_ms=NEVER_MS, on_change=True)


def _due_ms(decision: Decision, label: Label, *, on_change: bool) -> int:
    """Return when time alone may change the decision: at the latest when the report expires."""
    times = {Reason.NOT_YET: label.not_before_ms, Reason.EMBARGOED: label.embargo_until_ms}
    due_ms = NEVER_MS if on_change else max(times[reason] for reason in decision.reasons)
    return min(due_ms, label.expires_ms or NEVER_MS)
