"""What is due, read in one look at the store: the jobs of a round of sealing, opened, and what they are numbered after.

One read transaction shows all of it, so that a round is made of one state of the store. Keys are read after that has
begun: a report's key is durable before the report is, and one that is destroyed meanwhile opens nothing any more.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import BadInput, VerificationFailed
from exchange.limits import MIB
from exchange.names import PartyId
from nodes import vault
from nodes.approving import counted, proofs
from nodes.attached import files_to_seal
from nodes.passing import REPLACED, grants_for, release_to
from nodes.sealing import Job
from nodes.store import approvals, missing, reports, sending
from nodes.store.approvals import ApprovalRow
from nodes.store.rows import Addressee, Control, Direction, ItemState, Reach, Report
from nodes.waiting import NEVER_MS

STATEMENT_BYTES_MOST = 2 * MIB

KeysOf = Callable[[Sequence[bytes]], Mapping[bytes, bytes]]
"""Return the keys of these items that are not destroyed."""


@dataclass(frozen=True, slots=True)
class Due:
    """What one look at the store gives to a round."""

    jobs: Sequence[Job]
    numbers: Mapping[tuple[str, int], int]
    """The last number used, by recipient and lane."""
    broken: Sequence[Addressee]
    """Rows whose report is gone, or over."""
    full: bool
    """More may be due than was taken."""
    later_ms: int
    """When the first of what is not due yet will be."""


@dataclass(frozen=True, slots=True)
class _Over:
    """Nothing of an item is sealed any more, and where its recipients then stand."""

    state: Reach
    why: str


GONE = _Over(Reach.PURGED, "the report is gone")


def look(
    connection: Connection, *, keys_of: KeysOf, stream: int, me: PartyId, now_ms: int, items: int, urgent_only: bool
) -> Due:
    """Return what is due, of no more than so many items."""
    groups = reports.to_seal(connection, now_ms, items=items, urgent_only=urgent_only)
    later_ms = reports.next_due_ms(connection, after_ms=now_ms) or NEVER_MS
    if not groups:
        return Due((), {}, (), full=False, later_ms=later_ms)
    found = _Found.of(connection, [group[0] for group in groups], keys_of)
    jobs, broken = [], []
    for group in groups:
        try:
            job = _job(connection, group, found, me=me, now_ms=now_ms)
        except (BadInput, VerificationFailed) as error:
            # One damaged record must not hold up the others.
            job = _Over(Reach.REFUSED, f"it cannot be opened here: {error}")
        if isinstance(job, _Over):
            broken += [replace(row, state=job.state, why=job.why) for row in group]
        else:
            jobs.append(job)
    rows = [row for group in groups for row in group]
    numbers = sending.last_numbers(connection, stream, {row.recipient for row in rows})
    full = len(groups) >= items or len(rows) >= reports.ROWS_TO_SEAL
    return Due(jobs, numbers, broken, full, later_ms)


@dataclass(frozen=True, slots=True)
class _Found:
    """What is stored of the items of one round, by item."""

    controls: Mapping[bytes, Control]
    reports: Mapping[bytes, Report]
    keys: Mapping[bytes, bytes]
    approvals: Mapping[bytes, Sequence[ApprovalRow]]

    @classmethod
    def of(cls, connection: Connection, firsts: Sequence[Addressee], keys_of: KeysOf) -> Self:
        """Read it; `firsts` is one row of each item."""
        controls = [row.item for row in firsts if row.kind == EnvelopeKind.CONTROL]
        items = [row.item for row in firsts if row.kind == EnvelopeKind.REPORT]
        return cls(
            sending.controls_of(connection, controls),
            reports.reports_of(connection, items),
            keys_of(items) if items else {},
            approvals.approvals_of_items(connection, items),
        )


def _job(
    connection: Connection,
    group: Sequence[Addressee],
    found: _Found,
    *,
    me: PartyId,
    now_ms: int,
) -> Job | _Over:
    first = group[0]
    if first.kind == EnvelopeKind.CONTROL:
        control = found.controls.get(first.item)
        if control is None:
            return GONE
        signed = decode_signed(control.statement, limit=STATEMENT_BYTES_MOST, what="a stored control statement")
        return Job(first.item, EnvelopeKind.CONTROL, Lane(first.lane), signed, group)
    report = found.reports.get(first.item)
    if report is None or report.state is ItemState.PURGED or first.item not in found.keys:
        return GONE
    if report.direction is Direction.RECEIVED and report.state is ItemState.REPLACED:
        # Sealed before the later version came, and refused by the relay.
        return _Over(Reach.RETRACTED, REPLACED)
    key = found.keys[first.item]
    opened = vault.open_report(key, first.item, report.record)
    consents, grants = grants_for(connection, me=me, item=first.item, label=opened.label, now_ms=now_ms)
    passed_on = release_to([PartyId(row.recipient) for row in group])
    kept = found.approvals.get(first.item, ())
    approved = counted(connection, report, kept)
    again = [(row.recipient, row.envelope) for row in group if row.state is Reach.AGAIN]
    files = files_to_seal(connection, first.item, key, opened)
    return Job(
        item=first.item,
        kind=EnvelopeKind.REPORT,
        lane=Lane(first.lane),
        statement=opened.signed,
        due=group,
        own=report.direction is Direction.SENT,
        label=opened.label,
        key=key,
        label_bytes=opened.statement.label,
        release=passed_on if report.direction is Direction.RECEIVED else opened.release,
        open_release=opened.open_release,
        consents=consents,
        grants=grants,
        withdrawn=report.state is ItemState.WITHDRAWN,
        authored_ms=report.authored_ms,
        approvals=proofs(approved),
        approvals_kept=approvals.marks(kept),
        approved=tuple((row.name, row.stored_ms) for row in approved) if report.direction is Direction.SENT else (),
        refused=frozenset(missing.refused_by(connection, again)) if again else frozenset(),
        blobs=files or (),
        uploaded=files is not None,
    )
