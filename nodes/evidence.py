"""An evidence file: decisions on one item, with everything that anyone needs to compute them again without this node.

Armoured JSON. It holds no content of the report; but the label, at its sender the release, and the agreements that were
weighed: who is given it learns these. What in it is signed, and by whom, evidence_check.py verifies. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.keys import PublicKey, admit_public_key
from exchange.crypto.signed import Signed
from exchange.limits import KIB, MIB
from exchange.names import HASH_BYTES, ExchangeName, PartyId, exchange_name, party_id
from exchange.policy.decision import Rules
from exchange.policy.model import LIST_ITEMS
from exchange.policy.question import Question
from exchange.policy.record import QUESTION_FIELDS, plain_question, plain_rules, read_question, read_rules
from exchange.policy.strict_json import Entry, Plain, read_json, write_json
from exchange.runtime.armour import read_armour, write_armour
from nodes.decisions import Answer, Stage, plain_answer, read_answer
from nodes.shown import ShownEnvelope, plain_shown, read_shown

KIND = "DECISION EVIDENCE"
VERSION = 2
EVIDENCE_BYTES = 3 * MIB
VIEW_BYTES = 2 * MIB
STATEMENT_BYTES = 32 * KIB
KEYS_MOST = 32


@dataclass(frozen=True, slots=True)
class WrittenDecision:
    """A decision as its node wrote it down: the question, and what it came to then."""

    stage: Stage
    directory_size: int
    question: Question
    answer: Answer


@dataclass(frozen=True, slots=True)
class WrittenRefusal:
    """A signed refusal of the relay, what was refused, and the rules as of the directory size that it names."""

    statement: Signed
    refused: ShownEnvelope
    rules: Rules


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an evidence file holds."""

    exchange: ExchangeName
    made_by: PartyId
    made_ms: int
    item: bytes
    decisions: tuple[WrittenDecision, ...]
    refusals: tuple[WrittenRefusal, ...]
    header: Signed | None
    """Of an envelope with the item: its signature binds the label. None when none is kept."""
    envelope_key: PublicKey | None
    """By which the header is signed."""
    relay_keys: tuple[PublicKey, ...]
    """By which refusals are signed: one, or more when the relay changed its key between them."""
    views: tuple[Signed, ...]
    """Agreements as their parties signed them."""
    roots: Mapping[PartyId, PublicKey]


def write_evidence(evidence: Evidence) -> str:
    """Return the file."""
    return write_armour(KIND, write_json(_plain(evidence)))


def read_evidence(text: str) -> Evidence:
    """Return what an evidence file holds; nothing of it is verified.

    Raises:
        BadInput: it is no evidence file, or was changed by hand.
    """
    _, data = read_armour(text, {KIND})
    found = read_json(data, limit=EVIDENCE_BYTES, what="an evidence file").fields(
        "version",
        "exchange",
        "made_by",
        "made_ms",
        "item",
        "decisions",
        "refusals",
        "header",
        "envelope_key",
        "relay_keys",
        "views",
        "roots",
    )
    if found["version"].number() != VERSION:
        raise found["version"].wrong(f"this program reads version {VERSION}")
    return Evidence(
        exchange=exchange_name(found["exchange"].text()),
        made_by=party_id(found["made_by"].text()),
        made_ms=found["made_ms"].number(),
        item=found["item"].data(HASH_BYTES),
        decisions=tuple(_read_decision(each) for each in found["decisions"].items(most=LIST_ITEMS)),
        refusals=tuple(_read_refusal(each) for each in found["refusals"].items(most=LIST_ITEMS)),
        header=found["header"].maybe(lambda each: _signed(each, STATEMENT_BYTES)),
        envelope_key=found["envelope_key"].maybe(read_key),
        relay_keys=tuple(read_key(each) for each in found["relay_keys"].items(most=KEYS_MOST)),
        views=tuple(_signed(each, VIEW_BYTES) for each in found["views"].items(most=LIST_ITEMS)),
        roots={party_id(party): read_key(each) for party, each in found["roots"].named().items()},
    )


def _plain(evidence: Evidence) -> Plain:
    return {
        "version": VERSION,
        "exchange": evidence.exchange,
        "made_by": evidence.made_by,
        "made_ms": evidence.made_ms,
        "item": evidence.item.hex(),
        "decisions": [
            {
                "stage": each.stage,
                "directory_size": each.directory_size,
                "question": plain_question(each.question),
                "answer": plain_answer(each.answer),
            }
            for each in evidence.decisions
        ],
        "refusals": [
            {
                "statement": encode_signed(each.statement).hex(),
                "refused": plain_shown(each.refused),
                "rules": plain_rules(each.rules),
            }
            for each in evidence.refusals
        ],
        "header": encode_signed(evidence.header).hex() if evidence.header else None,
        "envelope_key": plain_key(evidence.envelope_key) if evidence.envelope_key else None,
        "relay_keys": [plain_key(key) for key in evidence.relay_keys],
        "views": [encode_signed(view).hex() for view in evidence.views],
        "roots": {party: plain_key(key) for party, key in evidence.roots.items()},
    }


def plain_key(key: PublicKey) -> Plain:
    """Return a public key as plain data."""
    return {"algorithm": int(key.algorithm), "raw": key.raw.hex()}


def read_key(entry: Entry) -> PublicKey:
    """Return what plain_key wrote."""
    found = entry.fields("algorithm", "raw")
    return admit_public_key(found["algorithm"].number(), found["raw"].data())


def _signed(entry: Entry, limit: int) -> Signed:
    return decode_signed(entry.data(), limit=limit, what=entry.path)


def _read_decision(entry: Entry) -> WrittenDecision:
    found = entry.fields("stage", "directory_size", "question", "answer")
    return WrittenDecision(
        stage=found["stage"].code(Stage),
        directory_size=found["directory_size"].number(),
        question=read_question(found["question"].fields(*QUESTION_FIELDS)),
        answer=read_answer(found["answer"]),
    )


def _read_refusal(entry: Entry) -> WrittenRefusal:
    found = entry.fields("statement", "refused", "rules")
    return WrittenRefusal(
        statement=_signed(found["statement"], STATEMENT_BYTES),
        refused=read_shown(found["refused"]),
        rules=read_rules(found["rules"]),
    )
