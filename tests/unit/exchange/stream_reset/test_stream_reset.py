"""A stream reset is one sender's signed word to one recipient, and nothing else passes for it."""

from dataclasses import replace

import pytest

from exchange.crypto.signed import sign
from exchange.errors import BadInput, VerificationFailed
from exchange.stream_reset.codec import decode_stream_reset, encode_stream_reset
from exchange.stream_reset.model import StreamReset
from exchange.stream_reset.verify import STREAM_RESET, open_stream_reset
from tests.support.directory_builders import EXCHANGE, NOON, composite

RESET = StreamReset(EXCHANGE, "XV", "XA", 1_800_000_000, NOON, bytes(16))
KEY = composite("XV/statement")


def opened(reset: StreamReset, *, type_: str = STREAM_RESET, sender: str = "XV", recipient: str = "XA") -> StreamReset:
    signed = sign(KEY, type_, encode_stream_reset(reset), context=EXCHANGE)
    keys = {KEY.public.key_id: KEY.public}
    return open_stream_reset(signed, keys.get, exchange=EXCHANGE, from_party=sender, to_party=recipient)


def test_it_survives_its_encoding_and_its_signature() -> None:
    assert decode_stream_reset(encode_stream_reset(RESET)) == opened(RESET) == RESET


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"sender": "XO"}, {}),
        ({"recipient": "XO"}, {}),
        ({"type_": "stream-head"}, {}),
        ({}, {"exchange": "other.example"}),
    ],
)
def test_anothers_or_for_another_it_does_not_hold(changed: dict[str, str], names: dict[str, str]) -> None:
    with pytest.raises((VerificationFailed, BadInput)):
        opened(replace(RESET, **names), **changed)  # type: ignore[arg-type]  # each case changes what it names


@pytest.mark.parametrize("wrong", [{"stream": 1}, {"stream": 1 << 32}, {"at_ms": 0}, {"salt": b""}, {"to_party": ""}])
def test_a_value_that_exists_is_valid(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        replace(RESET, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"\xff", encode_stream_reset(RESET) + b"\x38\x01"])
def test_anything_else_is_no_reset(data: bytes) -> None:
    with pytest.raises(BadInput):
        decode_stream_reset(data)
