"""Every decision that counted, written down: by the sender at the push and at sealing, by the recipient at arrival.

A report that was accepted carries its decision in its own record (exchange/policy/holding.py). The others stand in rows
of their own, sealed under the report's key: why a partner did not get a report tells what is in it. They are destroyed
with it; of a delivery that was denied and never stored, after the time for which it is set aside.

A row holds what went in, without the label, which stands in the report, and without the rules, which this node can
replay as of any directory size; and what came out for each partner. nodes/why.py puts it together again. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from exchange.crypto.atrest import open_record, seal_record
from exchange.limits import MIB
from exchange.names import HASH_BYTES, PartyId, party_id
from exchange.policy.decision import Decision, Item, Obligations, Reason, Role
from exchange.policy.obligations_record import plain_obligations
from exchange.policy.question import Question
from exchange.policy.record import PARTIES_MOST, plain_item, read_item
from exchange.policy.strict_json import Entry, Plain, read_json, write_json
from nodes.store.rows import DecisionRow

REMEMBERED = 256
"""Obligations whose hash is remembered: under one term those of one label are the same for many reports."""

RECORD_BYTES = 4 * MIB
FINDINGS_MOST = 256

_CONTEXT = b"decision\x00"


class Stage(StrEnum):
    """When it was decided; stable words."""

    PUSHED = "pushed"
    SEALED = "sealed"
    ARRIVED = "arrived"


@dataclass(frozen=True, slots=True)
class Decided:
    """A question, its answer, and the directory size as of which the rules were."""

    question: Question
    decision: Decision
    directory_size: int


class Answer(NamedTuple):
    """What a decision came to for one partner, in short: enough to tell whether a computation comes to the same.

    A tuple like Finding, for the same reason.
    """

    permit: bool
    reasons: tuple[Reason, ...]
    basis: bytes
    """Commitment; empty for none."""
    clause: str
    via: str
    grants: tuple[bytes, ...]
    obligations_sha256: bytes
    """Of the obligations as a record has them; empty for none."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Decisions on one item that were made together."""

    stage: Stage
    role: Role
    sender: PartyId
    now_ms: int
    as_of_ms: int | None
    directory_size: int
    item: Item
    """Without the label where the report holds it."""
    answers: Mapping[PartyId, Answer]


def in_short(decision: Decision) -> Answer:
    """Return what a decision came to."""
    return _answer(decision, obligations_digest(decision.obligations))


def _answer(decision: Decision, obligations_sha256: bytes) -> Answer:
    return Answer(
        permit=decision.permit,
        reasons=() if decision.permit else tuple(decision.reasons),
        basis=decision.basis.commitment if decision.basis else b"",
        clause=decision.clause,
        via=decision.via,
        grants=decision.grants,
        obligations_sha256=obligations_sha256,
    )


@lru_cache(maxsize=REMEMBERED)
def obligations_digest(obligations: Obligations | None) -> bytes:
    """Return the hash of obligations as a record has them; empty for none."""
    return sha256(write_json(plain_obligations(obligations))).digest() if obligations is not None else b""


def by_sender(
    stage: Stage, question: Question, directory_size: int, decisions: Iterable[tuple[PartyId, Decision]]
) -> Kept:
    """Return a sender's decisions; `question` is that of any of the partners: they differ in nothing else."""
    digests: dict[int, bytes] = {}
    answers = {}
    for party, decision in decisions:
        # Partners under the same term share their obligations.
        shared = id(decision.obligations)
        if shared not in digests:
            digests[shared] = obligations_digest(decision.obligations)
        answers[party] = _answer(decision, digests[shared])
    item = replace(question.item, label=None)
    return _kept(stage, question, directory_size, item, answers)


def by_recipient(decided: Decided) -> Kept:
    """Return a recipient's denial of a delivery; the report itself is not stored, so its label is kept here."""
    question = decided.question
    answers = {question.recipient: in_short(decided.decision)}
    return _kept(Stage.ARRIVED, question, decided.directory_size, question.item, answers)


def _kept(stage: Stage, question: Question, directory_size: int, item: Item, answers: Mapping[PartyId, Answer]) -> Kept:
    return Kept(
        stage=stage,
        role=question.role,
        sender=question.sender,
        now_ms=question.now_ms,
        as_of_ms=question.rules.as_of_ms,
        directory_size=directory_size,
        item=item,
        answers=answers,
    )


def seal_decisions(key: bytes, item: bytes, kept: Kept) -> DecisionRow:
    """Return decisions on an item as they are stored, sealed under its key."""
    sealed = seal_record(key, _encode(kept), _CONTEXT + item)
    return DecisionRow(item, kept.stage, kept.now_ms, kept.directory_size, sealed)


def open_decisions(key: bytes, row: DecisionRow) -> Kept:
    """Return stored decisions; VerificationFailed or BadInput if they are of another item or damaged."""
    return _decode(open_record(key, row.sealed, _CONTEXT + row.item))


def _encode(kept: Kept) -> bytes:
    by_answer: dict[Answer, list[PartyId]] = {}
    for party, answer in kept.answers.items():
        by_answer.setdefault(answer, []).append(party)
    return write_json(
        {
            "stage": kept.stage,
            "role": kept.role.value,
            "sender": kept.sender,
            "now_ms": kept.now_ms,
            "as_of_ms": kept.as_of_ms,
            "directory_size": kept.directory_size,
            "item": plain_item(kept.item),
            "answers": [{"partners": parties, "answer": plain_answer(answer)} for answer, parties in by_answer.items()],
        }
    )


def plain_answer(answer: Answer) -> Plain:
    """Return an answer as plain data."""
    return {
        "permit": answer.permit,
        "reasons": list(answer.reasons),
        "basis": answer.basis.hex(),
        "clause": answer.clause,
        "via": answer.via,
        "grants": [grant.hex() for grant in answer.grants],
        "obligations_sha256": answer.obligations_sha256.hex(),
    }


def _decode(data: bytes) -> Kept:
    found = read_json(data, limit=RECORD_BYTES, what="stored decisions").fields(
        "stage", "role", "sender", "now_ms", "as_of_ms", "directory_size", "item", "answers"
    )
    answers = [each.fields("partners", "answer") for each in found["answers"].items(most=PARTIES_MOST)]
    return Kept(
        stage=found["stage"].code(Stage),
        role=Role(found["role"].text()),
        sender=party_id(found["sender"].text()),
        now_ms=found["now_ms"].number(),
        as_of_ms=found["as_of_ms"].maybe(Entry.number),
        directory_size=found["directory_size"].number(),
        item=read_item(found["item"]),
        answers={
            party_id(party.text()): answer
            for each in answers
            for answer in (read_answer(each["answer"]),)
            for party in each["partners"].items(most=PARTIES_MOST)
        },
    )


def read_answer(entry: Entry) -> Answer:
    """Return the answer that plain_answer wrote."""
    found = entry.fields("permit", "reasons", "basis", "clause", "via", "grants", "obligations_sha256")
    return Answer(
        permit=found["permit"].flag(),
        reasons=tuple(each.code(Reason) for each in found["reasons"].items(most=FINDINGS_MOST)),
        basis=found["basis"].data(0, HASH_BYTES),
        clause=found["clause"].text(),
        via=found["via"].text(),
        grants=tuple(each.data(HASH_BYTES) for each in found["grants"].items(most=FINDINGS_MOST)),
        obligations_sha256=found["obligations_sha256"].data(0, HASH_BYTES),
    )
