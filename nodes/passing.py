"""Hear what originators answer, and pass on what they let go.

1. answers are stored in the transaction of the frame that brought them. Once every originator has let a partner have
   the item, that same transaction gives the partner a place in the item's audience: nothing is between the two that a
   crash could take away
2. the sender seals what waits there as it seals everything (nodes/sealing.py), each partner in an envelope of its own,
   with the grants; whether the agreement with that partner permits it is decided then, by the usual steps
A retraction ends what waits, and open requests with it; so does a later version, because a grant is for one version and
what its originator has corrected is not passed on as it was (nodes/inbox.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from sqlalchemy import Connection

from exchange.consent.codec import decode_grant
from exchange.consent.model import ConsentAnswer, ConsentGrant
from exchange.consent.verify import consent_of
from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import Signed
from exchange.envelope.model import EnvelopeKind
from exchange.errors import NotAllowed, NotFound
from exchange.limits import STATEMENT_BYTES
from exchange.names import ID_BYTES, PartyId
from exchange.policy.binding import consent_needed
from exchange.policy.consent import Consent
from exchange.policy.model import Label, Release, Target
from nodes import alarms
from nodes.onward import look_again, said
from nodes.store import consent, reports
from nodes.store.consent_rows import AnswerState, KeptAnswer, KeptGrant, KeptRequest, RequestState
from nodes.store.rows import Addressee, Direction, Event, ItemState, Reach

AGAIN = frozenset({Reach.DENIED, Reach.REFUSED, Reach.RETRACTED})
"""Where an item stands with a partner that is passed on to once more."""


REPLACED = "a later version took its place before it was passed on"


@dataclass(frozen=True, slots=True)
class Heard:
    """What an answer means beyond the store."""

    alarms: Sequence[tuple[str, str, str]] = ()
    passes_on: bool = False
    """Something waits to be sealed."""


def hear_grant(connection: Connection, grant: ConsentGrant, signed: Signed, *, me: PartyId, now_ms: int) -> Heard:
    """Apply a verified answer to the request that it is about."""
    kept = consent.request_of(connection, grant.request_sha256)
    asked = consent.answers_of(connection, [grant.request_sha256])[grant.request_sha256]
    named = {each.recipient for each in asked if each.originator == grant.originator}
    if kept is None or not kept.ours or grant.holder != me or not named.issuperset(grant.to):
        text = f"{grant.originator} answers a request for consent that was not made"
        return Heard([(alarms.SENDER, f"{grant.originator}/consent-grants", text)])
    granted = grant.answer is ConsentAnswer.GRANT
    answer = KeptGrant(
        hash=sha256(signed.payload).digest(),
        request=kept.hash,
        item=grant.item_hash,
        originator=grant.originator,
        holder=grant.holder,
        until_ms=grant.until_ms,
        granted=granted,
        stored_ms=now_ms,
        statement=encode_signed(signed),
    )
    if not consent.add_grant(connection, answer, grant.to, now_ms=now_ms):
        return Heard()
    story = "consented" if granted else "consent-refused"
    reports.add_events(connection, [Event(kept.item, now_ms, story, grant.originator, said(grant))])
    if not granted or not kept.pass_on or kept.state is RequestState.WITHDRAWN:
        return Heard()
    return Heard(passes_on=bool(_pass_on(connection, kept, "the node", now_ms)))


def pass_on_now(connection: Connection, hash_: bytes, by: str, now_ms: int) -> list[str]:
    """Pass an item on to everybody whom every originator has granted it for; return them.

    Raises:
        NotFound, NotAllowed: as `to_pass_on`.
    """
    kept = to_pass_on(connection, hash_)
    consent.pass_on(connection, hash_)
    return _pass_on(connection, kept, by, now_ms)


def to_pass_on(connection: Connection, hash_: bytes) -> KeptRequest:
    """Return a request of this node of which something may be passed on.

    Raises:
        NotFound: no such request of this node.
        NotAllowed: nobody is granted yet, or the report is withdrawn, destroyed or replaced.
    """
    kept = consent.request_of(connection, hash_)
    if kept is None or not kept.ours:
        raise NotFound("no such request of this node", hint="concord consent list")
    report = reports.report_of(connection, kept.item)
    if report is None or report.state is not ItemState.CURRENT:
        raise NotAllowed(f"the report is {report.state if report else 'gone'}", hint="concord report trace")
    if not granted_by_all(consent.answers_of(connection, [hash_])[hash_]):
        raise NotAllowed("there is nobody whom every originator has consented to", hint="concord consent list")
    return kept


def not_yet_there(connection: Connection, item: bytes, partners: Sequence[PartyId]) -> list[PartyId]:
    """Return the partners to whom an item is not on its way from here."""
    rows = {row.recipient: row.state for row in reports.addressees_of(connection, item)}
    return [partner for partner in partners if rows.get(partner, Reach.DENIED) in AGAIN]


def _pass_on(connection: Connection, kept: KeptRequest, by: str, now_ms: int) -> list[str]:
    """Give a place in the item's audience to everybody for whom every originator has granted; return them.

    Whoever has it, or gets it already, keeps its place.
    """
    report = reports.report_of(connection, kept.item)
    if report is None or report.state is not ItemState.CURRENT:
        return []
    partners = granted_by_all(consent.answers_of(connection, [kept.hash])[kept.hash])
    fresh = []
    for partner in partners:
        row = reports.addressee(connection, kept.item, partner)
        # Alone: no recipient of the same envelope learns of another, nor of its grants.
        waiting = Addressee(kept.item, partner, int(EnvelopeKind.REPORT), report.lane, Reach.WAITING, alone=True)
        if row is None:
            reports.add_addressees(connection, [waiting])
        elif row.state in AGAIN:
            reports.replace_addressees(connection, [replace(waiting, number=row.number)])
        else:
            continue
        detail = f"request {kept.hash.hex()[:12]}, by {by}"
        fresh.append(Event(kept.item, now_ms, "passing-on", partner, detail))
    reports.add_events(connection, fresh)
    return partners


def end_passing_on(connection: Connection, item: bytes, why: str = "retracted before it was sent") -> list[str]:
    """Send nobody what its originator has retracted or replaced; return who waited for it.

    Requests for it are over too; those of others the node looks at again.
    """
    waiting = [row.recipient for row in reports.addressees_of(connection, item) if row.state is Reach.WAITING]
    reports.change_addressees(connection, item, waiting, state=Reach.RETRACTED, why=why)
    consent.withdraw_requests(connection, item)
    look_again(connection, item)
    return waiting


def end_replaced(connection: Connection, thread: bytes, originator: str, now_ms: int) -> None:
    """Pass on no version of another's report that a later one has replaced."""
    for version in reports.versions(connection, thread, originator):
        if version.direction is Direction.RECEIVED and version.state is ItemState.REPLACED:
            stopped = end_passing_on(connection, version.item, REPLACED)
            reports.add_events(
                connection, [Event(version.item, now_ms, "not-passed-on", partner, REPLACED) for partner in stopped]
            )


