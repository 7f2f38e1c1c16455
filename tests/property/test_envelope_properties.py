"""No byte of an envelope can change on its way, and no input breaks a parser (docs/spec/envelope.md)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.envelope.codec import (
    decode_body,
    decode_core,
    decode_delivery,
    decode_header,
    decode_leaf,
    decode_report,
    decode_submission,
    encode_body,
    encode_report,
)
from exchange.envelope.model import Body, ReportStatement
from exchange.envelope.open import open_envelope
from exchange.envelope.statement import open_statement
from exchange.envelope.verify import verify_submission
from exchange.errors import BadEnvelope, BadInput, VerificationFailed
from exchange.policy.codec import encode_release, release_sha256
from exchange.policy.model import Release, Target
from tests.support.envelope_builders import (
    DIRECTORY_SIZE,
    NOW,
    OPEN_RELEASE,
    OPEN_RELEASE_BYTES,
    XA,
    XO,
    XV,
    a_label,
    a_report,
    a_sealed,
    a_statement,
    an_open_report,
    deliver,
    open_checks,
    parties,
    relay_checks,
    relay_label_of,
    take_apart,
    to,
    verified,
)

SEALED = a_sealed()
SUBMISSION = SEALED.submission_bytes
DELIVERY = deliver(verified(SEALED))
PARTS = take_apart(SEALED)
VALID: dict[Callable[[bytes], object], bytes] = {
    decode_submission: SUBMISSION,
    decode_delivery: DELIVERY,
    decode_header: PARTS.submission.header.payload,
    decode_core: PARTS.header.core,
    decode_leaf: PARTS.submission.leaves[0].leaf,
    decode_body: encode_body(Body(a_statement(a_report()))),
    decode_report: encode_report(a_report()),
}


def at_the_relay(data: bytes) -> None:
    with pytest.raises(BadEnvelope):
        verify_submission(data, context=relay_checks())


def at_the_recipient(data: bytes) -> None:
    with pytest.raises(BadEnvelope):
        open_envelope(data, context=open_checks())


def flipped(data: bytes, at: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return bytes(changed)


def test_the_untouched_envelope_is_accepted() -> None:
    verify_submission(SUBMISSION, context=relay_checks())
    open_envelope(DELIVERY, context=open_checks())


def test_no_byte_of_a_submission_can_change() -> None:
    """Every byte, one bit of it: signature, leaves, wraps, dummy seed and body are all under the relay's checks."""
    for at in range(len(SUBMISSION)):
        at_the_relay(flipped(SUBMISSION, at, at % 8))


def test_no_byte_of_a_delivery_can_change() -> None:
    for at in range(len(DELIVERY)):
        at_the_recipient(flipped(DELIVERY, at, at % 8))


@given(st.integers(0, len(SUBMISSION) - 1), st.integers(1, 255))
def test_no_byte_of_a_submission_can_take_another_value(at: int, change: int) -> None:
    """Invariant 3: relay removal of any field fails the signature."""
    changed = bytearray(SUBMISSION)
    changed[at] ^= change
    at_the_relay(bytes(changed))


@given(st.integers(0, len(DELIVERY) - 1), st.integers(1, 255))
def test_no_byte_of_a_delivery_can_take_another_value(at: int, change: int) -> None:
    """Invariant 3: relay removal of any field fails the signature."""
    changed = bytearray(DELIVERY)
    changed[at] ^= change
    at_the_recipient(bytes(changed))


def test_no_end_can_be_cut_off() -> None:
    for length in range(0, len(SUBMISSION), 7):
        at_the_relay(SUBMISSION[:length])
    for length in range(0, len(DELIVERY), 7):
        at_the_recipient(DELIVERY[:length])


@given(st.binary(min_size=1, max_size=64))
def test_nothing_can_be_added_before_or_after(extra: bytes) -> None:
    at_the_relay(SUBMISSION + extra)
    at_the_relay(extra + SUBMISSION)
    at_the_recipient(DELIVERY + extra)
    at_the_recipient(extra + DELIVERY)


