"""Whatever bytes arrive are one certificate, approval or proof, or are refused; no byte of an approval can change."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.approvals import codec
from exchange.approvals.verify import verified_approvals
from exchange.errors import BadInput, VerificationFailed
from tests.support.approvals import ITEM, a_cert, a_proof, an_approval
from tests.support.envelope_builders import EXCHANGE, statement_key

CODECS: list[tuple[Callable[[Any], bytes], Callable[[bytes], Any], bytes]] = [
    (codec.encode_operator_cert, codec.decode_operator_cert, codec.encode_operator_cert(a_cert())),
    (codec.encode_approval, codec.decode_approval, codec.encode_approval(an_approval())),
    (codec.encode_proof, codec.decode_proof, codec.encode_proof(a_proof())),
]
PROOF = codec.encode_proof(a_proof())


def mutated(data: st.DataObject, good: bytes) -> bytes:
    """Return the bytes with a piece cut out, replaced or repeated."""
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + 40)))
    return good[:start] + data.draw(st.binary(max_size=40) | st.just(good[start:end] * 2)) + good[end:]


@pytest.mark.parametrize("encode, decode, good", CODECS, ids=["certificate", "approval", "proof"])
@given(data=st.data())
def test_every_input_is_one_value_or_refused(
    encode: Callable[[Any], bytes], decode: Callable[[bytes], Any], good: bytes, data: st.DataObject
) -> None:
    given_ = data.draw(st.binary(max_size=300)) if data.draw(st.booleans()) else mutated(data, good)
    try:
        value = decode(given_)
    except BadInput:
        return
    assert encode(value) == given_


@given(at=st.integers(0, len(PROOF) - 1), change=st.integers(1, 255))
def test_no_byte_of_a_proof_can_take_another_value(at: int, change: int) -> None:
    spoilt = PROOF[:at] + bytes([PROOF[at] ^ change]) + PROOF[at + 1 :]
    key = statement_key("XA").public
    with pytest.raises((BadInput, VerificationFailed)):
        verified_approvals(
            [codec.decode_proof(spoilt)],
            lambda key_id: key if key_id == key.key_id else None,
            exchange=EXCHANGE,
            party="XA",
            item_hash=ITEM,
        )
