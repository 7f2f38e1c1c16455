"""A delivery that was made once: what opened then opens now, byte for byte."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from exchange.crypto.keys import KeyAlgorithm, PublicKey, admit_public_key
from exchange.crypto.signed import Signed
from exchange.crypto.xwing import XWingKey
from exchange.envelope.binding import core_hash
from exchange.envelope.codec import (
    decode_body,
    decode_delivery,
    decode_leaf,
    decode_submission,
    encode_body,
    encode_core,
    encode_delivery,
    encode_header,
    encode_leaf,
    encode_report,
    encode_submission,
)
from exchange.envelope.open import KeyAt, OpenChecks, PromiseFacts, open_envelope
from exchange.envelope.verify import RelayChecks, verify_submission
from exchange.names import PartyId, exchange_name, party_id
from exchange.policy.codec import encode_label
from exchange.receipts.verify import open_promise

GOLDEN = Path(__file__).resolve().parents[3] / "vectors" / "envelope" / "delivery.json"


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(GOLDEN.read_text())
    return found


def test_the_golden_delivery_opens(golden: dict[str, Any]) -> None:
    opened = open_envelope(bytes.fromhex(golden["delivery"]), context=recipient_of(golden))
    assert opened.envelope_hash.hex() == golden["envelope_hash"]
    assert opened.envelope_hash == sha256(opened.header_signed.payload).digest()
    assert opened.item_hash.hex() == golden["item_hash"]
    assert core_hash(opened.header.core).hex() == golden["core_hash"]
    assert opened.header.recipients_root.hex() == golden["recipients_root"]
    assert opened.leaf_index == golden["leaf_index"]
    assert opened.report is not None
    assert opened.report.content == golden["content"].encode()
    assert opened.core.created_ms == golden["created_ms"]
    assert opened.promise_facts == PromiseFacts(golden["directory_size"], golden["received_ms"])


def test_every_part_of_the_golden_delivery_is_encoded_as_it_was(golden: dict[str, Any]) -> None:
    data = bytes.fromhex(golden["delivery"])
    assert encode_delivery(decode_delivery(data)) == data
    submission = bytes.fromhex(golden["submission"])
    assert encode_submission(decode_submission(submission)) == submission
    opened = open_envelope(data, context=recipient_of(golden))
    assert encode_header(opened.header) == opened.header_signed.payload
    assert encode_core(opened.core) == opened.header.core
    assert encode_leaf(opened.leaf) == opened.leaf_bytes
    assert opened.report is not None
    assert opened.label is not None
    assert encode_report(opened.report) == opened.payload
    assert encode_label(opened.label) == opened.label_bytes
    assert decode_body(encode_body(opened.body)) == opened.body


def test_the_golden_submission_is_verified(golden: dict[str, Any]) -> None:
    submission = bytes.fromhex(golden["submission"])
    leaves = [decode_leaf(each.leaf) for each in decode_submission(submission).leaves]
    published = {leaf.recipient: leaf.kem_key for leaf in leaves}
    key = admit_public_key(KeyAlgorithm.ED25519, bytes.fromhex(golden["sender_envelope_key"]))
    context = RelayChecks(
        exchange=exchange_name(golden["exchange"]),
        peer=party_id(golden["sender"]),
        now_ms=golden["received_ms"],
        envelope_key=lambda party, key_id: key if (party, key_id) == (golden["sender"], key.key_id) else None,
        directory_size=golden["directory_size"],
        prekey_ids=lambda party, _: published.get(party),
    )
    assert verify_submission(submission, context=context).envelope_hash.hex() == golden["envelope_hash"]


def recipient_of(golden: dict[str, Any]) -> OpenChecks:
    exchange = exchange_name(golden["exchange"])
    envelope = admit_public_key(KeyAlgorithm.ED25519, bytes.fromhex(golden["sender_envelope_key"]))
    statement = admit_public_key(KeyAlgorithm.COMPOSITE_65, bytes.fromhex(golden["sender_statement_key"]))
    promise_key = admit_public_key(KeyAlgorithm.ED25519, bytes.fromhex(golden["relay_promise_key"]))
    prekey = XWingKey.from_seed(bytes.fromhex(golden["recipient_prekey_seed"]))

    def only(key: PublicKey) -> KeyAt:
        def lookup(party: PartyId, key_id: bytes, /, *, at_size: int, at_ms: int) -> PublicKey | None:
            asked = (party, key_id, at_size, at_ms)
            right = (golden["sender"], key.key_id, golden["directory_size"], golden["received_ms"])
            return key if asked == right else None

        return lookup

    def verify_promise(signed: Signed, envelope_hash: bytes) -> PromiseFacts:
        promise = open_promise(signed, promise_key, exchange)
        assert promise.envelope_hash == envelope_hash
        return PromiseFacts(promise.directory_size, promise.received_ms)

    return OpenChecks(
        exchange,
        party_id(golden["recipient"]),
        verify_promise,
        envelope_key=only(envelope),
        statement_key=only(statement),
        report_keys=lambda signing, facts: (
            lambda key_id: only(statement)(
                signing.originator, key_id, at_size=facts.directory_size, at_ms=facts.received_ms
            )
        ),
        xwing_key=lambda key_id: prekey if key_id == prekey.public.key_id else None,
    )
