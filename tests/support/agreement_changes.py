"""Accessions and notices for tests, signed by the roots of directory_builders."""

from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed, sign
from exchange.crypto.signing import CompositeKey
from exchange.names import PartyId, party_id
from exchange.policy.agreement import AgreementRef
from exchange.policy.changes.codec import ACCESSION, NOTICE, encode_change
from exchange.policy.changes.model import Accession, AgreementNotice, Change, NoticeAction
from tests.support.directory_builders import EXCHANGE, party_keys


def an_accession(ref: AgreementRef, name: str, *, at_ms: int) -> Accession:
    """Return the accession of a party."""
    return Accession(EXCHANGE, ref, party_id(name), at_ms, random_bytes(16))


def a_notice(
    ref: AgreementRef, name: str, action: NoticeAction, *, at_ms: int, text: str = "for a reason"
) -> AgreementNotice:
    """Return a notice of a party."""
    return AgreementNotice(EXCHANGE, ref, PartyId(name), action, text, at_ms, random_bytes(16))


def signed_change(change: Change, root: CompositeKey | None = None) -> Signed:
    """Return a change signed by its party's root, or by another key."""
    key = root or party_keys(change.party).root
    name = ACCESSION if isinstance(change, Accession) else NOTICE
    return sign(key, name, encode_change(change), context=EXCHANGE)


def change_bytes(change: Change, root: CompositeKey | None = None) -> bytes:
    """Return a signed change as it travels."""
    return encode_signed(signed_change(change, root))
