"""Accessions and notices as a node keeps them, and the alarm that a notice of another party is until acknowledged."""

from dataclasses import dataclass
from hashlib import sha256

from exchange.names import PartyId
from exchange.policy.changes.model import AgreementNotice, Change, NoticeAction
from nodes import alarms
from nodes.store.rows import ACCESSION, KeptChange

SAID = {
    NoticeAction.SUSPEND: "has suspended agreement",
    NoticeAction.RESUME: "has resumed agreement",
    NoticeAction.TERMINATE: "has left agreement",
}
SUBJECT_DIGITS = 12


@dataclass(frozen=True, slots=True)
class HeardNotice:
    """A notice of the party that sent it, signed by its root."""

    notice: AgreementNotice
    statement: bytes
    """Signed bytes."""
    payload: bytes


def kept_change(change: Change, statement: bytes, payload: bytes, *, place: int, now_ms: int) -> KeptChange:
    """Return a change as it is stored; `statement` are its signed bytes."""
    return KeptChange(
        hash=sha256(payload).digest(),
        commitment=change.agreement.commitment,
        place=place,
        party=change.party,
        action=int(change.action) if isinstance(change, AgreementNotice) else ACCESSION,
        at_ms=change.at_ms,
        stored_ms=now_ms,
        acknowledged_ms=0,
        statement=statement,
    )


def needs_acknowledgement(change: KeptChange, me: PartyId) -> bool:
    """Say whether an operator here has yet to take note of a notice."""
    return change.action != ACCESSION and change.party != me and not change.acknowledged_ms


def notice_subject(hash_: bytes) -> str:
    """Return what the alarm of a notice is about."""
    return hash_.hex()[:SUBJECT_DIGITS]


def notice_alarm(notice: AgreementNotice, hash_: bytes) -> tuple[str, str, str]:
    """Return the alarm that lasts until an operator has acknowledged a notice: kind, subject, text."""
    name = notice.agreement.id.hex()[:SUBJECT_DIGITS]
    text = f"{notice.party} {SAID[notice.action]} {name}: {notice.text} (concord agreement acknowledge {name})"
    return alarms.NOTICE, notice_subject(hash_), text
