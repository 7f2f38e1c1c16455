"""What of this party is where by its own consent: how an asker came to an item, and whom a grant lets have it.

The originator counts hops from its own records alone: 0 for whom it sent an item itself, more for whom its grants let
have it. Whom a grant names stands in the audience of the item, and gets its retraction, whatever the holder does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection

from exchange.consent.codec import decode_request
from exchange.consent.model import ConsentAnswer, ConsentGrant, ConsentRequest
from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import Signed
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import Conflict
from exchange.limits import STATEMENT_BYTES
from exchange.names import PartyId
from exchange.policy.audience import Audience
from exchange.policy.decision import Item, Rules
from exchange.policy.fields import instant_text
from exchange.policy.model import OnwardRule
from exchange.policy.steps import in_force
from exchange.policy.terms import Term
from nodes import vault
from nodes.clearance import Own
from nodes.receipts import add_control
from nodes.store import consent, reports
from nodes.store.consent_rows import AnswerState, KeptGrant, KeptRequest, Onward, RequestState
from nodes.store.rows import Addressee, Direction, Event, ItemState, Reach, Report

LANE = Lane.PRIORITY
"""Of all that is asked and answered, whatever it is about: the lane tells nobody whether an item is known."""

HELD = frozenset({Reach.SEALED, Reach.PROMISED, Reach.RECEIPTED, Reach.AGAIN})
"""Recipients in these states have an item, or are about to."""


@dataclass(frozen=True, slots=True)
class Source:
    """An item that a request is about and that is here, as the store has it."""

    report: Report
    row: Addressee | None
    """Where it stands with the asker."""
    hops: tuple[int, ...]
    """Of the grants that let the asker have it."""
    withdrawn: bool
    granted: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A signed answer that is ready to be stored."""

    grant: ConsentGrant
    signed: Signed


def sources_of(connection: Connection, request: ConsentRequest) -> list[Source]:
    """Return which of the items of a request are here; the same is read whether one is or not."""
    found = []
    for item in request.items:
        report = reports.report_of(connection, item)
        row = reports.addressee(connection, item, request.asker)
        onward = consent.onward_of(connection, item)
        granted = consent.count_granted(connection, item, request.asker)
        withdrawn = reports.withdrawals_of(connection, [item])
        if report is not None:
            hops = tuple(each.hop for each in onward if each.recipient == request.asker)
            found.append(Source(report, row, hops, (item, report.originator) in withdrawn, granted))
    return found


def look_again(connection: Connection, item: bytes) -> None:
    """Let the node look again at requests that wait here and are about an item, or what derives from it."""
    for kept in consent.open_requests(connection):
        if item in request_of(kept).items:
            consent.set_state(connection, kept.hash, RequestState.NEW)


def request_of(kept: KeptRequest) -> ConsentRequest:
    """Return a stored request, which was verified when it came."""
    return decode_request(decode_signed(kept.statement, limit=STATEMENT_BYTES, what="a stored request").payload)


def is_own(report: Report, opened: vault.Opened | None, me: PartyId) -> bool:
    """Say whether this party is an originator of an item."""
    return report.direction is Direction.SENT or (opened is not None and me in opened.label.originators)


def own_of(source: Source, opened: vault.Opened | None, asker: PartyId, rules: Rules, now_ms: int) -> Own:
    """Return an own item as a ruling takes it."""
    report, row = source.report, source.row
    sent = row is not None and row.kind == EnvelopeKind.REPORT and bool(row.envelope) and row.state in HELD
    term = _term(row, rules, now_ms) if sent and row is not None else None
    direct = sent if report.direction is Direction.SENT else asker in (report.originator, report.sender)
    return Own(
        item=report.item,
        label=opened.label if opened else None,
        release=opened.release if opened else None,
        depth=0 if direct else min(source.hops, default=None),
        term=term,
        withdrawn=source.withdrawn,
        replaced=report.state is ItemState.REPLACED,
        fellows=_fellows(report, opened, asker, rules, now_ms)
        if opened is not None and term is not None
        else frozenset(),
        granted=source.granted,
    )


