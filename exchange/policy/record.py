"""One call of decide() as JSON, and what it came to: what an auditor, or another implementation, computes again.

Labels, releases, views and community heads are bytes as they were signed, in hexadecimal; everything else is words and
numbers. Pure. Specification: docs/spec/policy.md, "Decision records". Golden file: tests/vectors/policy/decisions.json.
"""

from collections.abc import Mapping
from dataclasses import fields
from hashlib import sha256
from typing import TypeVar

from exchange.limits import SLOTS
from exchange.names import HASH_BYTES, ID_BYTES, exchange_name, party_id
from exchange.policy.agreement import ref_of
from exchange.policy.codec import decode_label, decode_release, decode_view, encode_label, encode_release, encode_view
from exchange.policy.communities.codec import decode_head, decode_member, encode_head, encode_member
from exchange.policy.communities.model import EPOCH_MAX, EpochInForce, HeldEpoch
from exchange.policy.communities.verify import shown_of
from exchange.policy.consent import Consent
from exchange.policy.decision import AgreementInForce, Decision, Item, Membership, Role, Rules, Slot, Standing
from exchange.policy.model import LIST_ITEMS, Category, Purpose, RelayLabel, Tlp, Vocabulary
from exchange.policy.obligations_record import plain_obligations, plain_ref, read_ref
from exchange.policy.question import Question
from exchange.policy.strict_json import Entry, Plain
from exchange.policy.terms import AgreementStatus

V = TypeVar("V", bound=Vocabulary)

QUESTION_FIELDS = ("role", "sender", "recipient", "now_ms", "item", "rules")
AGREEMENTS_MOST = 10_000
PARTIES_MOST = 10_000
CONSENTS_MOST = 10_000
EPOCHS_MOST = 10_000


# -- writing -----------------------------------------------------------------------------------------------------------


def plain_question(question: Question) -> Plain:
    """Return every input as plain data.

    Raises:
        BadInput: a label or a view that has no bytes.
    """
    return {
        "role": question.role.value,
        "sender": question.sender,
        "recipient": question.recipient,
        "now_ms": question.now_ms,
        "item": plain_item(question.item),
        "rules": plain_rules(question.rules),
    }


def plain_decision(decision: Decision) -> Plain:
    """Return a decision as plain data."""
    return {
        "permit": decision.permit,
        "findings": [[f.step.value, f.outcome.value, f.reason, f.clause] for f in decision.findings],
        "basis": decision.basis.commitment.hex() if decision.basis else None,
        "clause": decision.clause,
        "via": decision.via,
        "grants": [grant.hex() for grant in decision.grants],
        "obligations": plain_obligations(decision.obligations) if decision.obligations else None,
    }


def plain_item(item: Item) -> Plain:
    """Return an item as plain data."""
    slot = item.slot
    # Left out where it says nothing, as in records that were written before it was there.
    kept_from = {"uncompared": [*sorted(item.uncompared)]} if item.uncompared else {}
    return kept_from | {
        "label": encode_label(item.label).hex() if item.label else None,
        "release": encode_release(item.release).hex() if item.release else None,
        "relay_label": plain_relay_label(item.relay_label) if item.relay_label else None,
        "slot": {
            "basis": plain_ref(slot.basis) if slot.basis else None,
            "via": slot.via,
            "display_only": slot.display_only,
        }
        if slot
        else None,
        "intact": item.intact,
        "retracted": item.retracted,
        "approvals": item.approvals,
        "grant_hashes": item.grant_hashes,
        "authored_ms": item.authored_ms,
        "item_hash": item.item_hash.hex(),
        "consents": [_consent(consent) for consent in item.consents],
    }


def plain_relay_label(label: RelayLabel) -> Plain:
    """Return what the relay reads of a label as plain data."""
    return {
        "tlp": int(label.tlp),
        "policy": label.policy,
        "categories": [int(category) for category in label.categories],
        "purposes": [int(purpose) for purpose in label.purposes],
        "flags": label.flags,
        "expires_ms": label.expires_ms,
        "label_sha256": label.label_sha256.hex(),
    }


def _consent(consent: Consent) -> Plain:
    return {
        "grant": consent.grant.hex(),
        "item": consent.item.hex(),
        "originator": consent.originator,
        "holder": consent.holder,
        "recipient": consent.recipient,
        "purposes": [int(purpose) for purpose in consent.purposes],
        "until_ms": consent.until_ms,
        "hop": consent.hop,
    }


def plain_rules(rules: Rules) -> Plain:
    """Return rules as plain data."""
    return {
        "exchange": rules.exchange,
        "as_of_ms": rules.as_of_ms,
        "agreements": [
            {"view": encode_view(found.view).hex(), "status": int(found.status), "since": found.since}
            for found in rules.agreements.values()
        ],
        "standings": {
            party: {"membership": standing.membership.value, "ceiling": int(standing.ceiling)}
            for party, standing in rules.standings.items()
        },
        "communities": {
            name.hex(): [_epoch(each) for each in epochs] for name, epochs in sorted(rules.communities.items())
        },
    }


def _epoch(known: EpochInForce) -> Plain:
    held = known.held
    return {
        "epoch": known.epoch,
        "status": None if known.status is None else int(known.status),
        "owner": known.owner,
        "head": encode_head(held.head).hex() if held else None,
        "members": [encode_member(member).hex() for _, member in sorted(held.members.items())] if held else [],
        "whole": held.whole if held else False,
    }


# -- reading -----------------------------------------------------------------------------------------------------------


