"""From signed statements to consent requests and grants; and whether an item may be passed on, for anybody to check.

Pure. Every function returns the verified value or raises. Opening checks, in this order:
1. the signature, under the keys given, for this payload type and this exchange (BadSignature);
2. the payload: canonical, within its limits (BadInput);
3. that it names this exchange, and the parties that the caller expects (VerificationFailed).
`check_onward` needs neither the first envelope nor an agreement: the originator's statement and the grants are enough.
Whose key may have signed a report that is passed on: `report_signers`; docs/spec/envelope.md, "Keys that have ended".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from exchange.consent.codec import decode_grant, decode_request
from exchange.consent.model import ConsentAnswer, ConsentGrant, ConsentRequest
from exchange.crypto.keys import KeyAlgorithm, PublicKey
from exchange.crypto.signed import KeyLookup, Signed, VerifiedRoots, verify_signed
from exchange.envelope.binding import item_hash
from exchange.envelope.codec import decode_report
from exchange.envelope.model import REPORT_TYPE, ReportStatement
from exchange.errors import PolicyDenied, VerificationFailed
from exchange.names import PartyId
from exchange.policy.binding import consent_needed
from exchange.policy.codec import decode_label
from exchange.policy.consent import Consent
from exchange.policy.decision import Item, Outcome
from exchange.policy.explain import sentence
from exchange.policy.model import Label, Purpose
from exchange.policy.onward import passage

CONSENT_REQUEST = "consent-request"
CONSENT_GRANT = "consent-grant"

StatementKeys = Callable[[PartyId, bytes], PublicKey | None]
"""Gives a party's statement key by its id, as of the directory size that the caller judges at."""


@dataclass(frozen=True, slots=True)
class Passed:
    """Proof that an item may go, or went, from a holder to a recipient."""

    report: ReportStatement = field(repr=False)
    label: Label
    item_hash: bytes
    purposes: tuple[Purpose, ...]
    """What every consent leaves; the agreement between holder and recipient may narrow it further."""
    grants: tuple[bytes, ...]
    """Hashes of the grants that it rests on; none when the holder is the only originator."""


def open_request(
    signed: Signed, lookup: KeyLookup, *, exchange: str, asker: str, seen: VerifiedRoots | None = None
) -> ConsentRequest:
    """Return the request that `asker` signed; `lookup` gives its statement keys only.

    Raises:
        VerificationFailed, BadInput: it does not hold; see above.
    """
    # 1, 2
    request = decode_request(verify_signed(signed, lookup, expected_type=CONSENT_REQUEST, context=exchange, seen=seen))
    # 3
    _expect(request.exchange == exchange, "the request is of another exchange")
    _expect(request.asker == asker, "the request is another partner's")
    return request


def open_grant(
    signed: Signed, lookup: KeyLookup, *, exchange: str, originator: str, seen: VerifiedRoots | None = None
) -> ConsentGrant:
    """Return the answer, a grant or a refusal, that `originator` signed; `lookup` gives its statement keys only.

    That the item is one of the originator's is the caller's check. Raises as `open_request`.
    """
    # 1, 2
    grant = decode_grant(verify_signed(signed, lookup, expected_type=CONSENT_GRANT, context=exchange, seen=seen))
    # 3
    _expect(grant.exchange == exchange, "the grant is of another exchange")
    _expect(grant.originator == originator, "the grant is another originator's")
    return grant


def open_consents(
    grants: Sequence[Signed], statement_key: StatementKeys, *, exchange: str, seen: VerifiedRoots | None = None
) -> tuple[Consent, ...]:
    """Return grants that travelled with an item as the decision takes them; all must hold, and none be a refusal.

    Raises as `open_request`.
    """
    return tuple(_consent(signed, statement_key, exchange, seen) for signed in grants)


