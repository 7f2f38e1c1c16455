"""The cases of policy_cases.py as JSON: signed inputs as bytes, everything else as words, and the whole decision.

`python -m tests.support.policy_vectors` writes tests/vectors/policy/decisions.json anew; a test says when it differs.
"""

import json
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from exchange.names import ExchangeName, PartyId
from exchange.policy.agreement import AgreementRef, AgreementStatus, ref_of
from exchange.policy.codec import decode_label, decode_release, decode_view, encode_label, encode_release, encode_view
from exchange.policy.communities.codec import decode_head, decode_member, encode_head, encode_member
from exchange.policy.communities.model import EpochInForce, HeldEpoch
from exchange.policy.communities.verify import shown_of
from exchange.policy.consent import Consent
from exchange.policy.decide import AgreementInForce, Decision, Item, Membership, Role, Rules, Slot, Standing, decide
from exchange.policy.model import Category, Handling, Label, Purpose, ReaderRule, RelayLabel, Tlp, Vocabulary
from tests.support.policy_case import Case
from tests.support.policy_cases import cases

PATH = Path(__file__).resolve().parents[1] / "vectors/policy/decisions.json"

NOTE = (
    "Each case is one call of decide() (docs/spec/policy.md). label, release and view are protobuf bytes in "
    "hexadecimal (protos/exchange/v1/policy.proto); numbers of tlp, categories, purposes and status are those of the "
    "protos. findings are [step, outcome, reason or null, clause]; their order within a step is fixed. "
    "consents are grants whose signatures held. A purge counts retention from now_ms. communities hold, by id, every "
    "epoch that is known: status as in the directory, head and members as protobuf bytes "
    "(protos/exchange/v1/community.proto); the relay knows no head."
)


def encodable(case: Case) -> bool:
    """Whether the label can travel: one without a category, say, never reaches another implementation as bytes."""
    label = case.item.label
    complete = label is None or (label.originators and label.categories and label.purposes and label.basis.citation)
    # A view under another name than its own, and a reader rule without a condition, have no bytes either.
    named = all(ref_of(found.view) == found.ref for found in case.rules.agreements.values())
    return bool(complete) and named


def vector_of(case: Case) -> dict[str, Any]:
    """Return the case and what decide() says of it."""
    decision = run(case)
    return {
        "name": case.name,
        "role": case.role.value,
        "sender": case.sender,
        "recipient": case.recipient,
        "now_ms": case.now_ms,
        "item": _item(case.item),
        "rules": _rules(case.rules),
        "expect": expectation(decision),
    }


def run(case: Case) -> Decision:
    """Decide the case."""
    return decide(
        case.item, sender=case.sender, recipient=case.recipient, rules=case.rules, now_ms=case.now_ms, role=case.role
    )


def expectation(decision: Decision) -> dict[str, Any]:
    """Return a decision as JSON."""
    duties = decision.obligations
    return {
        "permit": decision.permit,
        "findings": [[f.step.value, f.outcome.value, f.reason, f.clause] for f in decision.findings],
        "basis": decision.basis.commitment.hex() if decision.basis else None,
        "clause": decision.clause,
        "via": decision.via,
        "grants": [grant.hex() for grant in decision.grants],
        "obligations": {field.name: _plain(getattr(duties, field.name)) for field in fields(duties)}
        if duties
        else None,
    }


def _plain(value: object) -> object:
    if isinstance(value, Vocabulary):
        return value.word
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, Handling | ReaderRule):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value


def _item(item: Item) -> dict[str, Any]:
    seen = item.relay_label
    return {
        "label": encode_label(item.label).hex() if item.label else None,
        "release": encode_release(item.release).hex() if item.release else None,
        "relay_label": {
            "tlp": int(seen.tlp),
            "policy": seen.policy,
            "categories": [int(category) for category in seen.categories],
            "purposes": [int(purpose) for purpose in seen.purposes],
            "flags": seen.flags,
            "expires_ms": seen.expires_ms,
            "label_sha256": seen.label_sha256.hex(),
        }
        if seen
        else None,
        "slot": {"basis": _ref(item.slot.basis), "via": item.slot.via, "display_only": item.slot.display_only}
        if item.slot
        else None,
        "intact": item.intact,
        "retracted": item.retracted,
        "approvals": item.approvals,
        "grant_hashes": item.grant_hashes,
        "authored_ms": item.authored_ms,
        "item_hash": item.item_hash.hex(),
        "consents": [_consent(consent) for consent in item.consents],
    }


def _consent(consent: Consent) -> dict[str, Any]:
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


def _ref(ref: AgreementRef | None) -> dict[str, Any] | None:
    return {"id": ref.id.hex(), "version": ref.version, "commitment": ref.commitment.hex()} if ref else None


