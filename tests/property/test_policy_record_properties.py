"""Of every generated world: what a decision is cut down to gives the same answer, and so does its record."""

from hypothesis import given
from hypothesis import strategies as st

from exchange.names import PartyId
from exchange.policy.decide import Item, Role, Rules, Slot
from exchange.policy.model import Label, Release
from exchange.policy.question import Question, relevant
from exchange.policy.record import QUESTION_FIELDS, plain_decision, plain_question, read_question
from exchange.policy.strict_json import read_json, write_json
from tests.support.policy_builders import NOW, XA, XB, at_relay
from tests.support.policy_worlds import PARTIES, labels, releases, worlds


@given(worlds(), labels(), releases(), st.tuples(st.sampled_from(PARTIES), st.sampled_from(Role)), st.data())
def test_the_relevant_part_of_a_question_and_its_record_have_the_same_answer(
    rules: Rules, label: Label, release: Release, asked: tuple[PartyId, Role], data: st.DataObject
) -> None:
    recipient, role = asked
    refs = [each.ref for each in rules.agreements.values()]
    slot = Slot(data.draw(st.sampled_from(refs)) if refs else None)
    items = {
        Role.SENDER: Item.to_send(label, release),
        Role.RELAY: at_relay(label, slot),
        Role.RECIPIENT: Item.received(label, slot, intact=True),
    }
    question = Question(role, XA, recipient, NOW, items[role], rules)
    part = relevant(question)
    assert part.answer() == question.answer()
    assert set(part.rules.standings) <= {XA, XB, recipient}
    written = write_json(plain_question(part))
    read = read_question(read_json(written, limit=1 << 22, what="a question").fields(*QUESTION_FIELDS))
    assert plain_decision(read.answer()) == plain_decision(question.answer())
