"""Why a report went to a partner, or did not: every decision that counted, computed again, and what it is now.

What was written down (nodes/decisions.py) is put together with the report's label, and with the rules as of
the directory size of that time, which this node replays. When that comes to something else than was written down, it is
said: this node knew fewer agreements then, or something is wrong.
What the relay refused is judged by its own signed words (nodes/refusals.py).
A partner that does not exist is answered like any other, by the decision.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed
from exchange.directory.fold import Directory
from exchange.errors import NotFound
from exchange.limits import KIB
from exchange.names import PartyId
from exchange.policy.decision import Decision, Item, Role
from exchange.policy.question import Question, relevant, together
from exchange.receipts.model import Refusal
from nodes.agreements import VIEW_BYTES
from nodes.core import Core
from nodes.decisions import Answer, Kept, Stage, in_short, obligations_digest, open_decisions
from nodes.evidence import Evidence, WrittenDecision, WrittenRefusal
from nodes.passing import grants_for, release_to
from nodes.refusals import Verdict, decode_refused, judge
from nodes.relay_word import opened_refusal
from nodes.shelf import Shelf
from nodes.shown import HEADER_BYTES, ShownEnvelope
from nodes.store import agreements, approvals, reports, sending
from nodes.store import decisions as store
from nodes.store.rows import DecisionRow, KeptPromise, KeptRefusal, Report
from nodes.trust import Snapshot
from nodes.vault import Opened

STATEMENT_BYTES = 16 * KIB


@dataclass(frozen=True, slots=True)
class Told:
    """One decision: what was asked, what it comes to, and whether that is what was written down then."""

    stage: Stage
    directory_size: int
    question: Question
    decision: Decision
    answer: Answer

    @property
    def same(self) -> bool:
        """Whether computing it again comes to what was written down."""
        return in_short(self.decision) == self.answer


@dataclass(frozen=True, slots=True)
class RelayRefused:
    """A refusal of the relay that concerns the partner, judged."""

    refusal: Refusal
    statement: Signed
    refused: ShownEnvelope
    verdict: Verdict
    questions: Sequence[Question]


@dataclass(frozen=True, slots=True)
class Why:
    """Everything about one item and one partner."""

    item: bytes
    partner: PartyId
    told: Sequence[Told]
    now: Decision | None
    """What it would be now; None where it makes no sense to ask."""
    refusals: Sequence[RelayRefused]
    header: Signed | None
    """Of an envelope with the item."""


async def why(core: Core, shelf: Shelf, item: bytes, partner: PartyId) -> Why:
    """Return every decision on an item for a partner.

    Raises:
        NotFound: nothing is known of this item here, or its content is destroyed and its decisions with it.
    """
    read = await core.database.read(partial(_read, item=item))
    key = (await core.keybox.keys([item])).get(item)
    if (read.report is None and not read.rows) or key is None:
        raise NotFound(
            "no such report" if read.report is None else "its content is destroyed, and its decisions with it",
            hint="concord report list",
        )
    opened = await shelf.opened(item) if read.report is not None else None
    snapshot = core.trust.now
    kept = [open_decisions(key, row) for row in read.rows]
    told = [*_arrived(core, opened, snapshot), *_written(kept, opened, snapshot)]
    return Why(
        item=item,
        partner=partner,
        told=[each for each in told if _concerns(each, partner, core.me)],
        now=await _now(core, item, opened, partner) if opened is not None else None,
        refusals=list(_refused(core, read.refusals, partner, snapshot)),
        header=_header(read.promises, read.refusals),
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """What the store holds of an item."""

    report: Report | None
    rows: Sequence[DecisionRow]
    refusals: Sequence[KeptRefusal]
    promises: Sequence[KeptPromise]


def _read(connection: Connection, item: bytes) -> _Read:
    return _Read(
        reports.report_of(connection, item),
        store.decisions_of(connection, item),
        sending.refusals_of(connection, item),
        sending.promises_of(connection, item),
    )


def _concerns(told: Told, partner: PartyId, me: PartyId) -> bool:
    """Of a decision at arrival the partner is its sender, or this node itself."""
    if told.question.role is Role.RECIPIENT:
        return partner in {told.question.sender, me}
    return told.question.recipient == partner


# -- what was written down ---------------------------------------------------------------------------------------------


def _arrived(core: Core, opened: Opened | None, snapshot: Snapshot) -> Iterator[Told]:
    """Yield the decision that let a report in: it stands in its own record."""
    holding = opened.holding if opened is not None else None
    if opened is None or holding is None:
        return
    question = Question(
        role=Role.RECIPIENT,
        sender=holding.sender,
        recipient=core.me,
        now_ms=holding.decided_ms,
        item=replace(holding.item, label=opened.label),
        rules=replace(snapshot.rules_at(holding.directory_size), as_of_ms=holding.received_ms),
    )
    decision = question.answer()
    answer = Answer(
        permit=True,
        reasons=(),
        basis=holding.basis.commitment,
        clause=holding.clause,
        via=decision.via,
        grants=decision.grants,
        obligations_sha256=obligations_digest(holding.obligations),
    )
    yield Told(Stage.ARRIVED, holding.directory_size, relevant(question), decision, answer)


def _written(kept: Sequence[Kept], opened: Opened | None, snapshot: Snapshot) -> Iterator[Told]:
    for each in kept:
        item = each.item
        if item.label is None and opened is not None:
            item = replace(item, label=opened.label)
        rules = replace(snapshot.rules_at(each.directory_size), as_of_ms=each.as_of_ms)
        for party, answer in each.answers.items():
            question = Question(each.role, each.sender, party, each.now_ms, item, rules)
            yield Told(each.stage, each.directory_size, relevant(question), question.answer(), answer)


async def _now(core: Core, item_hash: bytes, opened: Opened, partner: PartyId) -> Decision | None:
    """Return what this node would decide now, as the one that sends; of another's report: if it passed it on."""
    if partner == core.me:
        return None
    now_ms, snapshot = core.clock(), core.trust.now
    given = partial(grants_for, me=core.me, item=item_hash, label=opened.label, now_ms=now_ms)
    consents, _ = await core.database.read(given)
    approved = await core.database.read(partial(approvals.count_approvals, items=[item_hash]))
    item = Item.to_send(
        opened.label,
        opened.release or release_to([partner]),
        approvals=approved.get(item_hash, 0),
        authored_ms=opened.statement.authored_ms,
        item_hash=item_hash,
        consents=consents,
        uncompared=core.comparisons.at(opened.label.tlp),
    )
    return Question(Role.SENDER, core.me, partner, now_ms, item, snapshot.rules_at(snapshot.size)).answer()


