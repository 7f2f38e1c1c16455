"""Read a control statement: what a partner's node says outside reports, verified, in one form from here on.

Each kind has its reader, which checks the signature, and that the statement is of this sender and, where it names whom
it is for, for this party. Keys are those of the directory size and time of the promise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from exchange.consent.model import ConsentGrant, ConsentRequest
from exchange.consent.verify import CONSENT_GRANT, CONSENT_REQUEST, open_grant, open_request
from exchange.crypto.codec import encode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import KeyLookup, Signed, VerifiedRoots, payload_type
from exchange.directory.fold import Directory
from exchange.envelope.open import Opened
from exchange.errors import VerificationFailed
from exchange.names import ExchangeName, PartyId
from exchange.policy.changes.model import AgreementNotice
from exchange.policy.changes.verify import open_change
from exchange.policy.communities.model import HeldEpoch
from exchange.policy.communities.verify import MEMBERSHIP, open_membership
from exchange.reader_policy.model import ReaderPolicy
from exchange.reader_policy.verify import READER_POLICY, open_reader_policy
from exchange.receipts.model import AgreementText, NoticeAcknowledgement, ReceiptBatch, Retraction, StreamHead
from exchange.receipts.verify import (
    AGREEMENT_TEXT,
    NOTICE_ACKNOWLEDGEMENT,
    NOTICE_DELIVERY,
    RECEIPTS,
    RETRACTION,
    STREAM_HEAD,
    open_acknowledgement,
    open_agreement_text,
    open_notice_delivery,
    open_receipts,
    open_retraction,
    open_stream_head,
)
from exchange.resend.model import ResendAnswer, ResendRequest
from exchange.resend.verify import RESEND_ANSWER, RESEND_REQUEST, open_resend_answer, open_resend_request
from exchange.stream_reset.model import StreamReset
from exchange.stream_reset.verify import STREAM_RESET, open_stream_reset
from nodes.kept_changes import HeardNotice
from nodes.relay_word import opened_promise

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Control = (
    ReceiptBatch
    | Retraction
    | StreamHead
    | AgreementText
    | HeardNotice
    | NoticeAcknowledgement
    | HeldEpoch
    | ConsentRequest
    | ConsentGrant
    | ReaderPolicy
    | StreamReset
    | ResendRequest
    | ResendAnswer
)


@dataclass(frozen=True, slots=True)
class Said:
    """An opened control envelope, and who hears it under which directory."""

    opened: Opened
    me: PartyId
    exchange: ExchangeName
    directory: Directory
    seen: VerifiedRoots

    @property
    def statement(self) -> Signed:
        """What was said."""
        return self.opened.statement

    @property
    def sender(self) -> PartyId:
        """Who said it."""
        return self.opened.core.sender

    def key(self, key_id: bytes) -> PublicKey | None:
        """Return a statement key of the sender; None when it did not stand."""
        facts = self.opened.promise_facts
        return self.directory.statement_key(self.sender, key_id, at_size=facts.directory_size, at_ms=facts.received_ms)


def read_control(said: Said) -> Control:
    """Return what was said.

    Raises:
        BadInput, VerificationFailed: it does not hold, or is of somebody else or for somebody else.
    """
    return _READERS[said.statement.payload_type](said)


class _Open(Protocol[T_co]):
    """Opens what one party signed for another."""

    def __call__(
        self,
        signed: Signed,
        lookup: KeyLookup,
        *,
        exchange: ExchangeName,
        from_party: PartyId,
        to_party: PartyId,
        seen: VerifiedRoots | None,
    ) -> T_co:
        """Return what was signed."""
        ...


def _between(opens: _Open[T]) -> Callable[[Said], T]:
    """Return the reader of what the sender said to this party alone."""
    return lambda said: opens(
        said.statement, said.key, exchange=said.exchange, from_party=said.sender, to_party=said.me, seen=said.seen
    )


def _retraction(said: Said) -> Retraction:
    return open_retraction(said.statement, said.key, exchange=said.exchange, originator=said.sender, seen=said.seen)


def _agreement_text(said: Said) -> AgreementText:
    return open_agreement_text(said.statement, said.key, exchange=said.exchange, seen=said.seen)


def _consent_request(said: Said) -> ConsentRequest:
    return open_request(said.statement, said.key, exchange=said.exchange, asker=said.sender, seen=said.seen)


def _consent_grant(said: Said) -> ConsentGrant:
    return open_grant(said.statement, said.key, exchange=said.exchange, originator=said.sender, seen=said.seen)


def _reader_policy(said: Said) -> ReaderPolicy:
    return open_reader_policy(said.statement, said.key, exchange=said.exchange, party=said.sender, seen=said.seen)


def _resend_answer(said: Said) -> ResendAnswer:
    promise_of = partial(opened_promise, directory=said.directory, exchange=said.exchange, seen=said.seen)
    return _between(partial(open_resend_answer, promise_of=promise_of))(said)


def _notice(said: Said) -> HeardNotice:
    delivery = open_notice_delivery(said.statement, said.key, exchange=said.exchange, seen=said.seen)
    size = said.opened.promise_facts.directory_size

    def root_of(key_id: bytes) -> tuple[PartyId, PublicKey] | None:
        root = said.directory.root_key(said.sender, key_id, at_size=size)
        return None if root is None else (said.sender, root)

    notice = open_change(delivery.notice, root_of, exchange=said.exchange, seen=said.seen)
    if not isinstance(notice, AgreementNotice):
        raise VerificationFailed("a notice is expected, not an accession")
    return HeardNotice(notice, encode_signed(delivery.notice), delivery.notice.payload)


_READERS: Mapping[str, Callable[[Said], Control]] = {
    payload_type(RECEIPTS): _between(open_receipts),
    payload_type(RETRACTION): _retraction,
    payload_type(STREAM_HEAD): _between(open_stream_head),
    payload_type(AGREEMENT_TEXT): _agreement_text,
    payload_type(NOTICE_DELIVERY): _notice,
    payload_type(NOTICE_ACKNOWLEDGEMENT): _between(open_acknowledgement),
    payload_type(MEMBERSHIP): _between(open_membership),
    payload_type(CONSENT_REQUEST): _consent_request,
    payload_type(CONSENT_GRANT): _consent_grant,
    payload_type(READER_POLICY): _reader_policy,
    payload_type(STREAM_RESET): _between(open_stream_reset),
    payload_type(RESEND_REQUEST): _between(open_resend_request),
    payload_type(RESEND_ANSWER): _resend_answer,
}
