"""Agreements with their accessions, notices and acknowledgements, on an open transaction."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, delete, select, update

from exchange.runtime.upsert import insert_or_keep, insert_or_replace
from nodes.store import tables
from nodes.store.rows import ANNOUNCED, KeptAgreement, KeptChange
from nodes.store.rule_tables import agreement_change, notice_acknowledgement

_agreement = tables.agreement.c
_change = agreement_change.c
_acknowledgement = notice_acknowledgement.c


def put_agreement(connection: Connection, agreement: KeptAgreement) -> None:
    """Keep an agreement in its newest state of signatures."""
    insert_or_replace(connection, tables.agreement, [asdict(agreement)])


def set_published(connection: Connection, commitment: bytes) -> None:
    """Note that the relay has taken a view."""
    connection.execute(update(tables.agreement).where(_agreement.commitment == commitment).values(published=True))


def agreements(connection: Connection) -> list[KeptAgreement]:
    """Return every agreement of this party that is known here."""
    wanted = select(tables.agreement).order_by(_agreement.agreement_id, _agreement.version)
    return [KeptAgreement(**dict(row._mapping)) for row in connection.execute(wanted)]  # noqa: SLF001


def with_text(connection: Connection) -> list[tuple[bytes, bytes]]:
    """Return id and commitment of every agreement whose text is known here, by id and version."""
    wanted = select(_agreement.agreement_id, _agreement.commitment).where(_agreement.text != b"")
    found = connection.execute(wanted.order_by(_agreement.agreement_id, _agreement.version))
    return [(row.agreement_id, row.commitment) for row in found]


def agreement_of(connection: Connection, commitment: bytes) -> KeptAgreement | None:
    """Return one agreement by its commitment."""
    found = connection.execute(select(tables.agreement).where(_agreement.commitment == commitment)).one_or_none()
    return None if found is None else KeptAgreement(**dict(found._mapping))  # noqa: SLF001


def announce(connection: Connection, change: KeptChange) -> bool:
    """Keep a change that the directory need not show yet; say whether it is new. A repeat changes nothing."""
    if change_of(connection, change.hash) is not None:
        return False
    insert_or_keep(connection, agreement_change, [asdict(change)])
    return True


def place_changes(connection: Connection, changes: Sequence[KeptChange]) -> list[KeptChange]:
    """Keep changes at the places that the directory gives them and return those that were not announced here before.

    What was announced or acknowledged stays so.
    """
    new = [change for change in changes if announce(connection, change)]
    for change in changes:
        connection.execute(update(agreement_change).where(_change.hash == change.hash).values(place=change.place))
    return new


def drop_change(connection: Connection, hash_: bytes) -> None:
    """Forget a change that the directory will never show."""
    connection.execute(delete(agreement_change).where(_change.hash == hash_, _change.place == ANNOUNCED))


def change_of(connection: Connection, hash_: bytes) -> KeptChange | None:
    """Return one change by the hash of its payload."""
    found = connection.execute(select(agreement_change).where(_change.hash == hash_)).one_or_none()
    return None if found is None else KeptChange(**dict(found._mapping))  # noqa: SLF001


def changes(connection: Connection) -> list[KeptChange]:
    """Return every change, by agreement; those that the directory shows in its order, the others before them."""
    wanted = select(agreement_change).order_by(_change.commitment, _change.place, _change.at_ms)
    return [KeptChange(**dict(row._mapping)) for row in connection.execute(wanted)]  # noqa: SLF001


def announced_by(connection: Connection, party: str) -> list[KeptChange]:
    """Return a party's changes that the directory does not show yet, oldest first."""
    wanted = select(agreement_change).where(_change.party == party, _change.place == ANNOUNCED)
    return [KeptChange(**dict(row._mapping)) for row in connection.execute(wanted.order_by(_change.at_ms))]  # noqa: SLF001


def acknowledge(connection: Connection, hash_: bytes, at_ms: int) -> None:
    """Note that an operator here has acknowledged a notice; the first time counts."""
    wanted = update(agreement_change).where(_change.hash == hash_, _change.acknowledged_ms == 0)
    connection.execute(wanted.values(acknowledged_ms=at_ms))


def add_acknowledgement(connection: Connection, *, notice: bytes, party: str, at_ms: int, statement: bytes) -> None:
    """Keep a partner's acknowledgement of a notice of this party; a repeat changes nothing."""
    row = {"notice": notice, "party": party, "at_ms": at_ms, "statement": statement}
    insert_or_keep(connection, notice_acknowledgement, [row])


def acknowledgements(connection: Connection) -> dict[tuple[bytes, str], int]:
    """Return when each partner acknowledged each notice of this party."""
    wanted = select(_acknowledgement.notice, _acknowledgement.party, _acknowledgement.at_ms)
    return {(row.notice, row.party): row.at_ms for row in connection.execute(wanted)}
