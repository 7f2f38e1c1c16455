"""Requests and grants for tests: XV holds XA's report and asks to pass it on to XO."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from exchange.consent.codec import encode_grant, encode_request
from exchange.consent.model import ConsentAnswer, ConsentGrant, ConsentRequest
from exchange.crypto.signed import Signed, sign
from exchange.envelope.binding import item_hash
from exchange.names import PartyId
from exchange.policy.model import Purpose
from tests.support.envelope_builders import EXCHANGE, NOW, XA, XM, XO, XV, a_report, a_statement, seed, statement_key

DAY = 24 * 60 * 60 * 1000
ITEM = item_hash(a_statement(a_report()).payload)


def a_request(**changes: Any) -> ConsentRequest:
    """XV asks to pass ITEM on to XM and XO."""
    usual = ConsentRequest(
        exchange=EXCHANGE,
        item_hash=ITEM,
        asker=XV,
        to=(XM, XO),
        purposes=(Purpose.PROTECT_LIFE,),
        until_ms=NOW + 30 * DAY,
        reason="They have an embassy there.\nPlease.",
        at_ms=NOW,
        salt=seed("consent", "request")[:16],
    )
    return replace(usual, **changes)


def a_grant(**changes: Any) -> ConsentGrant:
    """XA lets XV pass ITEM on to XO."""
    usual = ConsentGrant(
        exchange=EXCHANGE,
        request_sha256=sha256(encode_request(a_request())).digest(),
        item_hash=ITEM,
        originator=XA,
        holder=XV,
        to=(XO,),
        answer=ConsentAnswer.GRANT,
        at_ms=NOW + 1,
        salt=seed("consent", "grant")[:16],
        purposes=(Purpose.PROTECT_LIFE,),
        until_ms=NOW + 7 * DAY,
        hop=1,
        reason="To the embassy only.",
    )
    return replace(usual, **changes)


def a_refusal(*to: PartyId, **changes: Any) -> ConsentGrant:
    """XA lets XV pass ITEM on to nobody."""
    nothing: dict[str, Any] = {"answer": ConsentAnswer.REFUSE, "purposes": (), "until_ms": 0, "hop": 0}
    return a_grant(**{**nothing, "to": to or (XM, XO), "reason": "Not now.", **changes})


def signed_request(request: ConsentRequest | None = None) -> Signed:
    """A request, signed by its asker."""
    request = request or a_request()
    return sign(statement_key(request.asker), "consent-request", encode_request(request), context=EXCHANGE)


def signed_grant(grant: ConsentGrant | None = None, key: str = "") -> Signed:
    """A grant, signed by its originator or by `key`."""
    grant = grant or a_grant()
    return sign(statement_key(key or grant.originator), "consent-grant", encode_grant(grant), context=EXCHANGE)


def hashes(grants: Sequence[Signed]) -> tuple[bytes, ...]:
    """What a header names these grants by."""
    return tuple(sha256(grant.payload).digest() for grant in grants)
