"""docs/reference/reasons.md: every code, made of the golden decisions, the sentences and the remedies.

`python -m tests.support.reasons_table` writes it anew; a test says when it differs.
"""

import re
from collections import defaultdict
from pathlib import Path

from exchange.policy.decide import decide
from exchange.policy.decision import Finding, Outcome, Reason, Role, Step
from exchange.policy.explain import sentence
from exchange.policy.model import Actions, EvidenceUse, Purpose
from exchange.policy.remedies import remedy
from exchange.policy.use import Hindrance, Obstacle, Use, may_use
from tests.support.policy_builders import NOW, the_obligations
from tests.support.policy_cases import cases

PATH = Path(__file__).resolve().parents[2] / "docs/reference/reasons.md"

HEAD = """\
# Reasons
Every code that says why something is refused, in order of the steps. Codes are stable; sentences may change. This page
is made by `python -m tests.support.reasons_table`, and a test says when it is behind.

## Why a report does not go to a partner
`concord report who-gets`, `concord report why` and a refused delivery give these. The steps are those of
[the decision](../spec/policy.md). "Who finds it" lists who can come to this reason: the **sender** before it seals, the
**relay** on what it may see, the **recipient** before it stores. A `…` stands for the value concerned. A partner is
told a reason with its clause only when it is a party of the agreement; everybody else is told `NOT_DELIVERABLE`.

| code | step | who finds it | it means | what to do |
| --- | --- | --- | --- | --- |
"""
EXPORT = """
## Why a report is not handed out
`concord report export` gives these ([the rules](../spec/policy.md)), each with what is permitted.

| code | it means | what to do |
| --- | --- | --- |
"""
TAIL = "\n## What else refuses an envelope\n"
"""From here on the page is written by hand."""

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


def found_by() -> dict[Reason, set[tuple[Step, Role]]]:
    """Return at which steps, and by whom, each reason is found in the golden decisions."""
    found: dict[Reason, set[tuple[Step, Role]]] = defaultdict(set)
    for case in cases():
        decision = decide(
            case.item,
            sender=case.sender,
            recipient=case.recipient,
            rules=case.rules,
            now_ms=case.now_ms,
            role=case.role,
        )
        for finding in decision.findings:
            if finding.reason is not None:
                found[finding.reason].add((finding.step, case.role))
    return found


def _row(reason: Reason, found: set[tuple[Step, Role]]) -> str:
    steps = " and ".join(
        f"{step.value} {step.name.lower().replace('_', ' ')}" for step in sorted({s for s, _ in found})
    )
    roles = {role for _, role in found}
    who = ", ".join(role.value for role in Role if role in roles)
    step = min(step for step, _ in found)
    meaning = sentence(Finding(step, Outcome.FAIL, reason, what="…"))
    return f"| `{reason}` | {steps} | {who} | {meaning} | {remedy(reason)} |"


def _obstacles() -> list[Hindrance]:
    """Return every obstacle once."""
    must = the_obligations(
        purposes=(Purpose.PROTECT_LIFE,),
        actions=Actions.NONE,
        use_in=("PK",),
        display_only=True,
        nobody_may_read=True,
        embargo_until_ms=NOW + 1,
        purge_at_ms=NOW,
    )
    consent = the_obligations(evidence_use=EvidenceUse.WITH_CONSENT)
    use = Use(Actions.INTERNAL_ONLY, Purpose.STATISTICS, as_evidence=True)
    found = [
        *may_use(must, use, now_ms=NOW, withdrawn=True),
        *may_use(must, Use(Actions.NONE, Purpose.PROTECT_LIFE, "ML"), now_ms=NOW),
        *may_use(consent, Use(Actions.NONE, Purpose.PROTECT_LIFE, as_evidence=True), now_ms=NOW),
    ]
    once = {each.code: each for each in reversed(found)}
    return sorted(once.values(), key=lambda each: list(Obstacle).index(each.code))


def document() -> str:
    """Return the whole page, its last part as it stands there."""
    by_hand = PATH.read_text().partition(TAIL)[2]
    found = found_by()
    rows = [_row(reason, found[reason]) for reason in sorted(found, key=list(Reason).index)]
    handed = [
        f"| `{each.code}` | {_INSTANT.sub('…', each.text)} | {each.hint or 'nothing can be done'} |"
        for each in _obstacles()
    ]
    return HEAD + "\n".join(rows) + "\n" + EXPORT + "\n".join(handed) + "\n" + TAIL + by_hand


if __name__ == "__main__":
    PATH.write_text(document())
