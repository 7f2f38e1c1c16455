"""From an agreement's text to what software enforces of it, and to the commitment that the directory shows."""

import hashlib

from exchange.crypto.random import random_bytes
from exchange.errors import BadAgreement, MalformedInput
from exchange.names import ID_BYTES, ExchangeName
from exchange.policy.agreement_text import AgreementTerms, parse_agreement_text
from exchange.policy.codec import encode_agreement, encode_view
from exchange.policy.terms import (
    Agreement,
    AgreementRef,
    AgreementStatus,
    EnforcementView,
    HeldItems,
    NationalCeiling,
    PersonalDataRule,
    Term,
)

__all__ = [
    "Agreement",
    "AgreementRef",
    "AgreementStatus",
    "EnforcementView",
    "HeldItems",
    "NationalCeiling",
    "PersonalDataRule",
    "Term",
    "commitment",
    "make_agreement",
    "payload_sha256",
    "promises_of",
    "purge_held_at_ms",
    "ref_of",
    "view_of",
]

_HELD = {
    HeldItems.PURGE: "destroyed within {} days",
    HeldItems.KEEP_UNDER_TERMS: "kept under these terms",
    HeldItems.RETURN: "returned within {} days, and then destroyed",
}
DAY_MS = 24 * 60 * 60 * 1000


def make_agreement(
    text: bytes,
    *,
    exchange: ExchangeName,
    agreement_id: bytes | None = None,
    previous: Agreement | None = None,
    counters: Agreement | None = None,
) -> Agreement:
    """Return the agreement that `text` drafts, with a fresh salt, and a fresh id unless one is given or continued.

    `counters` is a proposal that this one answers: the same agreement in the same version, with another text.

    Raises:
        BadAgreement: the text does not parse, or follows neither `previous` nor `counters`.
    """
    terms = parse_agreement_text(text)
    if previous is not None and counters is not None:
        raise BadAgreement("a counter takes what it follows from the proposal that it answers", hint="name one of both")
    before = previous or counters
    if before is not None and (before.exchange != exchange or agreement_id not in {None, before.agreement_id}):
        raise BadAgreement("a new version or a counter keeps the exchange and the id of the one before")
    expected = counters.version if counters else previous.version + 1 if previous else 1
    if terms.version != expected:
        raise BadAgreement(
            f"version {terms.version} does not follow {previous.version if previous else 'nothing'}"
            if counters is None
            else f"version {terms.version} does not answer version {counters.version}",
            place="version",
            hint="the first version is 1; each later one names the one before; a counter keeps the number",
        )
    return Agreement(
        exchange=exchange,
        agreement_id=before.agreement_id if before else agreement_id or random_bytes(ID_BYTES),
        version=terms.version,
        previous_sha256=counters.previous_sha256 if counters else payload_sha256(previous) if previous else b"",
        parties=terms.parties,
        text=text,
        salt=random_bytes(ID_BYTES),
        counters_sha256=payload_sha256(counters) if counters else b"",
    )


def payload_sha256(agreement: Agreement) -> bytes:
    """Return how a later version, or a counter, names this one."""
    return hashlib.sha256(_payload(agreement)).digest()


def view_of(agreement: Agreement) -> EnforcementView:
    """Return what software enforces of the agreement; every party derives the same from the same bytes.

    Raises:
        BadAgreement: the text does not parse, or says something else than the fields beside it.
    """
    terms = parse_agreement_text(agreement.text)
    if (terms.parties, terms.version) != (agreement.parties, agreement.version):
        raise BadAgreement("the parties or the version differ from what the text says")
    view = EnforcementView(
        exchange=agreement.exchange,
        agreement_id=agreement.agreement_id,
        version=agreement.version,
        parties=agreement.parties,
        terms=terms.terms,
        valid_from_ms=terms.valid_from_ms,
        valid_until_ms=terms.valid_until_ms,
        text_sha256=hashlib.sha256(agreement.salt + _payload(agreement)).digest(),
        salt=agreement.salt,
        may_accede=terms.may_accede,
        anyone_may_accede=terms.anyone_may_accede,
        held_items=terms.held_items,
        held_within_days=terms.held_within_days,
    )
    ref_of(view)  # nobody signs a view that others could not decode
    return view


def ref_of(view: EnforcementView) -> AgreementRef:
    """Return how slots and the directory name this view.

    Raises:
        BadAgreement: it cannot be encoded.
    """
    try:
        return AgreementRef(view.agreement_id, view.version, commitment(encode_view(view), view.salt))
    except MalformedInput as error:
        raise BadAgreement(str(error)) from error


def purge_held_at_ms(view: EnforcementView, *, ended_ms: int) -> int:
    """Return when a node must have destroyed what it holds under an agreement that ended at `ended_ms`; 0 means never.

    What is to be returned is destroyed too, once its days are over: that it was returned is for people to see to.
    """
    if view.held_items is HeldItems.KEEP_UNDER_TERMS:
        return 0
    return ended_ms + view.held_within_days * DAY_MS


def promises_of(agreement: Agreement) -> list[str]:
    """Return what only a person can keep, for people; none of it counts as enforcement.

    Raises:
        BadAgreement: the text does not parse.
    """
    return promises_in(parse_agreement_text(agreement.text))


def promises_in(terms: AgreementTerms) -> list[str]:
    """Return what only a person can keep of an agreement's text, for people; none of it counts as enforcement."""
    return [*terms.promises, held_sentence(terms.held_items, terms.held_within_days)]


def held_sentence(rule: HeldItems, within_days: int) -> str:
    """Say what becomes of held items when an agreement ends."""
    return f"When it ends, held items are {_HELD[rule].format(within_days)}."


def commitment(view_bytes: bytes, salt: bytes) -> bytes:
    """Return what the directory shows of an agreement: SHA-256(salt || EnforcementView bytes)."""
    return hashlib.sha256(salt + view_bytes).digest()


def _payload(agreement: Agreement) -> bytes:
    try:
        return encode_agreement(agreement)
    except MalformedInput as error:
        raise BadAgreement(str(error)) from error