def _fellows(report: Report, opened: vault.Opened, asker: PartyId, rules: Rules, now_ms: int) -> frozenset[PartyId]:
    """Return whom the community by way of which an item went to the asker reaches now, as far as it sees them."""
    if opened.label.onward < OnwardRule.COMMUNITY or opened.release is None:
        return frozenset()
    item = Item.to_send(opened.label, opened.release, authored_ms=report.authored_ms)
    return Audience(item, PartyId(report.originator), rules, now_ms).fellows(asker)


def _term(row: Addressee, rules: Rules, now_ms: int) -> Term | None:
    """Return the term under which an item was sent, if its agreement is still in force."""
    found = rules.agreements.get(row.basis.commitment) if row.basis else None
    if found is None or in_force(found, rules.exchange, now_ms):
        return None
    return next((term for term in found.view.terms if term.clause == row.clause), None)


def store_answers(
    connection: Connection,
    *,
    request: bytes,
    answers: Sequence[Answer],
    items: Sequence[bytes],
    by: str,
    now_ms: int,
    again: bool,
) -> None:
    """Store the answers to a request and what follows from them, all or nothing; `again` answers refused ones too.

    Raises:
        Conflict: it was answered meanwhile, or the item retracted.
    """
    stands = {each.recipient: each.state for each in consent.answers_of(connection, [request])[request]}
    free = {AnswerState.WAITING, AnswerState.REFUSED} if again else {AnswerState.WAITING}
    if any(stands[partner] not in free for answer in answers for partner in answer.grant.to):
        raise Conflict("the request was answered meanwhile", hint="concord consent list")
    if any(answer.grant.answer is ConsentAnswer.GRANT for answer in answers):
        _not_withdrawn(connection, items)
    kept = consent.request_of(connection, request)
    if kept is not None and kept.state is RequestState.NEW:
        consent.set_state(connection, request, RequestState.OPEN)
    for answer in answers:
        _store_answer(connection, answer, items, by, now_ms)


def _not_withdrawn(connection: Connection, items: Sequence[bytes]) -> None:
    withdrawn = reports.withdrawals_of(connection, items)
    for item in items:
        report = reports.report_of(connection, item)
        if report is None or (item, report.originator) in withdrawn:
            raise Conflict("the item was retracted meanwhile", hint="concord consent list")


def _store_answer(connection: Connection, answer: Answer, items: Sequence[bytes], by: str, now_ms: int) -> None:
    grant, granted = answer.grant, answer.grant.answer is ConsentAnswer.GRANT
    kept = KeptGrant(
        hash=sha256(answer.signed.payload).digest(),
        request=grant.request_sha256,
        item=grant.item_hash,
        originator=grant.originator,
        holder=grant.holder,
        until_ms=grant.until_ms,
        granted=granted,
        stored_ms=now_ms,
        statement=encode_signed(answer.signed),
    )
    consent.add_grant(connection, kept, grant.to, now_ms=now_ms)
    add_control(connection, answer.signed, [grant.holder], lane=LANE, now_ms=now_ms)
    story = "consented" if granted else "consent-refused"
    detail = f"{said(grant)}, by {by}"
    reports.add_events(connection, [Event(item, now_ms, story, grant.holder, detail) for item in items])
    if granted and grant.to[0] != grant.originator:
        for item in items:
            _reach(connection, Onward(item, grant.to[0], grant.holder, grant.hop, kept.hash, grant.until_ms, now_ms))


def _reach(connection: Connection, onward: Onward) -> None:
    """Note whom a grant lets have an item."""
    consent.add_onward(connection, [onward])
    row = reports.addressee(connection, onward.item, onward.recipient)
    if row is None:
        made = Addressee(onward.item, onward.recipient, int(EnvelopeKind.REPORT), int(Lane.FLASH), Reach.ONWARD)
        reports.add_addressees(connection, [made])
    elif row.state in (Reach.DENIED, Reach.REFUSED):
        reports.change_addressees(connection, onward.item, [onward.recipient], state=Reach.ONWARD)


def said(grant: ConsentGrant) -> str:
    """Return what an answer says, in words."""
    to = f"to {', '.join(grant.to)}"
    if grant.answer is ConsentAnswer.REFUSE:
        return f"{to}: {grant.reason}" if grant.reason else to
    purposes = ", ".join(purpose.word for purpose in grant.purposes)
    return f"{to} until {instant_text(grant.until_ms)}, for {purposes}, hop {grant.hop}"
