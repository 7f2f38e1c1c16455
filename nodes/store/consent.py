"""Requests for consent, their answers, grants, and whom grants let have an item, on an open transaction."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from exchange.names import HASH_BYTES
from exchange.runtime.upsert import insert_or_keep, insert_or_replace
from nodes.store.consent_rows import AnswerState, KeptAnswer, KeptGrant, KeptRequest, Onward, RequestState
from nodes.store.rule_tables import consent_answer, consent_grant, consent_request, onward

AnyRow = Row[Any]
"""A row of a select; Any because columns differ."""

UNSETTLED = (RequestState.NEW, RequestState.OPEN)
DROPPED_AT_ONCE = 1_000

_request = consent_request.c
_answer = consent_answer.c
_grant = consent_grant.c

# -- requests ----------------------------------------------------------------------------------------------------------


def add_request(connection: Connection, request: KeptRequest, answers: Sequence[KeptAnswer]) -> bool:
    """Store a request and who has to answer it; say whether it is new, a repeat changes nothing."""
    if request_of(connection, request.hash) is not None:
        return False
    connection.execute(insert(consent_request), [asdict(request)])
    connection.execute(insert(consent_answer), [asdict(answer) for answer in answers])
    return True


def request_of(connection: Connection, hash_: bytes) -> KeptRequest | None:
    """Return one request, if it is here."""
    found = connection.execute(select(consent_request).where(_request.hash == hash_)).one_or_none()
    return None if found is None else _to_request(found)


def requests_with_prefix(connection: Connection, prefix: str, *, limit: int, skip: int = 0) -> dict[bytes, bytes]:
    """Return requests whose hexadecimal form begins with `prefix`, each with the item that it is about."""
    least = bytes.fromhex(prefix.ljust(2 * HASH_BYTES, "0"))
    most = bytes.fromhex(prefix.ljust(2 * HASH_BYTES, "f"))
    wanted = select(_request.hash, _request.item).where(_request.hash >= least, _request.hash <= most)
    page = wanted.order_by(_request.hash).limit(limit).offset(skip)
    return {row.hash: row.item for row in connection.execute(page)}


def list_requests(
    connection: Connection, *, limit: int, unsettled_only: bool, after: KeptRequest | None = None
) -> list[KeptRequest]:
    """Return requests, asked here and asked of this partner, newest first; `after` is the last one of a page before."""
    wanted = select(consent_request).order_by(_request.stored_ms.desc(), _request.hash).limit(limit)
    if after is not None:
        same_time = (_request.stored_ms == after.stored_ms) & (_request.hash > after.hash)
        wanted = wanted.where((_request.stored_ms < after.stored_ms) | same_time)
    if unsettled_only:
        wanted = wanted.where(_request.state.in_(UNSETTLED))
    return [_to_request(row) for row in connection.execute(wanted)]


def new_requests(connection: Connection, *, limit: int) -> list[KeptRequest]:
    """Return requests that the node has not looked at, oldest first."""
    wanted = select(consent_request).where(_request.state == RequestState.NEW)
    return [_to_request(row) for row in connection.execute(wanted.order_by(_request.stored_ms).limit(limit))]


def count_unsettled(connection: Connection, asker: str, now_ms: int) -> int:
    """Return how many requests of a partner wait: to be looked at, or for an answer while they have not ended."""
    waits = (_request.state == RequestState.NEW) | (
        (_request.state == RequestState.OPEN) & (_request.until_ms > now_ms)
    )
    wanted = select(func.count()).where(_request.asker == asker, waits)
    return int(connection.execute(wanted.select_from(consent_request)).scalar_one())


def askers_waiting(connection: Connection, now_ms: int) -> set[str]:
    """Return the partners whose requests wait for an operator here."""
    wanted = (
        select(_request.asker)
        .distinct()
        .where(_request.ours.is_(False), _request.state == RequestState.OPEN, _request.until_ms > now_ms)
    )
    return set(connection.execute(wanted).scalars())


def set_state(connection: Connection, hash_: bytes, state: RequestState) -> None:
    """Change where a request stands."""
    connection.execute(update(consent_request).where(_request.hash == hash_).values(state=state))


def pass_on(connection: Connection, hash_: bytes) -> None:
    """Note that what is granted is to be passed on."""
    connection.execute(update(consent_request).where(_request.hash == hash_).values(pass_on=True))


def withdraw_requests(connection: Connection, item: bytes) -> None:
    """End what this node asks about an item that is retracted or replaced."""
    ours = _request.ours.is_(True) & _request.state.in_(UNSETTLED)
    connection.execute(update(consent_request).where(_request.item == item, ours).values(state=RequestState.WITHDRAWN))


def open_requests(connection: Connection) -> list[KeptRequest]:
    """Return requests of others that wait for an operator here, oldest first."""
    wanted = select(consent_request).where(_request.ours.is_(False), _request.state == RequestState.OPEN)
    return [_to_request(row) for row in connection.execute(wanted.order_by(_request.stored_ms, _request.hash))]


def drop_settled(connection: Connection, before_ms: int) -> int:
    """Forget requests from before a time that came to nothing and wait for nobody; return how many.

    What was granted is evidence, and stays.
    """
    ended = _request.state.not_in(UNSETTLED) | (_request.until_ms <= before_ms)
    return _drop(connection, _came_to_nothing().where(_request.stored_ms < before_ms, ended))


def drop_beyond(connection: Connection, asker: str, *, most: int) -> int:
    """Forget the oldest settled requests of a partner that came to nothing, but for so many; return how many."""
    settled = _came_to_nothing().where(_request.asker == asker, _request.state.not_in(UNSETTLED))
    return _drop(
        connection, settled.order_by(_request.stored_ms.desc(), _request.hash).offset(most).limit(DROPPED_AT_ONCE)
    )


def _came_to_nothing() -> Select[tuple[bytes]]:
    granted = select(_answer.request).where(_answer.state == AnswerState.GRANTED)
    return select(_request.hash).where(_request.hash.not_in(granted))


def _drop(connection: Connection, chosen: Select[tuple[bytes]]) -> int:
    hashes = list(connection.execute(chosen).scalars())
    connection.execute(delete(consent_grant).where(_grant.request.in_(hashes)))
    connection.execute(delete(consent_answer).where(_answer.request.in_(hashes)))
    connection.execute(delete(consent_request).where(_request.hash.in_(hashes)))
    return len(hashes)


def _to_request(row: AnyRow) -> KeptRequest:
    values = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's columns
    return KeptRequest(**{**values, "state": RequestState(row.state)})


# -- answers -----------------------------------------------------------------------------------------------------------


def answers_of(connection: Connection, requests: Sequence[bytes]) -> dict[bytes, list[KeptAnswer]]:
    """Return where these requests stand, by originator and partner."""
    wanted = select(consent_answer).where(_answer.request.in_(list(requests)))
    found: dict[bytes, list[KeptAnswer]] = {hash_: [] for hash_ in requests}
    for row in connection.execute(wanted.order_by(_answer.originator, _answer.recipient)):
        values = dict(row._mapping)  # noqa: SLF001 - as above
        found[row.request].append(KeptAnswer(**{**values, "state": AnswerState(row.state)}))
    return found


def add_grant(connection: Connection, grant: KeptGrant, recipients: Sequence[str], *, now_ms: int) -> bool:
    """Store a signed answer to a request and what it says of these partners; say whether it changes anything.

    A refusal takes back no grant, and a request that everybody has answered is closed.
    """
    before = connection.execute(select(_grant.hash).where(_grant.hash == grant.hash)).first()
    insert_or_keep(connection, consent_grant, [asdict(grant)])
    state = AnswerState.GRANTED if grant.granted else AnswerState.REFUSED
    rows = update(consent_answer).where(
        _answer.request == grant.request,
        _answer.originator == grant.originator,
        _answer.recipient.in_(list(recipients)),
        _answer.state != AnswerState.GRANTED,
    )
    connection.execute(rows.values(state=state, grant=grant.hash, answered_ms=now_ms))
    waiting = select(_answer.request).where(_answer.request == grant.request, _answer.state == AnswerState.WAITING)
    if connection.execute(waiting.limit(1)).first() is None:
        settled = update(consent_request).where(_request.hash == grant.request, _request.state.in_(UNSETTLED))
        connection.execute(settled.values(state=RequestState.CLOSED))
    return before is None


def count_granted(connection: Connection, item: bytes, asker: str) -> int:
    """Return how many grants for an item this partner has had from here."""
    wanted = select(func.count()).where(_grant.item == item, _grant.holder == asker, _grant.granted.is_(True))
    return int(connection.execute(wanted.select_from(consent_grant)).scalar_one())


def grants_to(connection: Connection, holder: str, items: Sequence[bytes], now_ms: int) -> list[KeptGrant]:
    """Return grants that a holder has for any of these items and that have not ended."""
    wanted = select(consent_grant).where(
        _grant.holder == holder, _grant.item.in_(list(items)), _grant.granted.is_(True), _grant.until_ms > now_ms
    )
    return [KeptGrant(**dict(row._mapping)) for row in connection.execute(wanted)]  # noqa: SLF001 - as above


def grants_with(connection: Connection, hashes: Sequence[bytes]) -> dict[bytes, KeptGrant]:
    """Return signed answers by hash."""
    wanted = select(consent_grant).where(_grant.hash.in_(list(hashes)))
    return {row.hash: KeptGrant(**dict(row._mapping)) for row in connection.execute(wanted)}  # noqa: SLF001 - as above


# -- whom grants let have an item --------------------------------------------------------------------------------------


def add_onward(connection: Connection, rows: Sequence[Onward]) -> None:
    """Note whom a grant lets have an item; a later grant for the same step takes its place."""
    insert_or_replace(connection, onward, [asdict(row) for row in rows])


def partners_onward(connection: Connection) -> set[str]:
    """Return the partners whom any grant of this node lets have something."""
    return set(connection.execute(select(onward.c.recipient).distinct()).scalars())


def onward_of(connection: Connection, item: bytes) -> list[Onward]:
    """Return whom this node's grants let have an item, nearest first."""
    wanted = select(onward).where(onward.c.item == item).order_by(onward.c.hop, onward.c.recipient, onward.c.holder)
    return [Onward(**dict(row._mapping)) for row in connection.execute(wanted)]  # noqa: SLF001 - as above
