"""Store what was received: exactly once, in one transaction a frame, before anything is acknowledged.

11. a repeat of an envelope changes nothing and is receipted again; another envelope under the same number or the same
    id is kept, and both headers are proof against their sender (nodes/contradiction.py)
A report is one item however often it comes: it is stored once, by item hash; without its content where a retraction
came before it. The newest version of a report is current, whatever the order of arrival. What control statements change
stands in nodes/heard.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from sqlalchemy import Connection

from exchange.approvals.codec import encode_proof
from exchange.crypto.codec import encode_signed
from exchange.envelope.binding import envelope_hash
from exchange.envelope.codec import decode_delivery
from exchange.envelope.model import Lane
from exchange.errors import ExchangeError
from exchange.policy.holding import Holding
from exchange.receipts.model import (
    ReceiptStatus,
    RetractionAction,
)
from nodes import alarms, gaps, vault
from nodes.contradiction import Twice
from nodes.effects import Effects, UsedTwice
from nodes.heard import apply_controls
from nodes.opening import Bad, Good
from nodes.passing import end_replaced
from nodes.stix import read_report
from nodes.store import approvals, blobs, provenance, readers, receiving, reports, sending, shown
from nodes.store.approvals import ApprovalRow
from nodes.store.blobs import KeptBlob
from nodes.store.decisions import add_decisions
from nodes.store.provenance import Provenance
from nodes.store.rows import (
    Came,
    Cursor,
    DecisionRow,
    Direction,
    Event,
    ItemState,
    KeptPromise,
    Missing,
    MissingState,
    QueuedReceipt,
    Report,
    SetAside,
    Withdrawal,
)
from nodes.store.shown import KeptShown


@dataclass(frozen=True, slots=True)
class Sealed:
    """A received report as it is stored, and the STIX id that it is found by."""

    title: bytes
    record: bytes
    stix_digest: bytes
    readers: bytes
    """Its reader rule, sealed under the master key."""


def seal_received(good: Good, key: bytes, master: bytes) -> Sealed:
    """Return a received report sealed under its own key. Costs some milliseconds for a large one: run in a thread."""
    opened = good.opened
    stix_id, title = "", ""
    if opened.report is not None:
        try:
            stix = read_report(opened.report.content)
        except ExchangeError:
            # What a partner signed is kept as it is; a list shows it without a title.
            stix = None
        stix_id, title = (stix.stix_id, stix.title) if stix is not None else ("", "")
    sealed_title, record = vault.seal_report(
        key,
        opened.item_hash,
        title=title,
        signed=encode_signed(opened.statement),
        release=opened.body.release,
        holding=_holding(good),
    )
    rule = vault.seal_readers(master, opened.item_hash, opened.label.readers if opened.label is not None else None)
    return Sealed(sealed_title, record, vault.stix_digest(master, stix_id) if stix_id else b"", rule)


def _holding(good: Good) -> Holding:
    """Return what a permitted report is held under, as this node decided."""
    decision = good.decided.decision if good.decided else None
    if good.decided is None or decision is None or decision.obligations is None or decision.basis is None:
        raise ValueError("only a permitted report is stored")
    question = good.decided.question
    return Holding(
        sender=question.sender,
        basis=decision.basis,
        clause=decision.clause,
        item=replace(question.item, label=None),
        directory_size=good.promise.directory_size,
        received_ms=good.promise.received_ms,
        decided_ms=question.now_ms,
        obligations=decision.obligations,
    )


def store_frame(
    connection: Connection,
    *,
    goods: Sequence[Good],
    bads: Sequence[Bad],
    sealed: Mapping[bytes, Sealed],
    denied: Sequence[DecisionRow],
    cursors: Sequence[Cursor],
    files: Mapping[bytes, Sequence[KeptBlob]] | None = None,
    now_ms: int,
) -> Effects:
    """Store one frame, in the order in which it came; `sealed` holds what is new, by item, `denied` why some failed.

    `files` are the attachments that each envelope names, by its hash.
    """
    effects = Effects()
    known = receiving.known_envelopes(connection, [good.opened.envelope_hash for good in goods])
    once = list({good.opened.envelope_hash: good for good in goods}.values())
    fresh = [good for good in once if good.opened.envelope_hash not in known]
    came, headers = [_came(good, now_ms) for good in once], [_shown(good, now_ms) for good in once]
    shown.add_shown(connection, [header for header in headers if header.envelope not in known])
    # Repeats are compared as well: a crash may have come between the first time and the alarm.
    effects.twice += _used_twice(connection, once, came, headers)
    came = [each for each in came if each.envelope not in known]
    receiving.add_came(connection, came)
    away = [row for bad in bads if (row := _turned_away(bad, now_ms)) is not None]
    effects.alarms += gaps.arrived(connection, came, away, now_ms)
    sending.add_promises(connection, [_promise(good) for good in fresh])
    effects.alarms += [(alarms.DIRECTORY, "DIRECTORY_DIFFERS", good.differs) for good in fresh if good.differs]
    # Retractions of this very frame are applied first: a report behind its retraction becomes a tombstone.
    apply_controls(connection, [good for good in fresh if good.control is not None], effects, now_ms)
    _store_reports(connection, [good for good in fresh if good.control is None], sealed, effects, now_ms)
    _note_files(connection, [good for good in fresh if good.control is None], files or {}, effects)
    _receipt_again(connection, [good for good in goods if good.opened.envelope_hash in known], effects, now_ms)
    _set_aside(connection, bads, effects, now_ms)
    add_decisions(connection, denied)
    receiving.set_cursors(connection, cursors)
    receiving.queue_receipts(connection, effects.receipts)
    reports.add_events(connection, effects.events)
    return effects


def _used_twice(
    connection: Connection, goods: Sequence[Good], came: Sequence[Came], headers: Sequence[KeptShown]
) -> list[UsedTwice]:
    numbers = receiving.others_with_number(connection, came)
    ids = shown.others_with_id(connection, headers)
    if not numbers and not ids:
        return []
    kept = shown.shown_of(connection, [*numbers, *numbers.values(), *ids, *ids.values()])
    by_hash = {good.opened.envelope_hash: good.opened for good in goods}
    found = []
    for envelope, other in numbers.items():
        core, seq = by_hash[envelope].core, by_hash[envelope].leaf.pair_seq
        text = f"{core.sender} used number {seq} of lane {core.lane.name} twice"
        found.append(UsedTwice(core.sender, Twice.NUMBER, text, kept.get(other), kept.get(envelope)))
    for envelope, other in ids.items():
        core = by_hash[envelope].core
        text = f"{core.sender} used envelope id {core.envelope_id.hex()[:12]} twice"
        found.append(UsedTwice(core.sender, Twice.ID, text, kept.get(other), kept.get(envelope)))
    return found


def _shown(good: Good, now_ms: int) -> KeptShown:
    opened = good.opened
    return KeptShown(
        envelope=opened.envelope_hash,
        sender=opened.core.sender,
        envelope_id=opened.core.envelope_id,
        stored_ms=now_ms,
        header=encode_signed(opened.header_signed),
        place=opened.leaf_index,
        leaf=opened.leaf_bytes,
        path=b"".join(opened.path),
    )


def _came(good: Good, now_ms: int) -> Came:
    opened = good.opened
    return Came(
        envelope=opened.envelope_hash,
        sender=opened.core.sender,
        item=opened.item_hash,
        kind=int(opened.core.kind),
        lane=int(opened.core.lane),
        stream=opened.leaf.stream,
        seq=opened.leaf.pair_seq,
        position=good.waiting.position,
        stored_ms=now_ms,
    )


def _turned_away(bad: Bad, now_ms: int) -> Missing | None:
    """Return the number of an envelope that opened and failed a later check: sent once more it would fail again."""
    opened = bad.opened
    if opened is None:
        return None
    return Missing(
        sender=opened.core.sender,
        stream=opened.leaf.stream,
        lane=int(opened.core.lane),
        seq=opened.leaf.pair_seq,
        state=MissingState.TURNED_AWAY,
        since_ms=now_ms,
        envelope=opened.envelope_hash,
    )


def _promise(good: Good) -> KeptPromise:
    return KeptPromise(
        envelope=good.opened.envelope_hash,
        item=good.opened.item_hash,
        log_index=good.promise.log_index,
        directory_size=good.promise.directory_size,
        received_ms=good.promise.received_ms,
        ours=False,
        promise=encode_signed(good.opened.promise),
    )


def _receipt_again(connection: Connection, goods: Sequence[Good], effects: Effects, now_ms: int) -> None:
    again = [good for good in goods if good.control is None]
    states = reports.states_of(connection, [good.opened.item_hash for good in again]) if again else {}
    effects.destroyed |= _purged(states)
    effects.receipts += [
        _receipt(good, _STATUS[states[good.opened.item_hash]], now_ms)
        for good in again
        if good.opened.item_hash in states
    ]


def _purged(states: Mapping[bytes, ItemState]) -> set[bytes]:
    return {item for item, state in states.items() if state is ItemState.PURGED}


_STATUS = {
    ItemState.CURRENT: ReceiptStatus.STORED,
    ItemState.REPLACED: ReceiptStatus.STORED,
    ItemState.WITHDRAWN: ReceiptStatus.RETRACTED,
    ItemState.REJECTED: ReceiptStatus.STORED,
    ItemState.PURGED: ReceiptStatus.PURGED,
}


def _receipt(good: Good, status: ReceiptStatus, now_ms: int) -> QueuedReceipt:
    return QueuedReceipt(
        sender=good.opened.core.sender,
        envelope=good.opened.envelope_hash,
        item=good.opened.item_hash,
        status=int(status),
        at_ms=now_ms,
        urgent=good.opened.core.lane is Lane.FLASH,
    )


# -- reports -----------------------------------------------------------------------------------------------------------


def _store_reports(
    connection: Connection, goods: Sequence[Good], sealed: Mapping[bytes, Sealed], effects: Effects, now_ms: int
) -> None:
    if not goods:
        return
    items = [good.opened.item_hash for good in goods]
    states = reports.states_of(connection, items)
    withdrawals = reports.withdrawals_of(connection, items)
    new: dict[bytes, Report] = {}
    for good in goods:
        item, sender = good.opened.item_hash, good.opened.core.sender
        words = "once more"
        if item not in states:
            originator = good.opened.report.originator if good.opened.report else ""
            withdrawal = withdrawals.get((item, originator))
            report = new[item] = _row(good, sealed.get(item), withdrawal, now_ms)
            states[item] = report.state
            words = "" if withdrawal is None else "it was retracted before it came"
            approvals.add_approvals(connection, _approvals(good, now_ms))
        position = good.promise.log_index + 1
        effects.events.append(Event(item, now_ms, "delivered", sender, words, good.opened.envelope_hash, position))
        effects.receipts.append(_receipt(good, _STATUS[states[item]], now_ms))
        effects.urgent |= good.opened.core.lane is Lane.FLASH
    effects.destroyed |= _purged(states)
    effects.versions |= _add(connection, list(new.values()), now_ms)
    effects.consent |= bool(effects.versions)
    # What is not sealed is gone already: without a rule its tombstone is shown to nobody.
    readers.put_rules(connection, {item: sealed[item].readers for item in new if item in sealed})
    provenance.add_provenances(
        connection, [_provenance(good, now_ms) for good in goods if good.opened.item_hash in new]
    )


def _note_files(
    connection: Connection, goods: Sequence[Good], files: Mapping[bytes, Sequence[KeptBlob]], effects: Effects
) -> None:
    """Let the attachments of reports that stand be fetched, and those of others go."""
    for good in goods:
        rows = files.get(good.opened.envelope_hash, ())
        report = reports.report_of(connection, good.opened.item_hash) if rows else None
        if report is not None and report.state in blobs.STANDING:
            effects.files |= blobs.arrived(connection, rows)
        else:
            blobs.not_wanted(connection, rows)
            effects.files |= bool(rows)


def _provenance(good: Good, now_ms: int) -> Provenance:
    opened = good.opened
    signer = opened.statement.signatures[0].key_id
    return Provenance(opened.item_hash, signer, opened.core.sender_key, max(good.promise.received_ms, now_ms))


def _approvals(good: Good, now_ms: int) -> list[ApprovalRow]:
    """Return the approvals that came with a report: whoever passes it on hands them on."""
    opened = good.opened
    return [
        ApprovalRow(opened.item_hash, each.operator, "", each.key_id, each.at_ms, now_ms, encode_proof(proof))
        for each, proof in zip(opened.approvals, opened.body.approvals, strict=True)
    ]


def _add(connection: Connection, new: Sequence[Report], now_ms: int) -> set[tuple[bytes, str]]:
    """Store new versions, and settle those threads that now have several; return these with their originators."""
    threads = [report.thread for report in new]
    several = reports.threads_with_versions(connection, threads) | {t for t in threads if threads.count(t) > 1}
    reports.add_reports(connection, new)
    found = {(each.thread, each.originator) for each in new if each.thread in several}
    for thread, originator in sorted(found):
        reports.settle_thread(connection, thread, originator)
        end_replaced(connection, thread, originator, now_ms)
    return found


def _row(good: Good, sealed: Sealed | None, withdrawal: Withdrawal | None, now_ms: int) -> Report:
    opened = good.opened
    statement, label = opened.report, opened.label
    if statement is None or label is None:
        raise ValueError("only a permitted report is stored")
    holding = _holding(good)
    must = holding.obligations
    gone = withdrawal is not None or sealed is None
    purged = withdrawal is not None and withdrawal.action == RetractionAction.PURGE
    state = ItemState.PURGED if purged or (gone and withdrawal is None) else ItemState.WITHDRAWN
    return Report(
        item=opened.item_hash,
        thread=statement.thread_id,
        direction=Direction.RECEIVED,
        originator=statement.originator,
        sender=opened.core.sender,
        kind=statement.kind,
        tlp=int(label.tlp),
        lane=int(opened.core.lane),
        authored_ms=statement.authored_ms,
        stored_ms=now_ms,
        state=state if gone else ItemState.CURRENT,
        stix_digest=b"" if sealed is None else sealed.stix_digest,
        title=b"" if gone or sealed is None else sealed.title,
        record=b"" if gone or sealed is None else sealed.record,
        purge_at_ms=must.purge_at_ms,
        ask_at_ms=must.ask_at_ms,
        review_at_ms=must.review_on_ms,
        basis_id=holding.basis.id,
        basis_commitment=holding.basis.commitment,
    )


# -- what failed -------------------------------------------------------------------------------------------------------


def _envelope_of(bad: Bad) -> bytes:
    """Return the hash of the envelope that a delivery claims to be, whatever is wrong with it."""
    if bad.envelope:
        return bad.envelope
    try:
        return envelope_hash(decode_delivery(bad.waiting.delivery).header.payload)
    except ExchangeError:
        return b""


def _set_aside(connection: Connection, bads: Sequence[Bad], effects: Effects, now_ms: int) -> None:
    receiving.set_aside(
        connection,
        [
            SetAside(
                hash=sha256(bad.waiting.delivery).digest(),
                at_ms=now_ms,
                sender=bad.sender,
                lane=int(bad.waiting.lane),
                position=bad.waiting.position,
                step=bad.step,
                reason=bad.reason,
                detail=bad.detail[:1_000],
                raw=bad.waiting.delivery,
                envelope=_envelope_of(bad),
            )
            for bad in bads
        ],
    )
    for bad in bads:
        if bad.split_view:
            effects.alarms.append((alarms.DIRECTORY, bad.reason, bad.detail))
        if bad.sender and bad.envelope:
            urgent = bad.waiting.lane is Lane.FLASH
            status = int(ReceiptStatus.REFUSED)
            line = QueuedReceipt(bad.sender, bad.envelope, bad.item, status, now_ms, bad.step, bad.reason, urgent)
            effects.receipts.append(line)
            effects.urgent |= urgent
