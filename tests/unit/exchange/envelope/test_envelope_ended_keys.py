"""A report that is passed on after its originator's key has ended: who vouches for it, and what a thief of it gets.

XA signed with a key that has ended since ("XA/before"); its key in force is statement_key(XA). XV holds the report and
passes it on to XO.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from exchange.consent.codec import encode_grant
from exchange.consent.model import ConsentGrant
from exchange.crypto.keys import PublicKey
from exchange.crypto.padme import frame
from exchange.crypto.signed import Signed, sign
from exchange.crypto.signing import CompositeKey
from exchange.envelope.binding import item_hash
from exchange.envelope.codec import encode_body
from exchange.envelope.model import Body, ReportStatement
from exchange.envelope.open import Opened, open_envelope
from exchange.errors import BadEnvelope
from exchange.names import PartyId
from tests.support.approvals import a_proof
from tests.support.consent import ITEM, a_grant, a_refusal, hashes, signed_grant
from tests.support.envelope_builders import (
    EXCHANGE,
    XA,
    XH,
    XO,
    XV,
    a_label,
    a_report,
    a_sealed,
    a_statement,
    deliver,
    envelope_key,
    open_checks,
    relay_label_of,
    statement_key,
    take_apart,
    to,
    unsafe_seal,
)
from tests.unit.exchange.envelope.test_envelope_open import accept, core_for

BEFORE = statement_key("XA/before")
"""XA's key that has ended: a thief may have it."""


def once(party: PartyId, key_id: bytes, /, *, at_size: int) -> PublicKey | None:
    """XA's key that has ended, and the one in force."""
    assert at_size
    held = {key.public.key_id: key.public for key in (BEFORE, statement_key(XA))}
    return held.get(key_id) if party == XA else None


def nobody(_party: PartyId, _key_id: bytes, /, *, at_size: int) -> PublicKey | None:
    """Every key that has ended was stolen."""
    assert at_size
    return None


def passed_on(
    grants: Sequence[Signed],
    *,
    report: ReportStatement | None = None,
    key: CompositeKey = BEFORE,
    sender: PartyId = XV,
    **body: Any,
) -> bytes:
    """Return the delivery to XO of a report of XA that its sender sends with these grants."""
    report = report or a_report()
    core = core_for(
        take_apart(a_sealed()),
        report,
        sender=sender,
        sender_key=envelope_key(sender).public.key_id,
        label=relay_label_of(report, sender=sender),
        grants=hashes(grants),
    )
    statement = Body(a_statement(report, key), grants=tuple(grants), **body)
    return deliver(accept(unsafe_seal(core, frame(encode_body(statement)), [to(XV), to(XO)])), XO)


def opened(delivery: bytes, once_stood: Any = once) -> Opened:
    return open_envelope(delivery, context=open_checks(XO, once_stood=once_stood))


def refused(delivery: bytes, once_stood: Any = once) -> str:
    with pytest.raises(BadEnvelope) as caught:
        opened(delivery, once_stood)
    assert caught.value.step == 8
    return str(caught.value)


def test_a_report_whose_key_has_ended_is_passed_on_under_a_grant_that_names_it() -> None:
    found = opened(passed_on([signed_grant()]))
    assert found.report == a_report() and found.item_hash == ITEM
    assert found.statement.signatures[0].key_id == BEFORE.public.key_id
    # Also a grant for somebody else says whose the item is; whether it may go to XO is decided in step 9.
    assert opened(passed_on([signed_grant(a_grant(to=(XH,)))])).item_hash == ITEM


def test_its_originator_itself_signs_with_a_key_in_force_only() -> None:
    assert "step 8" in refused(passed_on([], sender=XA))
    assert "step 8" in refused(passed_on([signed_grant()], sender=XA))


def test_no_grant_vouches_for_what_was_signed_with_a_key_that_was_stolen_or_never_stood() -> None:
    refused(passed_on([signed_grant()]), once_stood=nobody)
    refused(passed_on([signed_grant()], key=statement_key("XA/never")))


def test_a_thief_of_an_ended_key_who_holds_something_of_its_owner_cannot_forge_another_report() -> None:
    """XV has XA's old key, and a true grant for a true report of XA: neither says that the forgery is XA's."""
    forged = a_report(content=b'{"type":"bundle","id":"bundle--00000000-0000-4000-8000-000000000000"}')
    item = item_hash(a_statement(forged).payload)
    refused(passed_on([signed_grant()], report=forged))
    # A grant that the thief makes is under the key that it has, or under its own.
    granted = a_grant(item_hash=item)
    for key in (BEFORE, statement_key(XV)):
        signed = sign(key, "consent-grant", encode_grant(granted), context=EXCHANGE)
        refused(passed_on([signed], report=forged))
        refused(passed_on([signed_grant(), signed], report=forged))
    # With XA's own word for the forgery it would go: so XA grants nothing that it does not hold (nodes/consenting.py).
    assert opened(passed_on([signed_grant(granted)], report=forged)).item_hash == item


@pytest.mark.parametrize(
    "grant",
    [a_grant(originator=XH), a_grant(holder=XH), a_grant(item_hash=bytes(32)), a_refusal()],
    ids=["another originator's", "to another holder", "for another item", "a refusal"],
)
def test_nothing_but_the_originators_grant_to_this_sender_for_this_item_vouches(grant: ConsentGrant) -> None:
    refused(passed_on([signed_grant(grant)]))


def test_a_product_is_vouched_for_by_who_signed_it_and_not_by_a_source() -> None:
    """XA made it from something of XH, whose grant is for the source: it does not know what XA made of it."""
    source = bytes([7]) * 32
    made = a_report(label=a_label(originators=(XA, XH), derived_from=(source,)))
    item = item_hash(a_statement(made).payload)
    of_source = signed_grant(a_grant(originator=XH, item_hash=source))
    label = a_label(originators=(XA, XH), derived_from=(source,))
    core = core_for(
        take_apart(a_sealed()),
        made,
        sender=XV,
        sender_key=envelope_key(XV).public.key_id,
        label=relay_label_of(made, sender=XV, label=label),
    )

    def sent(*grants: Signed) -> bytes:
        given = replace(core, grants=hashes(grants))
        body = Body(a_statement(made, BEFORE), grants=grants)
        return deliver(accept(unsafe_seal(given, frame(encode_body(body)), [to(XV), to(XO)])), XO)

    refused(sent(of_source))
    refused(sent(of_source, signed_grant(a_grant(item_hash=source))))
    assert opened(sent(of_source, signed_grant(a_grant(item_hash=item)))).item_hash == item


def test_no_grant_vouches_for_an_approval_that_a_key_which_has_ended_certified() -> None:
    """A thief of the key could certify operators of its own, and add approvals that nobody gave."""
    standing = a_proof("rana", ITEM)
    assert opened(passed_on([signed_grant()], approvals=(standing,))).approvals
    ended = replace(standing, cert=sign(BEFORE, "operator-cert", standing.cert.payload, context=EXCHANGE))
    refused(passed_on([signed_grant()], approvals=(ended,)))
