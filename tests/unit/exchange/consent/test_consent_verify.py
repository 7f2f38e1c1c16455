"""Who may pass an item on can be checked by anybody: bytes and keys are enough."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import pytest

from exchange.consent.codec import encode_grant, encode_request
from exchange.consent.model import ConsentGrant
from exchange.consent.verify import (
    Passed,
    check_onward,
    consent_of,
    open_consents,
    open_grant,
    open_request,
)
from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed, sign
from exchange.envelope.codec import encode_report
from exchange.errors import BadInput, BadSignature, ExchangeError, PolicyDenied, VerificationFailed
from exchange.limits import KIB
from exchange.names import PartyId
from exchange.policy.model import OnwardRule, Purpose
from tests.support.consent import DAY, ITEM, a_grant, a_refusal, a_request, signed_grant, signed_request
from tests.support.envelope_builders import (
    EXCHANGE,
    NOW,
    XA,
    XH,
    XM,
    XO,
    XV,
    a_label,
    a_report,
    a_statement,
    envelope_key,
    statement_key,
)

LATER = NOW + DAY


def keys(party: PartyId, key_id: bytes) -> PublicKey | None:
    """The statement keys that the directory shows."""
    key = statement_key(party).public
    return key if key.key_id == key_id else None


def of(party: str) -> object:
    return lambda key_id: keys(PartyId(party), key_id)


def check(
    grants: Sequence[Signed],
    *,
    statement: Signed | None = None,
    holder: PartyId = XV,
    recipient: PartyId = XO,
    at_ms: int = LATER,
) -> Passed:
    return check_onward(
        statement or a_statement(a_report()),
        grants,
        exchange=EXCHANGE,
        holder=holder,
        recipient=recipient,
        at_ms=at_ms,
        statement_key=keys,
        once_stood=keys,
    )


def test_a_third_party_checks_an_onward_step_from_bytes_and_keys_alone() -> None:
    statement_bytes = encode_signed(a_statement(a_report()))
    grant_bytes = encode_signed(signed_grant())
    directory = {statement_key(party).public.key_id: statement_key(party).public for party in (XA, XV, XO)}
    passed = check_onward(
        decode_signed(statement_bytes, limit=64 * KIB, what="a report"),
        [decode_signed(grant_bytes, limit=64 * KIB, what="a grant")],
        exchange=EXCHANGE,
        holder=XV,
        recipient=XO,
        at_ms=LATER,
        statement_key=lambda party, key_id: directory.get(key_id) if party == XA else None,
        once_stood=lambda _party, _key_id: None,
    )
    assert passed.item_hash == ITEM
    assert passed.report.content == a_report().content
    assert passed.purposes == (Purpose.PROTECT_LIFE,)
    assert passed.grants == (sha256(signed_grant().payload).digest(),)


@pytest.mark.parametrize(
    "grant",
    [
        a_grant(holder=XH),
        a_grant(to=(XM,)),
        a_grant(item_hash=bytes(32)),
        a_grant(originator=XH),
        a_grant(hop=2),
        a_grant(purposes=(Purpose.TRAINING,)),
        a_grant(until_ms=LATER),
    ],
    ids=["holder", "recipient", "item", "originator", "hop", "purpose", "ended"],
)
def test_another_holder_recipient_item_originator_hop_purpose_or_time_is_denied(grant: ConsentGrant) -> None:
    with pytest.raises(PolicyDenied):
        check([signed_grant(grant)])


def test_no_grant_is_denied_and_the_only_originator_needs_none() -> None:
    with pytest.raises(PolicyDenied, match="without the consent of XA"):
        check([])
    assert check([], holder=XA).grants == ()


def test_what_the_label_lets_nobody_pass_on_stays_whoever_consents() -> None:
    report = a_report(label=a_label(onward=OnwardRule.NONE, max_hops=0))
    statement = a_statement(report)
    item = sha256(statement.payload).digest()
    with pytest.raises(PolicyDenied, match="whoever consents"):
        check([signed_grant(a_grant(item_hash=item))], statement=statement)


def test_every_originator_must_consent() -> None:
    statement = a_statement(a_report(label=a_label(originators=(XA, XH))))
    item = sha256(statement.payload).digest()
    of_xa, of_xh = a_grant(item_hash=item), a_grant(item_hash=item, originator=XH)
    with pytest.raises(PolicyDenied, match="consent of XH"):
        check([signed_grant(of_xa)], statement=statement)
    assert len(check([signed_grant(of_xa), signed_grant(of_xh)], statement=statement).grants) == 2


def test_a_grant_that_somebody_else_signed_is_worth_nothing() -> None:
    forged = [
        signed_grant(key=XV),
        replace(signed_grant(), payload=encode_grant(a_grant(hop=1, until_ms=NOW + 90 * DAY))),
        sign(envelope_key(XA), "consent-grant", encode_grant(a_grant()), context=EXCHANGE),
        sign(statement_key(XA), "consent-grant", encode_grant(a_grant()), context="other.example"),
        sign(statement_key(XA), "report", encode_grant(a_grant()), context=EXCHANGE),
        replace(signed_grant(), payload=b"no grant"),
    ]
    for grant in forged:
        with pytest.raises((VerificationFailed, BadInput)):
            check([grant])
        with pytest.raises((VerificationFailed, BadInput)):
            check([signed_grant(), grant])


def test_a_refusal_is_no_consent() -> None:
    with pytest.raises(VerificationFailed):
        check([signed_grant(a_refusal(XO))])
    with pytest.raises(VerificationFailed):
        consent_of(a_refusal(XO), bytes(32))


def test_a_report_that_its_originator_did_not_sign_proves_nothing() -> None:
    payload = encode_report(a_report())
    others = [
        sign(statement_key(XV), "report", payload, context=EXCHANGE),
        sign(statement_key(XA), "report", payload, context="other.example"),
        sign(envelope_key(XA), "report", payload, context=EXCHANGE),
        a_statement(a_report(XV, label=a_label(XA)), statement_key(XV)),
    ]
    for statement in others:
        with pytest.raises(VerificationFailed):
            check([signed_grant()], statement=statement)


def test_opening_names_who_must_have_signed() -> None:
    assert open_request(signed_request(), of(XV), exchange=EXCHANGE, asker=XV) == a_request()  # type: ignore[arg-type]
    assert open_grant(signed_grant(), of(XA), exchange=EXCHANGE, originator=XA) == a_grant()  # type: ignore[arg-type]
    wrong: list[tuple[Signed, str]] = [
        (sign(statement_key(XO), "consent-request", encode_request(a_request()), context=EXCHANGE), XO),
        (signed_request(), XO),
        (sign(statement_key(XV), "consent-grant", encode_request(a_request()), context=EXCHANGE), XV),
    ]
    for signed, asker in wrong:
        with pytest.raises(ExchangeError):
            open_request(signed, of(asker), exchange=EXCHANGE, asker=asker)  # type: ignore[arg-type]
    others = sign(statement_key(XO), "consent-grant", encode_grant(a_grant()), context=EXCHANGE)
    with pytest.raises(VerificationFailed):
        open_grant(others, of(XO), exchange=EXCHANGE, originator=XO)  # type: ignore[arg-type]
    with pytest.raises(BadSignature):
        open_grant(others, of(XA), exchange=EXCHANGE, originator=XA)  # type: ignore[arg-type]


def test_consents_of_a_body_all_hold_or_none_counts() -> None:
    good = open_consents([signed_grant()], keys, exchange=EXCHANGE)
    assert [(each.originator, each.holder, each.recipient, each.item) for each in good] == [(XA, XV, XO, ITEM)]
    with pytest.raises(VerificationFailed):
        open_consents([signed_grant(), signed_grant(key=XV)], keys, exchange=EXCHANGE)
