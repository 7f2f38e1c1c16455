"""Who signed what: a statement under another key, type, exchange or party never opens; evidence holds offline."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed, VerifiedRoots, sign, sign_batch
from exchange.crypto.signing import CompositeKey, Ed25519Key
from exchange.errors import BadInput, BadProof, BadSignature, VerificationFailed
from exchange.merkle import Tree, leaf_hash
from exchange.receipts import codec, verify
from exchange.receipts.model import Promise
from exchange.tlog.entry import EntryKind, TrafficEntry, encode_entry
from tests.support.receipts import (
    ENVELOPE,
    EXCHANGE,
    NOW_MS,
    a_batch,
    a_decision_record,
    a_notice_delivery,
    a_promise,
    a_refusal,
    a_retraction,
    a_stream_head,
    an_acknowledgement,
    an_agreement_text,
)

RELAY = Ed25519Key.from_seed(bytes(32))
OTHER = Ed25519Key.from_seed(bytes([1]) * 32)
PARTY = CompositeKey.from_seed(bytes(64))
ELSEWHERE = "other.concord.example"

Opener = Callable[[Signed], Any]


def party_key(key_id: bytes) -> PublicKey | None:
    return PARTY.public if key_id == PARTY.public.key_id else None


def relay_opener(open_it: Callable[..., Any], exchange: str = EXCHANGE) -> Opener:
    return lambda signed: open_it(signed, RELAY.public, exchange)


def party_opener(open_it: Callable[..., Any], exchange: str = EXCHANGE, **parties: str) -> Opener:
    return lambda signed: open_it(signed, party_key, exchange=exchange, **parties)


BY_RELAY: list[tuple[str, Any, bytes, Callable[..., Any]]] = [
    (verify.PROMISE, a_promise(), codec.encode_promise(a_promise()), verify.open_promise),
    (verify.REFUSAL, a_refusal(), codec.encode_refusal(a_refusal()), verify.open_refusal),
    (verify.DECISIONS, a_decision_record(), codec.encode_decisions(a_decision_record()), verify.open_decisions),
]
TEXT = an_agreement_text(OTHER)
NOTICE = a_notice_delivery(OTHER)
BY_PARTY: list[tuple[str, Any, bytes, Callable[..., Any], dict[str, str]]] = [
    (
        verify.RECEIPTS,
        a_batch(),
        codec.encode_receipts(a_batch()),
        verify.open_receipts,
        {"from_party": "XV", "to_party": "XA"},
    ),
    (
        verify.RETRACTION,
        a_retraction(),
        codec.encode_retraction(a_retraction()),
        verify.open_retraction,
        {"originator": "XA"},
    ),
    (
        verify.STREAM_HEAD,
        a_stream_head(),
        codec.encode_stream_head(a_stream_head()),
        verify.open_stream_head,
        {"from_party": "XA", "to_party": "XV"},
    ),
    (verify.AGREEMENT_TEXT, TEXT, codec.encode_agreement_text(TEXT), verify.open_agreement_text, {}),
    (verify.NOTICE_DELIVERY, NOTICE, codec.encode_notice_delivery(NOTICE), verify.open_notice_delivery, {}),
    (
        verify.NOTICE_ACKNOWLEDGEMENT,
        an_acknowledgement(),
        codec.encode_acknowledgement(an_acknowledgement()),
        verify.open_acknowledgement,
        {"from_party": "XV", "to_party": "XA"},
    ),
]


@pytest.mark.parametrize(("name", "value", "payload", "open_it"), BY_RELAY, ids=[each[0] for each in BY_RELAY])
def test_what_the_relay_signed_opens_and_nothing_else_does(
    name: str, value: object, payload: bytes, open_it: Callable[..., Any]
) -> None:
    opener = relay_opener(open_it)
    assert opener(sign(RELAY, name, payload, context=EXCHANGE)) == value
    for bad in (
        sign(OTHER, name, payload, context=EXCHANGE),
        sign(RELAY, "receipts" if name != "receipts" else "promise", payload, context=EXCHANGE),
        sign(RELAY, name, payload, context=ELSEWHERE),
        replace(sign(RELAY, name, payload, context=EXCHANGE), payload=payload + b"\0"),
    ):
        with pytest.raises(BadSignature):
            opener(bad)


@pytest.mark.parametrize(("name", "value", "payload", "open_it"), BY_RELAY, ids=[each[0] for each in BY_RELAY])
def test_a_statement_that_names_another_exchange_than_it_was_signed_for_is_refused(
    name: str, value: object, payload: bytes, open_it: Callable[..., Any]
) -> None:
    with pytest.raises(VerificationFailed):
        relay_opener(open_it, ELSEWHERE)(sign(RELAY, name, payload, context=ELSEWHERE))


@pytest.mark.parametrize(
    ("name", "value", "payload", "open_it", "parties"), BY_PARTY, ids=[each[0] for each in BY_PARTY]
)
def test_what_a_party_signed_opens_for_those_parties_only(
    name: str, value: object, payload: bytes, open_it: Callable[..., Any], parties: dict[str, str]
) -> None:
    signed = sign(PARTY, name, payload, context=EXCHANGE)
    assert party_opener(open_it, **parties)(signed) == value
    with pytest.raises(BadSignature):
        party_opener(open_it, **parties)(sign(OTHER, name, payload, context=EXCHANGE))
    with pytest.raises(BadSignature):
        party_opener(open_it, ELSEWHERE, **parties)(signed)
    for role in parties:
        with pytest.raises(VerificationFailed):
            party_opener(open_it, **{**parties, role: "XQ"})(signed)


def test_a_signature_over_junk_opens_nothing() -> None:
    with pytest.raises(BadInput):
        relay_opener(verify.open_promise)(sign(RELAY, verify.PROMISE, b"junk", context=EXCHANGE))


def test_promises_of_one_batch_stand_alone_and_cost_one_check() -> None:
    promises = [replace(a_promise(), log_index=index) for index in range(20)]
    batch = sign_batch(RELAY, [(verify.PROMISE, codec.encode_promise(each)) for each in promises], context=EXCHANGE)
    seen = VerifiedRoots()
    assert [verify.open_promise(each, RELAY.public, EXCHANGE, seen) for each in batch] == promises
    assert len(seen) == 1
    with pytest.raises(BadSignature):
        verify.open_promise(replace(batch[0], payload=batch[1].payload), RELAY.public, EXCHANGE, seen)


def test_a_promise_is_about_one_envelope() -> None:
    verify.check_promise_for(a_promise(), ENVELOPE)
    with pytest.raises(VerificationFailed):
        verify.check_promise_for(a_promise(), bytes(32))


def test_the_decisions_are_those_that_the_promise_names() -> None:
    payload = codec.encode_decisions(a_decision_record())
    promise = replace(a_promise(), decisions_sha256=sha256(payload).digest())
    assert verify.check_decisions(promise, payload) == a_decision_record()
    with pytest.raises(VerificationFailed):
        verify.check_decisions(a_promise(), payload)
    changes: list[dict[str, Any]] = [{"envelope_hash": bytes(32)}, {"exchange": ELSEWHERE}]
    for change in changes:
        other = codec.encode_decisions(replace(a_decision_record(), **change))
        with pytest.raises(VerificationFailed):
            verify.check_decisions(replace(a_promise(), decisions_sha256=sha256(other).digest()), other)


def entry(kind: EntryKind = EntryKind.ENVELOPE, digest: bytes = ENVELOPE) -> bytes:
    return encode_entry(TrafficEntry(kind, digest, NOW_MS))


def check(promise: Promise, logged: bytes, *, at: int = 7) -> None:
    """Log an entry at `at` among 12 and check the promise against that log."""
    hashes = [leaf_hash(entry(digest=bytes([9, number]) * 16)) for number in range(12)]
    hashes[at] = leaf_hash(logged)
    tree = Tree(hashes)
    verify.check_promise_in_log(promise, logged, tree.path(at), size=12, root=tree.root)


def test_a_promise_that_was_kept_is_proven_offline() -> None:
    check(a_promise(), entry())


@pytest.mark.parametrize(
    "logged",
    [
        b"",
        entry()[:-1],
        entry() + b"\0",
        entry(digest=bytes(32)),
        *(entry(kind) for kind in EntryKind if kind is not EntryKind.ENVELOPE),
    ],
)
def test_another_entry_at_the_promised_index_is_evidence_against_the_relay(logged: bytes) -> None:
    with pytest.raises(BadProof):
        check(a_promise(), logged)


def test_an_entry_of_another_time_does_not_keep_a_promise() -> None:
    with pytest.raises(BadProof, match="time of receipt"):
        check(replace(a_promise(), received_ms=NOW_MS - 1), entry())


def test_the_right_entry_at_another_index_or_in_another_log_does_not_keep_a_promise() -> None:
    with pytest.raises(BadProof):
        check(a_promise(), entry(), at=6)
    with pytest.raises(BadProof):
        check(replace(a_promise(), log_index=12), entry())
    tree = Tree([leaf_hash(entry())] * 12)
    for path, size, root in [
        (tree.path(7), 12, bytes(32)),
        (tree.path(7), 7, tree.root),
        (tree.path(7)[:-1], 12, tree.root),
    ]:
        with pytest.raises(BadProof):
            verify.check_promise_in_log(a_promise(), entry(), path, size=size, root=root)
