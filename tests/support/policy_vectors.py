"""The cases of policy_cases.py as JSON: signed inputs as bytes, everything else as words, and the whole decision.

`python -m tests.support.policy_vectors` writes tests/vectors/policy/decisions.json anew; a test says when it differs.
"""

import json
from pathlib import Path
from typing import Any

from exchange.policy.agreement import ref_of
from exchange.policy.decide import Decision
from exchange.policy.question import Question
from exchange.policy.record import QUESTION_FIELDS, plain_decision, plain_question, read_question
from exchange.policy.strict_json import Entry
from tests.support.policy_case import Case
from tests.support.policy_cases import cases

PATH = Path(__file__).resolve().parents[1] / "vectors/policy/decisions.json"

NOTE = (
    "Each case is one call of decide() (docs/spec/policy.md). label, release and view are protobuf bytes in "
    "hexadecimal (protos/exchange/v1/policy.proto); numbers of tlp, categories, purposes and status are those of the "
    "protos. findings are [step, outcome, reason or null, clause]; their order within a step is fixed. "
    "consents are grants whose signatures held. A purge counts retention from now_ms. communities hold, by id, every "
    "epoch that is known: status as in the directory, head and members as protobuf bytes "
    "(protos/exchange/v1/community.proto); the relay knows no head."
)


def encodable(case: Case) -> bool:
    """Whether the label can travel: one without a category, say, never reaches another implementation as bytes."""
    label = case.item.label
    complete = label is None or (label.originators and label.categories and label.purposes and label.basis.citation)
    # A view under another name than its own, and a reader rule without a condition, have no bytes either.
    named = all(ref_of(found.view) == found.ref for found in case.rules.agreements.values())
    return bool(complete) and named


def question_of(case: Case) -> Question:
    """Return the call that a case makes."""
    return Question(case.role, case.sender, case.recipient, case.now_ms, case.item, case.rules)


def vector_of(case: Case) -> dict[str, Any]:
    """Return the case and what decide() says of it."""
    question = question_of(case)
    return {"name": case.name, **plain_question(question), "expect": plain_decision(question.answer())}


def answer(vector: dict[str, Any]) -> Decision:
    """Return what decide() says of a vector, read as another implementation would read it."""
    found = Entry(vector, "").fields("name", "expect", *QUESTION_FIELDS)
    return read_question(found).answer()


def document() -> str:
    """Return the whole file: one case a line, so that a change shows as one."""
    lines = [json.dumps(vector_of(case), sort_keys=True) for case in cases() if encodable(case)]
    return f'{{"version": 1, "note": {json.dumps(NOTE)}, "cases": [\n' + ",\n".join(lines) + "\n]}\n"


if __name__ == "__main__":
    PATH.write_text(document())
