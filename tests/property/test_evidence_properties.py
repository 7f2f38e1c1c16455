"""Whatever stands in an evidence file: it is read or refused by name, and checking it never fails in another way."""

import copy
import json
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exchange.crypto.signed import sign
from exchange.errors import BadInput
from exchange.names import party_id
from exchange.policy.binding import release_sha256
from exchange.policy.codec import encode_release, encode_view
from exchange.policy.decision import Item, Role
from exchange.policy.question import Question
from exchange.policy.strict_json import write_json
from exchange.runtime.armour import read_armour, write_armour
from nodes.decisions import Stage, in_short
from nodes.evidence import KIND, Evidence, WrittenDecision, read_evidence, write_evidence
from nodes.evidence_check import Result, check_evidence
from tests.support.directory_builders import composite, ed25519
from tests.support.policy_builders import EXCHANGE, NOW, XA, XB, a_label, a_release, an_agreement, rules


@cache
def evidence() -> Evidence:
    found = an_agreement(parties=(XA, XB))
    release = a_release()
    label = a_label(release_sha256=release_sha256(encode_release(release), release.salt))
    question = Question(Role.SENDER, XA, XB, NOW, Item.to_send(label, release), rules(found))
    roots = {party: composite(f"{party}/root") for party in (XA, XB)}
    view = encode_view(found.view)
    signed = sign(roots[XA], "enforcement-view", view, context=EXCHANGE)
    other = sign(roots[XB], "enforcement-view", view, context=EXCHANGE)
    return Evidence(
        exchange=EXCHANGE,
        made_by=party_id("XA"),
        made_ms=NOW,
        item=bytes(32),
        decisions=(WrittenDecision(Stage.SEALED, 7, question, in_short(question.answer())),),
        refusals=(),
        header=None,
        envelope_key=None,
        relay_keys=(ed25519("relay/promise").public,),
        views=(type(signed)(signed.payload_type, signed.payload, (*signed.signatures, *other.signatures)),),
        roots={party: key.public for party, key in roots.items()},
    )


def test_what_is_written_is_read_back_and_holds() -> None:
    read = read_evidence(write_evidence(evidence()))
    assert read == evidence()
    by_what = {check.what: check.result for check in check_evidence(read)}
    assert Result.FAILS not in by_what.values()
    assert [result for what, result in by_what.items() if what.startswith("agreement")] == [Result.HOLDS]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value in a JSON text."""
    found = [path] if path else []
    if isinstance(value, dict):
        return found + [place for name, each in value.items() for place in places(each, (*path, name))]
    if isinstance(value, list):
        return found + [place for index, each in enumerate(value) for place in places(each, (*path, index))]
    return found


@cache
def plain() -> Any:
    return json.loads(read_armour(write_evidence(evidence()), {KIND})[1])


STRANGE = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2**63), st.text(max_size=8), st.just([]), st.just({}), st.just("00" * 32)
)


@given(st.data(), STRANGE)
def test_a_file_with_any_value_replaced_is_refused_by_name_or_checked(data: st.DataObject, value: Any) -> None:
    changed = copy.deepcopy(plain())
    *steps, last = data.draw(st.sampled_from(places(changed)))
    at = changed
    for step in steps:
        at = at[step]
    at[last] = value
    try:
        read = read_evidence(write_armour(KIND, write_json(changed)))
    except BadInput:
        return
    assert check_evidence(read)


@given(st.binary(max_size=200))
def test_a_file_of_anything_is_refused_by_name(data: bytes) -> None:
    try:
        read_evidence(write_armour(KIND, data))
    except BadInput:
        return
    raise AssertionError("it was read")