def consent_of(grant: ConsentGrant, grant_sha256: bytes) -> Consent:
    """Return a verified grant as the decision takes it; VerificationFailed when it is a refusal."""
    _expect(grant.answer is ConsentAnswer.GRANT, "a refusal permits nothing")
    return Consent(
        grant=grant_sha256,
        item=grant.item_hash,
        originator=grant.originator,
        holder=grant.holder,
        recipient=grant.to[0],
        purposes=grant.purposes,
        until_ms=grant.until_ms,
        hop=grant.hop,
    )


def report_signers(
    originator: PartyId,
    item: bytes,
    grants: Sequence[Signed],
    *,
    holder: PartyId,
    in_force: StatementKeys,
    once_stood: StatementKeys,
    exchange: str,
    seen: VerifiedRoots | None = None,
) -> KeyLookup:
    """Return which of an originator's keys may have signed an item that `holder` sends.

    Those in force; and those that have ended, where a grant to the holder, under a key in force, names this very item:
    so its originator says today that the item is its own, and a thief of an ended key has nobody who says it.
    The lookup raises as `open_request` when a key has ended and a grant does not hold.
    """
    standing, ended = _composite(originator, in_force), _composite(originator, once_stood)

    def lookup(key_id: bytes) -> PublicKey | None:
        if (key := standing(key_id)) is not None:
            return key
        if (key := ended(key_id)) is None:
            return None
        vouching = open_consents(grants, in_force, exchange=exchange, seen=seen)
        vouched = any((each.originator, each.holder, each.item) == (originator, holder, item) for each in vouching)
        return key if vouched else None

    return lookup


def check_onward(
    statement: Signed,
    grants: Sequence[Signed],
    *,
    exchange: str,
    holder: PartyId,
    recipient: PartyId,
    at_ms: int,
    statement_key: StatementKeys,
    once_stood: StatementKeys,
) -> Passed:
    """Return the proof that `holder` may pass a report on to `recipient` at `at_ms`.

    The agreement between the two is not looked at: it may still deny, and it may narrow purposes and hops.
    `once_stood` also gives keys that have ended and were never called stolen.

    Raises:
        VerificationFailed, BadInput: the report or a grant does not hold.
        PolicyDenied: they hold, and do not permit it.
    """
    # Who must have signed stands in the payload, so that is read first; nothing of it is used if the signature fails.
    report = decode_report(statement.payload)
    item = item_hash(statement.payload)
    lookup = report_signers(
        report.originator,
        item,
        grants,
        holder=holder,
        in_force=statement_key,
        once_stood=once_stood,
        exchange=exchange,
    )
    verify_signed(statement, lookup, expected_type=REPORT_TYPE, context=exchange)
    label = decode_label(report.label)
    _expect(report.exchange == exchange, "the report is of another exchange")
    _expect(report.originator in label.originators, "the label does not name who signed the report")
    if not consent_needed(label, holder):
        return Passed(report, label, item, label.purposes, ())
    consents = open_consents(grants, statement_key, exchange=exchange)
    found = passage(
        Item(item_hash=item, consents=consents), label, sender=holder, recipient=recipient, term=None, at_ms=at_ms
    )
    if found.failures:
        failing = (finding for finding in found.findings if finding.outcome is Outcome.FAIL)
        raise PolicyDenied("; ".join(sentence(finding) for finding in failing))
    return Passed(report, label, item, tuple(sorted(found.purposes)), found.grants)


def _consent(signed: Signed, statement_key: StatementKeys, exchange: str, seen: VerifiedRoots | None) -> Consent:
    # As above: the payload names whose key must have signed it.
    originator = decode_grant(signed.payload).originator
    lookup = _composite(originator, statement_key)
    grant = open_grant(signed, lookup, exchange=exchange, originator=originator, seen=seen)
    return consent_of(grant, sha256(signed.payload).digest())


def _composite(party: PartyId, statement_key: StatementKeys) -> KeyLookup:
    def lookup(key_id: bytes) -> PublicKey | None:
        key = statement_key(party, key_id)
        # Consent is evidence for decades: a key of the quick algorithm does not sign it.
        return key if key is not None and key.algorithm is KeyAlgorithm.COMPOSITE_65 else None

    return lookup


def _expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise VerificationFailed(otherwise)