def _rules(rules: Rules) -> dict[str, Any]:
    return {
        "exchange": rules.exchange,
        "as_of_ms": rules.as_of_ms,
        "agreements": [
            {"view": encode_view(found.view).hex(), "status": int(found.status)} for found in rules.agreements.values()
        ],
        "standings": {
            party: {"membership": standing.membership.value, "ceiling": int(standing.ceiling)}
            for party, standing in rules.standings.items()
        },
        "communities": {
            name.hex(): [_epoch(each) for each in epochs] for name, epochs in sorted(rules.communities.items())
        },
    }


def _epoch(known: EpochInForce) -> dict[str, Any]:
    held = known.held
    return {
        "epoch": known.epoch,
        "status": None if known.status is None else int(known.status),
        "head": encode_head(held.head).hex() if held else None,
        "members": [encode_member(member).hex() for _, member in sorted(held.members.items())] if held else [],
        "whole": held.whole if held else False,
    }


def _epoch_of(data: dict[str, Any]) -> EpochInForce:
    status = None if data["status"] is None else AgreementStatus(data["status"])
    if data["head"] is None:
        return EpochInForce(data["epoch"], status)
    head_bytes = bytes.fromhex(data["head"])
    head = decode_head(head_bytes)
    members = [decode_member(bytes.fromhex(member)) for member in data["members"]]
    by_party = {member.party: member for member in members}
    held = HeldEpoch(head, sha256(head_bytes).digest(), shown_of(head, head_bytes), by_party, data["whole"])
    return EpochInForce(data["epoch"], status, held)


def case_of(vector: dict[str, Any]) -> Case:
    """Return the input of a vector, read as another implementation would read it."""
    item, rules, slot = vector["item"], vector["rules"], vector["item"]["slot"]
    label: Label | None = decode_label(bytes.fromhex(item["label"])) if item["label"] else None
    views = [(decode_view(bytes.fromhex(found["view"])), found["status"]) for found in rules["agreements"]]
    return Case(
        name=vector["name"],
        role=Role(vector["role"]),
        item=Item(
            label=label,
            relay_label=_relay_label(item["relay_label"]) if item["relay_label"] else None,
            release=decode_release(bytes.fromhex(item["release"])) if item["release"] else None,
            slot=Slot(_ref_of(slot["basis"]), slot["via"], slot["display_only"]) if slot else None,
            intact=item["intact"],
            retracted=item["retracted"],
            approvals=item["approvals"],
            grant_hashes=item["grant_hashes"],
            authored_ms=item["authored_ms"],
            item_hash=bytes.fromhex(item["item_hash"]),
            consents=tuple(_consent_of(consent) for consent in item["consents"]),
        ),
        rules=Rules.of(
            ExchangeName(rules["exchange"]),
            [AgreementInForce(ref_of(view), view, AgreementStatus(status)) for view, status in views],
            {
                PartyId(party): Standing(Membership(found["membership"]), Tlp(found["ceiling"]))
                for party, found in rules["standings"].items()
            },
            as_of_ms=rules["as_of_ms"],
            communities={
                bytes.fromhex(name): [_epoch_of(each) for each in epochs]
                for name, epochs in rules["communities"].items()
            },
        ),
        reasons=(),
        sender=PartyId(vector["sender"]),
        recipient=PartyId(vector["recipient"]),
        now_ms=vector["now_ms"],
    )


def _relay_label(data: dict[str, Any]) -> RelayLabel:
    return RelayLabel(
        tlp=Tlp(data["tlp"]),
        policy=data["policy"],
        categories=tuple(Category(number) for number in data["categories"]),
        purposes=tuple(Purpose(number) for number in data["purposes"]),
        flags=data["flags"],
        expires_ms=data["expires_ms"],
        label_sha256=bytes.fromhex(data["label_sha256"]),
    )


def _consent_of(data: dict[str, Any]) -> Consent:
    return Consent(
        grant=bytes.fromhex(data["grant"]),
        item=bytes.fromhex(data["item"]),
        originator=PartyId(data["originator"]),
        holder=PartyId(data["holder"]),
        recipient=PartyId(data["recipient"]),
        purposes=tuple(Purpose(number) for number in data["purposes"]),
        until_ms=data["until_ms"],
        hop=data["hop"],
    )


def _ref_of(data: dict[str, Any] | None) -> AgreementRef | None:
    return AgreementRef(bytes.fromhex(data["id"]), data["version"], bytes.fromhex(data["commitment"])) if data else None


def document() -> str:
    """Return the whole file: one case a line, so that a change shows as one."""
    lines = [json.dumps(vector_of(case), sort_keys=True) for case in cases() if encodable(case)]
    return f'{{"version": 1, "note": {json.dumps(NOTE)}, "cases": [\n' + ",\n".join(lines) + "\n]}\n"


if __name__ == "__main__":
    PATH.write_text(document())