@given(st.data())
def test_no_part_can_be_left_out_repeated_or_moved(data: st.DataObject) -> None:
    """Invariant 3: relay removal of any field fails the signature."""
    for whole, refuse in ((SUBMISSION, at_the_relay), (DELIVERY, at_the_recipient)):
        start = data.draw(st.integers(0, len(whole) - 1))
        end = data.draw(st.integers(start + 1, len(whole)))
        refuse(whole[:start] + whole[end:])
        refuse(whole[:end] + whole[start:])
        moved = whole[start:end] + whole[:start] + whole[end:]
        if moved != whole:
            refuse(moved)


@pytest.mark.parametrize("decode", VALID, ids=lambda decode: decode.__name__)
@given(data=st.data())
def test_no_input_makes_a_decoder_raise_anything_else(decode: Callable[[bytes], object], data: st.DataObject) -> None:
    valid = VALID[decode]
    start = data.draw(st.integers(0, len(valid)))
    end = data.draw(st.integers(start, min(len(valid), start + 40)))
    for junk in (data.draw(st.binary(max_size=200)), valid[:start] + data.draw(st.binary(max_size=40)) + valid[end:]):
        try:
            decode(junk)
        except BadInput:
            continue


@given(st.binary(max_size=400))
def test_no_input_makes_the_checks_raise_anything_else(junk: bytes) -> None:
    at_the_relay(junk)
    at_the_recipient(junk)


@given(
    audience=st.sets(st.sampled_from(parties(20)), min_size=1, max_size=12),
    content=st.binary(min_size=1, max_size=5000),
    seq=st.integers(1, (1 << 63) - 1),
    stream=st.integers(1, (1 << 32) - 1),
)
def test_whatever_is_sealed_opens_for_each_recipient_and_nobody_else(
    audience: set[str], content: bytes, seq: int, stream: int
) -> None:
    """Invariant 6: a removed member cannot open any item wrapped after the epoch change: it has no wrap."""
    report = a_report(content=content)
    recipients = [to(party, stream=stream, pair_seq=seq) for party in sorted(audience)]
    envelope = verified(a_sealed(body=Body(a_statement(report)), recipients=recipients))
    for party in audience:
        opened = open_envelope(deliver(envelope, party), context=open_checks(party))
        assert opened.report == report
        assert (opened.leaf.stream, opened.leaf.pair_seq) == (stream, seq)
        for other in (XA, XO):
            with pytest.raises(BadEnvelope):
                open_envelope(deliver(envelope, party), context=open_checks(other))
    assert XV in parties(20)


PARTNERS = st.lists(st.sampled_from([XO, XV]), unique=True).map(lambda names: tuple(sorted(names)))
RELEASES = st.builds(
    Release,
    to=PARTNERS.map(lambda names: tuple(Target(partner=name) for name in names)),
    except_=PARTNERS,
    pre_authorised=PARTNERS,
    salt=st.sampled_from([OPEN_RELEASE.salt, bytes(16)]),
    open_roster=st.booleans(),
)


def opens_with(report: ReportStatement, release: bytes) -> bool:
    core = replace(decode_core(PARTS.header.core), label=relay_label_of(report))
    keys = partial(open_checks().statement_key, at_size=DIRECTORY_SIZE, at_ms=NOW)
    try:
        open_statement(
            core,
            Body(a_statement(report), release=release),
            keys,
            report_keys=lambda signing: partial(keys, signing.originator),
            seen=None,
        )
    except VerificationFailed:
        return False
    return True


@settings(max_examples=60)
@given(RELEASES)
def test_an_audience_opens_only_as_its_label_names_it_and_only_where_the_roster_is_open(release: Release) -> None:
    data = encode_release(release)
    named = a_report(label=a_label(release_sha256=release_sha256(data, release.salt)))
    assert opens_with(named, data) is release.open_roster
    assert opens_with(an_open_report(), data) is (data == OPEN_RELEASE_BYTES)
    assert opens_with(named, b"")
    # Of a hidden roster the bytes are what they always were.
    assert (data[-2:] == b"\x30\x01") is release.open_roster
