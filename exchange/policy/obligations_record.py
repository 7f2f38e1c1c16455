"""Obligations, and references to agreements, as plain data for records: words for vocabularies, milliseconds for times.

Pure. holding.py and record.py are made of it.
"""

from dataclasses import fields

from exchange.names import HASH_BYTES, ID_BYTES
from exchange.policy.decision import Obligations
from exchange.policy.model import (
    HOPS_MAX,
    LIST_ITEMS,
    Actions,
    Duty,
    EvidenceUse,
    Handling,
    OnwardRule,
    Purpose,
    ReaderRule,
    Vocabulary,
)
from exchange.policy.strict_json import Entry, Plain
from exchange.policy.terms import AgreementRef


def plain_ref(ref: AgreementRef) -> Plain:
    """Return a reference to an agreement as plain data."""
    return {"id": ref.id.hex(), "version": ref.version, "commitment": ref.commitment.hex()}


def read_ref(entry: Entry) -> AgreementRef:
    """Return the reference that plain_ref wrote."""
    found = entry.fields("id", "version", "commitment")
    return AgreementRef(found["id"].data(ID_BYTES), found["version"].number(), found["commitment"].data(HASH_BYTES))


def plain_obligations(obligations: Obligations) -> Plain:
    """Return obligations as plain data: words for vocabularies, milliseconds for times."""
    return {field.name: _plain(getattr(obligations, field.name)) for field in fields(obligations)}


def _plain(value: object) -> object:
    if isinstance(value, Vocabulary):
        return value.word
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, Handling | ReaderRule):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value


def read_obligations(entry: Entry) -> Obligations:
    """Return the obligations that plain_obligations wrote."""
    found = entry.fields(*(field.name for field in fields(Obligations)))
    return Obligations(
        purposes=tuple(each.word(Purpose) for each in found["purposes"].items(most=LIST_ITEMS)),
        use_in=_texts(found["use_in"]),
        actions=found["actions"].word(Actions),
        evidence_use=found["evidence_use"].word(EvidenceUse),
        onward=found["onward"].word(OnwardRule),
        max_hops=found["max_hops"].number(most=HOPS_MAX),
        orcon=found["orcon"].flag(),
        notify_affected=found["notify_affected"].word(Duty),
        attribution=found["attribution"].word(Duty),
        resale=found["resale"].word(Duty),
        retention_days=found["retention_days"].number(),
        purge_at_ms=found["purge_at_ms"].number(),
        ask_at_ms=found["ask_at_ms"].number(),
        review_on_ms=found["review_on_ms"].number(),
        display_only=found["display_only"].flag(),
        readers=found["readers"].maybe(_reader_rule),
        nobody_may_read=found["nobody_may_read"].flag(),
        handling=tuple(_handling(each) for each in found["handling"].items(most=LIST_ITEMS)),
        embargo_until_ms=found["embargo_until_ms"].number(),
    )


def _reader_rule(entry: Entry) -> ReaderRule:
    found = entry.fields(*(field.name for field in fields(ReaderRule)))
    return ReaderRule(
        clearance_scale=found["clearance_scale"].text(),
        clearance_level=found["clearance_level"].text(),
        all_of=_texts(found["all_of"]),
        any_of=tuple(_texts(group) for group in found["any_of"].items(most=LIST_ITEMS)),
        named=_texts(found["named"]),
    )


def _handling(entry: Entry) -> Handling:
    found = entry.fields("code", "text")
    return Handling(found["code"].text(), found["text"].text())


def _texts(entry: Entry) -> tuple[str, ...]:
    return tuple(each.text() for each in entry.items(most=LIST_ITEMS))
