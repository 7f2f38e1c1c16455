"""Prekey bundles, enforcement views with their changes, epochs of communities and join requests on SQL."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from exchange.names import PartyId
from exchange.relay.store import tables
from exchange.runtime.upsert import insert_or_keep


@dataclass(frozen=True, slots=True)
class ShownEpoch:
    """An epoch of a community, and what the directory shows of it from entry `number` on."""

    community: bytes
    epoch: int
    owner: PartyId
    shown: bytes
    number: int


class SqlRegistry:
    """What the directory names by hash, and who asked to join, within one open transaction."""

    def __init__(self, connection: Connection) -> None:
        """Work on `connection`; its transaction is the caller's."""
        self._connection = connection

    def put_bundle(self, hash_: bytes, party: PartyId, bundle: bytes) -> None:
        """Keep a signed bundle of prekeys; a repeat changes nothing."""
        insert_or_keep(self._connection, tables.prekey_bundle, [{"hash": hash_, "party": party, "bundle": bundle}])

    def drop_bundles(self, party: PartyId, keep: Sequence[bytes]) -> None:
        """Delete a party's bundles other than those whose hashes are given."""
        bundle = tables.prekey_bundle.c
        self._connection.execute(
            delete(tables.prekey_bundle).where(bundle.party == party, bundle.hash.not_in(list(keep)))
        )

    def bundles(self, hashes: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return signed bundles by payload hash; one that is unknown is left out."""
        bundle = tables.prekey_bundle.c
        wanted = select(bundle.hash, bundle.bundle).where(bundle.hash.in_(list(hashes)))
        return {row.hash: row.bundle for row in self._connection.execute(wanted)}

    def put_view(self, commitment: bytes, number: int, view: bytes) -> None:
        """Keep a signed enforcement view, shown by directory entry `number`; a repeat changes nothing."""
        row = {"commitment": commitment, "number": number, "view": view}
        insert_or_keep(self._connection, tables.agreement_view, [row])

    def view_number(self, commitment: bytes) -> int | None:
        """Return the index of the directory entry that shows a commitment."""
        view = tables.agreement_view.c
        return self._connection.execute(select(view.number).where(view.commitment == commitment)).scalar_one_or_none()

    def views_since(self, number: int) -> list[bytes]:
        """Return signed views that directory entry `number` or a later one shows, in their order."""
        view = tables.agreement_view.c
        return list(
            self._connection.execute(select(view.view).where(view.number >= number).order_by(view.number)).scalars()
        )

    def view(self, commitment: bytes) -> bytes | None:
        """Return one signed view."""
        view = tables.agreement_view.c
        return self._connection.execute(select(view.view).where(view.commitment == commitment)).scalar_one_or_none()

    def put_change(self, number: int, hash_: bytes, commitment: bytes, change: bytes) -> None:
        """Keep a signed accession or notice, shown by directory entry `number`; a repeat changes nothing.

        `hash_` is of its payload, `commitment` of the view as the founders signed it.
        """
        row = {"number": number, "hash": hash_, "commitment": commitment, "change": change}
        insert_or_keep(self._connection, tables.agreement_change, [row])

    def change_number(self, hash_: bytes) -> int | None:
        """Return the index of the directory entry that shows what a change made of its agreement."""
        change = tables.agreement_change.c
        return self._connection.execute(select(change.number).where(change.hash == hash_)).scalar_one_or_none()

    def changes_since(self, number: int) -> list[bytes]:
        """Return signed changes that directory entry `number` or a later one shows, in their order."""
        change = tables.agreement_change.c
        wanted = select(change.change).where(change.number >= number).order_by(change.number)
        return list(self._connection.execute(wanted).scalars())

    def changes_of(self, commitment: bytes, *, first: int, limit: int) -> list[bytes]:
        """Return signed changes of one agreement in their order, from number `first` (of 0) on."""
        change = tables.agreement_change.c
        wanted = select(change.change).where(change.commitment == commitment).order_by(change.number)
        return list(self._connection.execute(wanted.offset(first).limit(limit)).scalars())

    def add_epoch(self, epoch: ShownEpoch, notice: bytes) -> None:
        """Keep an epoch with its owner's signed notice; one that is there already fails the transaction."""
        row = {
            "community": epoch.community,
            "epoch": epoch.epoch,
            "owner": epoch.owner,
            "shown": epoch.shown,
            "number": epoch.number,
            "notice": notice,
        }
        self._connection.execute(insert(tables.community), [row])

    def epochs(self, *, start: int = 0) -> list[ShownEpoch]:
        """Return the epochs that directory entries from index `start` on show, in their order."""
        found = tables.community.c
        columns = (found.community, found.epoch, found.owner, found.shown, found.number)
        wanted = select(*columns).where(found.number >= start).order_by(found.number)
        return [
            ShownEpoch(row.community, row.epoch, PartyId(row.owner), row.shown, row.number)
            for row in self._connection.execute(wanted)
        ]

    def put_join(self, party: PartyId, request: bytes, at_ms: int) -> None:
        """Keep the request under which a party joins; a repeat changes nothing."""
        insert_or_keep(self._connection, tables.join_request, [{"party": party, "request": request, "at_ms": at_ms}])

    def join(self, party: PartyId) -> bytes | None:
        """Return the request under which a party joins."""
        join = tables.join_request.c
        return self._connection.execute(select(join.request).where(join.party == party)).scalar_one_or_none()
