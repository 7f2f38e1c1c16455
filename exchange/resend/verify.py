"""From signed statements to requests for what never came, and to their answers. Pure; verified value or exception."""

from collections.abc import Callable

from exchange.crypto.signed import KeyLookup, Signed, VerifiedRoots
from exchange.receipts.model import Promise
from exchange.receipts.verify import check_promise_for, open_between
from exchange.resend.codec import decode_resend_answer, decode_resend_request
from exchange.resend.model import ResendAnswer, ResendRequest

RESEND_REQUEST = "resend-request"
RESEND_ANSWER = "resend-answer"
"""Payload type names."""


def open_resend_request(
    signed: Signed,
    lookup: KeyLookup,
    *,
    exchange: str,
    from_party: str,
    to_party: str,
    seen: VerifiedRoots | None = None,
) -> ResendRequest:
    """Return the request that `from_party` signed for `to_party`; `lookup` gives its statement keys only.

    Raises:
        VerificationFailed, BadInput: it does not hold, or is between other parties.
    """
    name, parties = RESEND_REQUEST, (from_party, to_party)
    return open_between(signed, lookup, name, decode_resend_request, exchange=exchange, parties=parties, seen=seen)


def open_resend_answer(
    signed: Signed,
    lookup: KeyLookup,
    *,
    promise_of: Callable[[Signed], Promise],
    exchange: str,
    from_party: str,
    to_party: str,
    seen: VerifiedRoots | None = None,
) -> ResendAnswer:
    """Return the answer that `from_party` signed for `to_party`; the promises in it hold by `promise_of`.

    Raises:
        VerificationFailed, BadInput: it does not hold, or is between other parties; a promise in it does not hold, or
            is for another envelope than its line names.
    """
    name, parties = RESEND_ANSWER, (from_party, to_party)
    answer = open_between(signed, lookup, name, decode_resend_answer, exchange=exchange, parties=parties, seen=seen)
    for line in answer.lines:
        if line.promise is not None:
            check_promise_for(promise_of(line.promise), line.envelope_hash)
    return answer
