"""Epochs of communities, memberships on their way, and own reports that name a community, on an open transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, select, update

from exchange.runtime.upsert import insert_or_keep
from nodes.store import reports, tables
from nodes.store.rows import Addressee, EpochState, ItemState, KeptEpoch, NamingItem, Reach
from nodes.store.rule_tables import community_delivery, community_epoch, community_item
from nodes.waiting import WAITING

_epoch = community_epoch.c
_delivery = community_delivery.c
_item = community_item.c

# -- epochs ------------------------------------------------------------------------------------------------------------


def add_epoch(connection: Connection, epoch: KeptEpoch) -> bool:
    """Keep an epoch and say whether it is new; a repeat changes nothing."""
    if epoch_of(connection, epoch.shown) is not None:
        return False
    connection.execute(insert(community_epoch), [asdict(epoch)])
    return True


def epoch_of(connection: Connection, shown: bytes) -> KeptEpoch | None:
    """Return one epoch by what the directory shows of it."""
    found = connection.execute(select(community_epoch).where(_epoch.shown == shown)).one_or_none()
    return None if found is None else _to_epoch(found)


def epochs(connection: Connection) -> list[KeptEpoch]:
    """Return every epoch of every community, those of one community ascending."""
    wanted = select(community_epoch).order_by(_epoch.community, _epoch.epoch, _epoch.stored_ms)
    return [_to_epoch(row) for row in connection.execute(wanted)]


def epochs_in(connection: Connection, states: Sequence[EpochState]) -> list[KeptEpoch]:
    """Return the epochs in one of these states, those of one community ascending."""
    wanted = select(community_epoch).where(_epoch.state.in_(list(states)))
    return [_to_epoch(row) for row in connection.execute(wanted.order_by(_epoch.community, _epoch.epoch))]


def set_state(connection: Connection, shown: bytes, state: EpochState, *, was: Sequence[EpochState]) -> None:
    """Note how far this node is with an epoch, if it is as far as `was`; what is announced waits for no membership."""
    found = (_epoch.shown == shown, _epoch.state.in_(list(was)))
    changed = connection.execute(update(community_epoch).where(*found).values(state=state)).rowcount
    if changed:
        connection.execute(delete(community_delivery).where(_delivery.shown == shown))


def _to_epoch(row: Row[Any]) -> KeptEpoch:
    values = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's columns
    return KeptEpoch(**{**values, "state": EpochState(row.state)})


# -- memberships on their way ------------------------------------------------------------------------------------------


def add_deliveries(connection: Connection, shown: bytes, items: Sequence[bytes]) -> None:
    """Note which control statements carry the memberships of an epoch."""
    insert_or_keep(connection, community_delivery, [{"item": item, "shown": shown} for item in items])


def on_the_way(connection: Connection, shown: bytes) -> int:
    """Return how many memberships of an epoch could yet reach the relay without anything else changing.

    Who has no prekey, or is suspended, is not waited for.
    """
    row = tables.audience.c
    moving = (row.state == Reach.SEALED) | and_(row.state == Reach.WAITING, row.why.not_like(f"{WAITING}%"))
    joined = tables.audience.join(community_delivery, row.item == _delivery.item)
    wanted = select(row.recipient).select_from(joined).where(_delivery.shown == shown, moving)
    return len(connection.execute(wanted).all())


# -- own reports that name a community ---------------------------------------------------------------------------------


def add_item(connection: Connection, item: bytes, epochs: Mapping[bytes, int]) -> None:
    """Note the communities that a new report names, each with the epoch for whose members it is addressed."""
    rows = [{"community": community, "item": item, "epoch": epoch} for community, epoch in epochs.items()]
    insert_or_keep(connection, community_item, rows)


def items_before(connection: Connection, community: bytes, epoch: int, *, limit: int) -> list[NamingItem]:
    """Return current reports that name a community and were not addressed anew since before an epoch."""
    report = tables.report.c
    joined = community_item.join(tables.report, _item.item == report.item)
    wanted = (
        select(_item.item, _item.epoch, report.lane, report.authored_ms)
        .select_from(joined)
        .where(_item.community == community, _item.epoch < epoch, report.state == ItemState.CURRENT)
        .order_by(report.number)
        .limit(limit)
    )
    return [NamingItem(row.item, row.epoch, row.lane, row.authored_ms) for row in connection.execute(wanted)]


def address_anew(
    connection: Connection, community: bytes, epoch: int, items: Sequence[bytes], more: Sequence[Addressee]
) -> list[Addressee]:
    """Address reports to further recipients, and note that the members of this epoch have been; return who is new."""
    known = reports.rows_of(connection, sorted({each.item for each in more}))
    fresh = [each for each in more if (each.item, each.recipient) not in known]
    for item in {each.item for each in fresh}:
        reports.add_addressees(connection, [each for each in fresh if each.item == item])
    named = (_item.community == community, _item.item.in_(list(items)))
    connection.execute(update(community_item).where(*named).values(epoch=epoch))
    return fresh
