"""Check the statement inside an opened envelope against its header (step 8 of exchange/envelope/open.py).

a. The statement is of a type that the envelope's kind carries; attachment keys and grants are those of the header.
b. A control statement: one signature, by a statement key of the outer sender.
c. A report parses strictly, names this exchange, and carries one signature, by a statement key of its originator: one
   in force, or, of what is passed on, one that has ended, when a grant vouches for the item (`report_keys` says which).
d. The originator is among those that the label names. Unless the outer sender is the only one that it names, the
   envelope carries consent grants, which are judged in step 9.
e. The relay label in the header is the one that the full label gives, its hash included.
f. A release that comes along is the one whose hash the label names, and says that its roster is open.
g. The report names exactly the attachments whose keys came along, in their order.
h. Every approval that comes along holds, for exactly this statement, by an operator whom its originator certified with
   a key in force: no grant vouches for approvals.

Pure. Whoever holds the statement later needs none of the envelope to verify it again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from exchange.approvals.model import Approved
from exchange.approvals.verify import verified_approvals
from exchange.crypto.keys import KeyAlgorithm, PublicKey
from exchange.crypto.signed import KeyLookup, Signed, VerifiedRoots, verify_signed
from exchange.envelope import rules
from exchange.envelope.binding import item_hash
from exchange.envelope.blob import attachments_of
from exchange.envelope.codec import decode_report
from exchange.envelope.model import REPORT_TYPE, Body, EnvelopeCore, EnvelopeKind, ReportStatement
from exchange.errors import MalformedInput, VerificationFailed
from exchange.names import PartyId
from exchange.policy.binding import consent_needed
from exchange.policy.codec import check_relay_label, decode_label, decode_release, release_sha256
from exchange.policy.model import Label

StatementKeys = Callable[[PartyId, bytes], PublicKey | None]
"""Gives a party's statement key by its id, as of the directory size and time that count."""


@dataclass(frozen=True, slots=True)
class Signing:
    """Who is said to have signed a report, and what came along that may vouch for it."""

    originator: PartyId
    item: bytes
    sender: PartyId
    """Of the envelope."""
    grants: tuple[Signed, ...]
    """Not verified."""


ReportKeys = Callable[[Signing], KeyLookup]
"""Gives the statement keys that may have signed a report; the lookup may raise when a grant does not hold."""


@dataclass(frozen=True, slots=True)
class Inner:
    """A statement that holds; everything is empty for a control statement."""

    report: ReportStatement | None = None
    label: Label | None = None
    label_bytes: bytes = field(default=b"", repr=False)
    approvals: tuple[Approved, ...] = ()


def open_statement(
    core: EnvelopeCore,
    body: Body,
    statement_key: StatementKeys,
    *,
    report_keys: ReportKeys,
    seen: VerifiedRoots | None,
) -> Inner:
    """Return what the statement says when a to h hold.

    Raises:
        BadInput, VerificationFailed: one of them does not.
    """
    rules.check_body(core, body)
    if tuple(sha256(grant.payload).digest() for grant in body.grants) != core.grants:
        raise MalformedInput("the grants are not those that the header names")
    if core.kind is EnvelopeKind.CONTROL:
        signed = body.statement
        lookup = _keys_of(core.sender, statement_key)
        verify_signed(signed, lookup, expected_type=signed.payload_type, context=core.exchange, seen=seen)
        return Inner()
    report = _open_report(core, body, report_keys, seen)
    label = decode_label(report.label)
    _check_originator(core, report, label)
    check_relay_label(label, report.label, core.label, sender=core.sender)
    _check_release(label, body.release)
    if report.attachments != attachments_of(body.blobs):
        raise VerificationFailed("the attachments are not those that the originator signed for")
    approvals = verified_approvals(
        body.approvals,
        _keys_of(report.originator, statement_key),
        exchange=core.exchange,
        party=report.originator,
        item_hash=item_hash(body.statement.payload),
        seen=seen,
    )
    return Inner(report, label, report.label, approvals)


def _open_report(
    core: EnvelopeCore, body: Body, report_keys: ReportKeys, seen: VerifiedRoots | None
) -> ReportStatement:
    # Who must have signed stands in the payload, so that is read first; nothing of it is used if the signature fails.
    report = decode_report(body.statement.payload)
    lookup = report_keys(Signing(report.originator, item_hash(body.statement.payload), core.sender, body.grants))
    verify_signed(body.statement, lookup, expected_type=REPORT_TYPE, context=core.exchange, seen=seen)
    if report.exchange != core.exchange:
        raise VerificationFailed(f"the report was made for the exchange {report.exchange}")
    return report


def _keys_of(party: PartyId, statement_key: StatementKeys) -> KeyLookup:
    def lookup(key_id: bytes) -> PublicKey | None:
        key = statement_key(party, key_id)
        # Statements are evidence for decades: a key of the quick algorithm does not sign them.
        return key if key is not None and key.algorithm is KeyAlgorithm.COMPOSITE_65 else None

    return lookup


def _check_originator(core: EnvelopeCore, report: ReportStatement, label: Label) -> None:
    if report.originator not in label.originators:
        raise VerificationFailed(f"the label does not name {report.originator} as an originator")
    if consent_needed(label, core.sender) and not core.grants:
        others = ", ".join(party for party in label.originators if party != core.sender)
        raise VerificationFailed(f"{core.sender} sends a report of {others} without a consent grant")


def _check_release(label: Label, release: bytes) -> None:
    if not release:
        return
    opened = decode_release(release)
    if release_sha256(release, opened.salt) != label.release_sha256:
        raise VerificationFailed("the release is not the one that the label names")
    if not opened.open_roster:
        raise VerificationFailed("a release came along that stays with its originator")