def granted_by_all(answers: Sequence[KeptAnswer]) -> list[str]:
    """Return the partners for whom every originator that was asked has granted."""
    denied = {each.recipient for each in answers if each.state is not AnswerState.GRANTED}
    return sorted({each.recipient for each in answers} - denied)


# -- what the sender takes along ---------------------------------------------------------------------------------------


def grants_for(
    connection: Connection, *, me: PartyId, item: bytes, label: Label, now_ms: int
) -> tuple[tuple[Consent, ...], dict[bytes, Signed]]:
    """Return the grants to this party that may concern an item, verified when they came; nothing when none is needed.

    As values for the decision, and as the statements that travel, by the hash that names them.
    """
    if not consent_needed(label, me):
        return (), {}
    statements = {
        each.hash: decode_signed(each.statement, limit=STATEMENT_BYTES, what="a stored grant")
        for each in consent.grants_to(connection, me, (item, *label.derived_from), now_ms)
    }
    consents = tuple(consent_of(decode_grant(signed.payload), hash_) for hash_, signed in statements.items())
    return consents, statements


def release_to(partners: Sequence[PartyId]) -> Release:
    """Return the audience of what is passed on: the partners whom grants name, one by one."""
    return Release(tuple(Target(partner=partner) for partner in sorted(partners)), salt=bytes(ID_BYTES))
