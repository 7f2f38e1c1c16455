"""Agreement files: a YAML text on its way to the signatures of its founders, and what roots say on it after that.

A signed file is armour of kind AGREEMENT that holds an AgreementText: the Agreement and the EnforcementView that
software derives from it, each with the signatures of the roots that have signed so far. Whoever signs or takes in such
a file derives the view anew: nobody can sign one text and enforce another.
"""

from dataclasses import dataclass

from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed, add_signature, payload_type, sign
from exchange.crypto.signing import CompositeKey
from exchange.errors import BadAgreement, Conflict
from exchange.limits import AGREEMENT_TEXT_BYTES
from exchange.names import ID_BYTES, ExchangeName, PartyId
from exchange.policy.agreement import Agreement, AgreementRef, EnforcementView, make_agreement, view_of
from exchange.policy.changes.codec import ACCESSION, NOTICE, encode_change
from exchange.policy.changes.course import begin
from exchange.policy.changes.model import Accession, AgreementNotice, NoticeAction
from exchange.policy.codec import decode_agreement, encode_agreement, encode_view
from exchange.receipts.codec import decode_agreement_text, encode_agreement_text
from exchange.receipts.model import AgreementText
from exchange.runtime.armour import read_armour, write_armour

KIND = "AGREEMENT"
ARMOURED_BYTES = 4 * AGREEMENT_TEXT_BYTES + 2_048_000
"""A text, its view, and the signatures of 140 parties, in base64."""


@dataclass(frozen=True, slots=True)
class AgreementFile:
    """A signed file, understood: `signed` holds for `agreement` and `view`, whatever its signatures are worth."""

    agreement: Agreement
    view: EnforcementView
    signed: AgreementText


def is_signed_file(data: bytes) -> bool:
    """Tell a signed file from a YAML text."""
    return data.lstrip().startswith(b"-----BEGIN CONCORD")


def open_file(data: bytes) -> AgreementFile:
    """Return what a signed file holds. Signatures are not checked here: that takes a directory.

    Raises:
        MalformedInput: not such a file.
        BadAgreement: the view is not the one that follows from the text.
    """
    _, payload = read_armour(data.decode("ascii", "replace"), {KIND})
    return understood(decode_agreement_text(payload))


def understood(text: AgreementText) -> AgreementFile:
    """Return `text` with its agreement and view, or raise BadAgreement when the view does not follow from it."""
    agreement = decode_agreement(text.agreement.payload)
    view = view_of(agreement)
    if text.view.payload != encode_view(view):
        raise BadAgreement("the enforcement view does not follow from the text", hint="refuse to sign this file")
    return AgreementFile(agreement, view, text)


def first_signature(
    yaml: bytes,
    key: CompositeKey,
    *,
    exchange: ExchangeName,
    previous: Agreement | None = None,
    counters: Agreement | None = None,
) -> AgreementFile:
    """Make an agreement of a YAML text, as the next version or as the answer to a proposal, and sign it first."""
    agreement = make_agreement(yaml, exchange=exchange, previous=previous, counters=counters)
    view = view_of(agreement)
    text = AgreementText(
        agreement=sign(key, payload_type("agreement"), encode_agreement(agreement), context=exchange),
        view=sign(key, payload_type("enforcement-view"), encode_view(view), context=exchange),
    )
    return AgreementFile(agreement, view, text)


def next_signature(file: AgreementFile, key: CompositeKey) -> AgreementFile:
    """Return the file with one more party's signatures; raise Conflict when this key has signed already."""
    if any(signature.key_id == key.public.key_id for signature in file.signed.agreement.signatures):
        raise Conflict("this root has signed the file already", hint="pass it on to the next party")
    exchange = file.agreement.exchange
    text = AgreementText(
        agreement=add_signature(file.signed.agreement, key, context=exchange),
        view=add_signature(file.signed.view, key, context=exchange),
    )
    return AgreementFile(file.agreement, file.view, text)


def signed_accession(view: EnforcementView, key: CompositeKey, *, party: PartyId, now_ms: int) -> Signed:
    """Return the statement by which a party joins an agreement; raise BadAgreement when it may not."""
    course = begin(view)
    if party in view.parties or not course.concerns(party):
        allowed = "anyone else" if view.anyone_may_accede else ", ".join(view.may_accede) or "nobody"
        raise BadAgreement(f"{party} cannot accede to this agreement", hint=f"who may: {allowed}")
    accession = Accession(view.exchange, course.ref, party, now_ms, random_bytes(ID_BYTES))
    return sign(key, ACCESSION, encode_change(accession), context=view.exchange)


def signed_notice(
    ref: AgreementRef,
    key: CompositeKey,
    *,
    exchange: ExchangeName,
    party: PartyId,
    action: NoticeAction,
    text: str,
    now_ms: int,
) -> Signed:
    """Return a notice on an agreement; `ref` is of the agreement as its founders signed it."""
    notice = AgreementNotice(exchange, ref, party, action, text, now_ms, random_bytes(ID_BYTES))
    return sign(key, NOTICE, encode_change(notice), context=exchange)


def written(file: AgreementFile) -> str:
    """Return the file's text."""
    return write_armour(KIND, encode_agreement_text(file.signed))


def must_be_party(file: AgreementFile, party: PartyId) -> None:
    """Raise BadAgreement when `party` is not a party of the agreement."""
    if party not in file.agreement.parties:
        raise BadAgreement(
            f"{party} is not a party of this agreement", hint=f"parties: {', '.join(file.agreement.parties)}"
        )


def signatures_of(signed: Signed) -> int:
    """Return how many signatures a part of the file carries."""
    return len(signed.signatures)