def read_question(found: Mapping[str, Entry]) -> Question:
    """Return the question of the fields QUESTION_FIELDS.

    Raises:
        BadInput: a field is not what plain_question writes; `place` says which.
    """
    return Question(
        role=_role(found["role"]),
        sender=party_id(found["sender"].text()),
        recipient=party_id(found["recipient"].text()),
        now_ms=found["now_ms"].number(),
        item=read_item(found["item"]),
        rules=read_rules(found["rules"]),
    )


def _role(entry: Entry) -> Role:
    try:
        return Role(entry.text())
    except ValueError as error:
        raise entry.wrong(f"{entry.value[:80]!r} is no role") from error


def read_item(entry: Entry) -> Item:
    """Return the item that plain_item wrote."""
    keeps = "uncompared" in entry.named()
    found = entry.fields(*(field.name for field in fields(Item) if keeps or field.name != "uncompared"))
    kept_from = found["uncompared"].items(most=PARTIES_MOST) if keeps else []
    if keeps and not kept_from:
        raise found["uncompared"].wrong("names nobody")
    return Item(
        label=found["label"].maybe(lambda each: decode_label(each.data())),
        release=found["release"].maybe(lambda each: decode_release(each.data())),
        relay_label=found["relay_label"].maybe(read_relay_label),
        slot=found["slot"].maybe(_read_slot),
        intact=found["intact"].flag(),
        retracted=found["retracted"].flag(),
        approvals=found["approvals"].number(),
        grant_hashes=found["grant_hashes"].number(),
        authored_ms=found["authored_ms"].number(),
        item_hash=found["item_hash"].data(0, HASH_BYTES),
        consents=tuple(_read_consent(each) for each in found["consents"].items(most=CONSENTS_MOST)),
        uncompared=frozenset(party_id(each.text()) for each in kept_from),
    )


def _read_slot(entry: Entry) -> Slot:
    found = entry.fields("basis", "via", "display_only")
    return Slot(found["basis"].maybe(read_ref), found["via"].text(), found["display_only"].flag())


def read_relay_label(entry: Entry) -> RelayLabel:
    """Return the relay label that plain_relay_label wrote."""
    found = entry.fields("tlp", "policy", "categories", "purposes", "flags", "expires_ms", "label_sha256")
    return RelayLabel(
        tlp=_numbered(Tlp, found["tlp"]),
        policy=found["policy"].text(),
        categories=tuple(_numbered(Category, each) for each in found["categories"].items(most=LIST_ITEMS)),
        purposes=tuple(_numbered(Purpose, each) for each in found["purposes"].items(most=LIST_ITEMS)),
        flags=found["flags"].number(),
        expires_ms=found["expires_ms"].number(),
        label_sha256=found["label_sha256"].data(HASH_BYTES),
    )


def _read_consent(entry: Entry) -> Consent:
    found = entry.fields("grant", "item", "originator", "holder", "recipient", "purposes", "until_ms", "hop")
    return Consent(
        grant=found["grant"].data(HASH_BYTES),
        item=found["item"].data(HASH_BYTES),
        originator=party_id(found["originator"].text()),
        holder=party_id(found["holder"].text()),
        recipient=party_id(found["recipient"].text()),
        purposes=tuple(_numbered(Purpose, each) for each in found["purposes"].items(most=LIST_ITEMS)),
        until_ms=found["until_ms"].number(),
        hop=found["hop"].number(),
    )


def read_rules(entry: Entry) -> Rules:
    """Return the rules that plain_rules wrote."""
    found = entry.fields("exchange", "as_of_ms", "agreements", "standings", "communities")
    standings = found["standings"].named()
    communities = found["communities"].named()
    if len(standings) > PARTIES_MOST or len(communities) > LIST_ITEMS:
        raise entry.wrong("too many standings or communities")
    return Rules.of(
        exchange_name(found["exchange"].text()),
        [_read_agreement(each) for each in found["agreements"].items(most=AGREEMENTS_MOST)],
        {party_id(name): _read_standing(each) for name, each in standings.items()},
        as_of_ms=found["as_of_ms"].maybe(Entry.number),
        communities={
            Entry(name, each.path).data(ID_BYTES): [_read_epoch(known) for known in each.items(most=EPOCHS_MOST)]
            for name, each in communities.items()
        },
    )


def _read_agreement(entry: Entry) -> AgreementInForce:
    found = entry.fields("view", "status", "since")
    view = decode_view(found["view"].data())
    return AgreementInForce(ref_of(view), view, _numbered(AgreementStatus, found["status"]), found["since"].number())


def _read_standing(entry: Entry) -> Standing:
    found = entry.fields("membership", "ceiling")
    try:
        membership = Membership(found["membership"].text())
    except ValueError as error:
        raise entry.wrong("no known standing") from error
    return Standing(membership, _numbered(Tlp, found["ceiling"]))


def _read_epoch(entry: Entry) -> EpochInForce:
    found = entry.fields("epoch", "status", "owner", "head", "members", "whole")
    epoch = found["epoch"].number(least=1, most=EPOCH_MAX)
    status = found["status"].maybe(lambda each: _numbered(AgreementStatus, each))
    owner, head_bytes = party_id(found["owner"].text()), found["head"].maybe(Entry.data)
    if head_bytes is None:
        return EpochInForce(epoch, status, owner)
    head = decode_head(head_bytes)
    members = [decode_member(each.data()) for each in found["members"].items(most=SLOTS)]
    by_party = {member.party: member for member in members}
    held = HeldEpoch(head, sha256(head_bytes).digest(), shown_of(head, head_bytes), by_party, found["whole"].flag())
    return EpochInForce(epoch, status, head.owner, held)


def _numbered(vocabulary: type[V], entry: Entry) -> V:
    try:
        return vocabulary(entry.number())
    except ValueError as error:
        raise entry.wrong(f"no {vocabulary.__name__}") from error
