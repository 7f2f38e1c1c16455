"""Decisions written down: read back as they were asked, cut down to what the answer depends on, refused when edited."""

import copy
import json
from dataclasses import fields, replace
from typing import Any

import pytest

from exchange.errors import BadInput
from exchange.policy.decision import Decision, Item, Role, Rules
from exchange.policy.question import Question, relevant
from exchange.policy.record import QUESTION_FIELDS, plain_decision, plain_question, read_question
from exchange.policy.strict_json import Entry, read_json, write_json
from tests.support.policy_builders import NOW, XA, XB, a_label, a_release, an_agreement, rules
from tests.support.policy_case import Case
from tests.support.policy_cases import cases
from tests.support.policy_vectors import encodable, question_of

CASES = [each for each in cases() if encodable(each)]
USUAL = Question(Role.SENDER, XA, XB, NOW, Item.to_send(a_label(), a_release()), rules())


def read(data: bytes) -> Question:
    return read_question(read_json(data, limit=1 << 22, what="a question").fields(*QUESTION_FIELDS))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_written_down_is_what_was_asked_and_its_part_gives_the_same_answer(case: Case) -> None:
    question = question_of(case)
    assert plain_decision(read(write_json(plain_question(question))).answer()) == plain_decision(question.answer())
    part = relevant(question)
    assert part.answer() == question.answer()
    assert relevant(read(write_json(plain_question(part)))).answer() == question.answer()


def test_every_input_and_every_part_of_the_answer_is_written_down() -> None:
    kept_from = replace(USUAL, item=replace(USUAL.item, uncompared=frozenset({XB})))
    written = plain_question(kept_from)
    # Who is not compared is left out where everybody is.
    assert set(plain_question(USUAL)["item"]) == set(written["item"]) - {"uncompared"}
    assert read(write_json(written)).item == kept_from.item
    assert set(written["item"]) == {field.name for field in fields(Item)}
    assert set(written["rules"]) | {"by_party", "former", "versions"} == {field.name for field in fields(Rules)}
    assert set(plain_decision(USUAL.answer())) == set(Decision._fields)


def test_a_record_shows_no_partner_and_no_agreement_that_is_not_concerned() -> None:
    others = an_agreement(number=2, parties=(XA, "XD"))
    question = Question(Role.SENDER, XA, XB, NOW, USUAL.item, rules(an_agreement(), others))
    part = relevant(question)
    assert set(part.rules.standings) == {XA, XB}
    strict = replace(question, item=replace(question.item, uncompared=frozenset({XA, XB})))
    assert relevant(strict).item.uncompared == {XB}
    assert [each.ref.id for each in part.rules.agreements.values()] == [bytes([1]) * 16]


@pytest.mark.parametrize(
    "path, value",
    [
        ("role", "council"),
        ("role", 1),
        ("sender", "xa"),
        ("now_ms", -1),
        ("now_ms", 2**63),
        ("item.label", "00"),
        ("item.label", "zz"),
        ("item.intact", 1),
        ("item.consents", {}),
        ("item.item_hash", "00"),
        ("item.more", 1),
        ("rules.exchange", "X"),
        ("rules.agreements", [{"view": "00", "status": 1}]),
        ("rules.standings", {"XA": {"membership": "honorary", "ceiling": 5}}),
        ("rules.standings", {"XA": {"membership": "admitted", "ceiling": 9}}),
        ("rules.communities", {"00": []}),
    ],
)
def test_what_is_no_question_is_refused(path: str, value: Any) -> None:
    found = json.loads(write_json(plain_question(USUAL)))
    at, (*steps, last) = found, path.split(".")
    for step in steps:
        at = at[step]
    at[last] = value
    with pytest.raises(BadInput):
        read(write_json(found))


def test_a_question_lacks_nothing() -> None:
    whole = json.loads(write_json(plain_question(USUAL)))
    for name in whole:
        part = copy.deepcopy(whole)
        del part[name]
        with pytest.raises(BadInput):
            read(write_json(part))
    with pytest.raises(BadInput):
        Entry([], "").fields()