# -- what the relay said -----------------------------------------------------------------------------------------------


def _refused(core: Core, kept: Sequence[KeptRefusal], partner: PartyId, snapshot: Snapshot) -> Iterator[RelayRefused]:
    for each in kept:
        if not each.evidence or each.directory_size > snapshot.size:
            continue
        refused = decode_refused(each.evidence)
        statement = decode_signed(each.statement, limit=STATEMENT_BYTES, what="a stored refusal")
        refusal = opened_refusal(statement, snapshot.directory, core.exchange, core.seen)
        judged = judge(refusal, refused, snapshot.rules_at(refusal.directory_size))
        questions = [question for question, _ in judged.answers]
        if partner in {question.recipient for question in questions}:
            yield RelayRefused(refusal, statement, refused, judged.verdict, questions)


def _header(promises: Sequence[KeptPromise], refusals: Sequence[KeptRefusal]) -> Signed | None:
    for promise in promises:
        if promise.header:
            return decode_signed(promise.header, limit=HEADER_BYTES, what="a stored header")
    return next((decode_refused(each.evidence).header for each in refusals if each.evidence), None)


# -- as evidence -------------------------------------------------------------------------------------------------------


async def evidence_of(core: Core, found: Why) -> Evidence:
    """Return what anyone needs to compute these decisions again."""
    kept = await core.database.read(agreements.agreements)
    written = tuple(WrittenDecision(each.stage, each.directory_size, each.question, each.answer) for each in found.told)
    refusals = tuple(
        WrittenRefusal(each.statement, each.refused, together([question.rules for question in each.questions]))
        for each in found.refusals
    )
    wanted = {
        commitment
        for rules in (*(each.question.rules for each in written), *(each.rules for each in refusals))
        for commitment in rules.agreements
    }
    views = tuple(
        decode_signed(each.view, limit=VIEW_BYTES, what="a stored view") for each in kept if each.commitment in wanted
    )
    directory = core.trust.now.directory
    signers = {signature.key_id for view in views for signature in view.signatures}
    records = [record for key_id in signers if (record := directory.key_record(key_id)) is not None]
    return Evidence(
        exchange=core.exchange,
        made_by=core.me,
        made_ms=core.clock(),
        item=found.item,
        decisions=written,
        refusals=refusals,
        header=found.header,
        envelope_key=_envelope_key(core, found.header),
        relay_keys=_relay_keys(directory, [each.statement for each in refusals]),
        views=views,
        roots={record.party: record.public for record in records if record.public is not None},
    )


def _relay_keys(directory: Directory, refusals: Sequence[Signed]) -> tuple[PublicKey, ...]:
    """Return the promise keys that signed these refusals."""
    signers = {signature.key_id for each in refusals for signature in each.signatures}
    keys = (each.keys.promise for each in directory.relay_key_history)
    return tuple(key for key in keys if key.key_id in signers)


def _envelope_key(core: Core, header: Signed | None) -> PublicKey | None:
    if header is None:
        return None
    record = core.trust.now.directory.key_record(header.signatures[0].key_id)
    return record.public if record is not None else None
