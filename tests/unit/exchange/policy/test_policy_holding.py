"""What a report is held under, at rest: read back as it was written, and nothing else is read."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from exchange.errors import BadInput, MalformedInput
from exchange.policy.decide import Item, Role, decide
from exchange.policy.holding import HOLDING_BYTES, decode_holding, encode_holding
from exchange.policy.strict_json import write_json
from tests.support.policy_builders import FULL_LABEL, FULL_VIEW, NOW, XA, XB, a_holding, a_release, an_agreement, rules


def test_every_field_of_the_obligations_is_read_back() -> None:
    view = replace(FULL_VIEW, terms=(replace(FULL_VIEW.terms[0], categories=FULL_LABEL.categories, approvals=0),))
    label = replace(FULL_LABEL, originators=(XA,), not_before_ms=0, approvals=0)
    held = rules(an_agreement(*view.terms))
    decision = decide(
        Item.to_send(label, a_release()), sender=XA, recipient=XB, rules=held, now_ms=NOW + 1, role=Role.SENDER
    )
    assert decision.obligations is not None and decision.obligations.readers and decision.obligations.handling
    holding = a_holding(obligations=decision.obligations)
    assert decode_holding(encode_holding(holding)) == holding


def changed(path: str, value: Any) -> bytes:
    """Return a holding of which one field was changed, written as Concord writes."""
    found = orjson.loads(encode_holding(a_holding()))
    at, (*steps, last) = found, path.split(".")
    for step in steps:
        at = at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return write_json(found)


@pytest.mark.parametrize(
    "path, value",
    [
        ("clause", ...),
        ("more", 1),
        ("sender", "xa"),
        ("directory_size", "7"),
        ("directory_size", True),
        ("directory_size", -1),
        ("basis.id", "AB" * 16),
        ("basis.id", "00"),
        ("basis.commitment", "zz"),
        ("obligations", None),
        ("obligations.actions", "everything"),
        ("obligations.purposes", ["persecution"]),
        ("obligations.purposes", "protect_life"),
        ("obligations.orcon", 0),
        ("obligations.handling", [{"code": "x"}]),
        ("obligations.use_in", ["PK"] * 257),
    ],
)
def test_what_is_not_a_holding_is_refused_with_its_place(path: str, value: Any) -> None:
    with pytest.raises(BadInput):
        decode_holding(changed(path, value))


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b'{"clause":1,"clause":1}', encode_holding(a_holding()) + b" ", b" " * (HOLDING_BYTES + 1)],
)
def test_what_is_not_written_as_concord_writes_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        decode_holding(data)


def test_an_error_names_the_field() -> None:
    with pytest.raises(MalformedInput) as caught:
        decode_holding(changed("obligations.actions", "everything"))
    assert caught.value.place == "obligations.actions"
