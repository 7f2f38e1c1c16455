"""From signed statements to promises, refusals, receipts and the like; and evidence that anyone can check offline.

Pure. Every function returns the verified value or raises. Opening checks, in this order:
1. the signature, under the key or keys given, for this payload type and this exchange (BadSignature);
2. the payload: canonical, within its limits (BadInput);
3. that it names this exchange, and the parties that the caller expects (VerificationFailed).
`seen` keeps batch roots whose signature held, see exchange.crypto.signed.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Protocol, TypeVar

from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import KeyLookup, Signed, VerifiedRoots, only, verify_signed
from exchange.errors import BadProof, VerificationFailed
from exchange.merkle import leaf_hash, verify_inclusion
from exchange.receipts.codec import (
    decode_acknowledgement,
    decode_agreement_text,
    decode_decisions,
    decode_notice_delivery,
    decode_promise,
    decode_receipts,
    decode_refusal,
    decode_retraction,
    decode_stream_head,
)
from exchange.receipts.model import (
    AgreementText,
    DecisionRecord,
    NoticeAcknowledgement,
    NoticeDelivery,
    Promise,
    ReceiptBatch,
    Refusal,
    Retraction,
    StreamHead,
)

PROMISE = "promise"
REFUSAL = "refusal"
DECISIONS = "decisions"
RECEIPTS = "receipts"
RETRACTION = "retraction"
STREAM_HEAD = "stream-head"
AGREEMENT_TEXT = "agreement-text"
NOTICE_DELIVERY = "notice-delivery"
NOTICE_ACKNOWLEDGEMENT = "notice-acknowledgement"

# Layout of an entry of the traffic log (exchange/tlog/entry.py, which this package may not import).
_ENTRY_BYTES = 41
_ENVELOPE_ENTRY = 1


class Framed(Protocol):
    """What names its exchange."""

    @property
    def exchange(self) -> str:
        """The exchange."""
        ...


class Between(Framed, Protocol):
    """What one party signs for another."""

    @property
    def from_party(self) -> str:
        """Who says it."""
        ...

    @property
    def to_party(self) -> str:
        """To whom."""
        ...


_Framed = TypeVar("_Framed", bound=Framed)
_Between = TypeVar("_Between", bound=Between)


def open_promise(signed: Signed, promise_key: PublicKey, exchange: str, seen: VerifiedRoots | None = None) -> Promise:
    """Return the promise that the relay signed with its promise key.

    Raises:
        VerificationFailed, BadInput: it does not hold; see above.
    """
    return _open(signed, only(promise_key), PROMISE, decode_promise, exchange=exchange, seen=seen)


def open_refusal(signed: Signed, promise_key: PublicKey, exchange: str, seen: VerifiedRoots | None = None) -> Refusal:
    """Return the refusal that the relay signed with its promise key; raises as `open_promise`."""
    return _open(signed, only(promise_key), REFUSAL, decode_refusal, exchange=exchange, seen=seen)


def open_decisions(
    signed: Signed, promise_key: PublicKey, exchange: str, seen: VerifiedRoots | None = None
) -> DecisionRecord:
    """Return the decisions that the relay signed with its promise key; raises as `open_promise`."""
    return _open(signed, only(promise_key), DECISIONS, decode_decisions, exchange=exchange, seen=seen)


def open_receipts(
    signed: Signed,
    lookup: KeyLookup,
    *,
    exchange: str,
    from_party: str,
    to_party: str,
    seen: VerifiedRoots | None = None,
) -> ReceiptBatch:
    """Return the receipts that `from_party` signed for `to_party`.

    `lookup` gives statement keys of `from_party` only, as of the directory size that the caller judges at.
    Raises as `open_promise`.
    """
    return open_between(
        signed, lookup, RECEIPTS, decode_receipts, exchange=exchange, parties=(from_party, to_party), seen=seen
    )


def open_retraction(
    signed: Signed, lookup: KeyLookup, *, exchange: str, originator: str, seen: VerifiedRoots | None = None
) -> Retraction:
    """Return the retraction that `originator` signed; `lookup` gives its statement keys only.

    That the item is one of the originator's is the caller's check. Raises as `open_promise`.
    """
    retraction = _open(signed, lookup, RETRACTION, decode_retraction, exchange=exchange, seen=seen)
    _expect(retraction.originator == originator, "the retraction is another originator's")
    return retraction


def open_stream_head(
    signed: Signed,
    lookup: KeyLookup,
    *,
    exchange: str,
    from_party: str,
    to_party: str,
    seen: VerifiedRoots | None = None,
) -> StreamHead:
    """Return the stream head that `from_party` signed for `to_party`; `lookup` and errors as for `open_receipts`."""
    return open_between(
        signed, lookup, STREAM_HEAD, decode_stream_head, exchange=exchange, parties=(from_party, to_party), seen=seen
    )


def open_agreement_text(
    signed: Signed, lookup: KeyLookup, *, exchange: str, seen: VerifiedRoots | None = None
) -> AgreementText:
    """Return the agreement and view that a party sent on; who signed those two is for the caller to check.

    Raises as `open_promise`.
    """
    payload = verify_signed(signed, lookup, expected_type=AGREEMENT_TEXT, context=exchange, seen=seen)
    return decode_agreement_text(payload)


def open_notice_delivery(
    signed: Signed, lookup: KeyLookup, *, exchange: str, seen: VerifiedRoots | None = None
) -> NoticeDelivery:
    """Return the notice that a party sent on; whose root signed it is for the caller to check.

    Raises as `open_promise`.
    """
    payload = verify_signed(signed, lookup, expected_type=NOTICE_DELIVERY, context=exchange, seen=seen)
    return decode_notice_delivery(payload)


def open_acknowledgement(
    signed: Signed,
    lookup: KeyLookup,
    *,
    exchange: str,
    from_party: str,
    to_party: str,
    seen: VerifiedRoots | None = None,
) -> NoticeAcknowledgement:
    """Return the acknowledgement that `from_party` signed for `to_party`; `lookup`, errors as for `open_receipts`."""
    name, parties = NOTICE_ACKNOWLEDGEMENT, (from_party, to_party)
    return open_between(signed, lookup, name, decode_acknowledgement, exchange=exchange, parties=parties, seen=seen)


def check_promise_for(promise: Promise, envelope_hash: bytes) -> None:
    """Check that a promise is about this envelope.

    Raises:
        VerificationFailed: it is about another one.
    """
    _expect(promise.envelope_hash == envelope_hash, "the promise is about another envelope")


def check_decisions(promise: Promise, decisions_payload: bytes) -> DecisionRecord:
    """Return the decisions of which the promise holds the hash, about the same envelope.

    Raises:
        VerificationFailed: they are not those.
        BadInput: the payload is malformed.
    """
    _expect(sha256(decisions_payload).digest() == promise.decisions_sha256, "not the decisions that were promised")
    record = decode_decisions(decisions_payload)
    same = record.exchange == promise.exchange and record.envelope_hash == promise.envelope_hash
    _expect(same, "the decisions are about another envelope")
    return record


def check_promise_in_log(promise: Promise, entry: bytes, path: Sequence[bytes], *, size: int, root: bytes) -> None:
    """Check that the relay kept a promise: its envelope stands in the traffic log at the promised index.

    `size` and `root` are those of a checkpoint of this exchange's traffic log that the caller has opened, `entry` the
    41 bytes at that index, `path` their inclusion proof in it.

    Raises:
        BadProof: another kind of entry, another envelope or time of receipt, another place, or not in the log.
    """
    if len(entry) != _ENTRY_BYTES or entry[0] != _ENVELOPE_ENTRY:
        raise BadProof("the entry does not log an envelope")
    if entry[1:33] != promise.envelope_hash:
        raise BadProof("the entry at the promised index logs another envelope")
    if int.from_bytes(entry[33:41], "big") != promise.received_ms:
        raise BadProof("the entry at the promised index logs another time of receipt")
    verify_inclusion(leaf_hash(entry), promise.log_index, size, path, root)


def open_between(
    signed: Signed,
    lookup: KeyLookup,
    name: str,
    decode: Callable[[bytes], _Between],
    *,
    exchange: str,
    parties: tuple[str, str],
    seen: VerifiedRoots | None,
) -> _Between:
    """Return a statement of this kind that the first of two parties signed for the second; raises as `open_promise`."""
    found = _open(signed, lookup, name, decode, exchange=exchange, seen=seen)
    _expect((found.from_party, found.to_party) == parties, f"the {name} statement is between other parties")
    return found


def _open(
    signed: Signed,
    lookup: KeyLookup,
    name: str,
    decode: Callable[[bytes], _Framed],
    *,
    exchange: str,
    seen: VerifiedRoots | None,
) -> _Framed:
    # 1. the signature
    payload = verify_signed(signed, lookup, expected_type=name, context=exchange, seen=seen)
    # 2. the payload
    value = decode(payload)
    # 3. the exchange
    _expect(value.exchange == exchange, "the statement is of another exchange")
    return value


def _expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise VerificationFailed(otherwise)
