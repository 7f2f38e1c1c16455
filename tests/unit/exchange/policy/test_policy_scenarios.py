"""Four scenarios under one multilateral agreement: audience and ceilings give exactly the table of deliveries."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from exchange.names import PartyId
from exchange.policy.agreement import AgreementStatus, make_agreement, ref_of, view_of
from exchange.policy.codec import encode_label, relay_label
from exchange.policy.decide import AgreementInForce, Item, Membership, Role, Rules, Slot, Standing, decide, who_gets
from exchange.policy.model import Target, Tlp
from exchange.policy.text import label_from_mapping
from tests.support.policy_builders import DAY, EXCHANGE, NOW

SCENARIOS = Path(__file__).resolve().parents[4] / "nodes/demo/scenarios"
PARTIES = ("XA", "XV", "XO", "XH", "XT", "XN")
TERM = """\
  - clause: "{clause}"
    from: any
    to: [{to}]
    purposes: [protect_life, infrastructure_protection]
    categories: {{allow: [terror_attack, travel, alert, guidance]}}
    about: any
    ceiling: {{tlp: {ceiling}}}
"""
AGREEMENT = (
    "agreement: Indus Corridor Security Memorandum\nversion: 1\n"
    f"parties: [{', '.join(PARTIES)}]\n"
    "legal_basis: {kind: mou, citation: Memorandum}\nvalid: {from: 2020-01-01, until: none}\nterms:\n"
    + TERM.format(clause="1", to="XA, XV, XO, XH", ceiling="red")
    + TERM.format(clause="2", to="XT", ceiling="amber+strict")
    + TERM.format(clause="3", to="XN", ceiling="green")
    + "on_termination: {held_items: purge, within: 30d}\n"
)
ONWARD = {"own-organisations": "dependants"}
TABLE = orjson.loads((SCENARIOS / "scenarios.json").read_bytes())


def the_rules() -> Rules:
    view = view_of(make_agreement(AGREEMENT.encode(), exchange=EXCHANGE))
    ceilings = {word.word: word for word in Tlp}
    standings = {
        PartyId(party): Standing(Membership.ADMITTED, ceilings[ceiling]) for party, ceiling in TABLE["ceilings"].items()
    }
    return Rules.of(EXCHANGE, [AgreementInForce(ref_of(view), view, AgreementStatus.ACTIVE)], standings)


def handling_of(name: str) -> dict[str, Any]:
    objects = orjson.loads((SCENARIOS / name).read_bytes())["objects"]
    extensions = [extension for found in objects for extension in found.get("extensions", {}).values()]
    (handling,) = (extension["handling"] for extension in extensions if "handling" in extension)
    return {
        "tlp": handling["tlp"],
        "pap": handling["pap"],
        "release": {"to": handling["audience"]},
        "onward": ONWARD.get(handling["onward"], handling["onward"]),
        "categories": ["terror_attack", "travel"],
        "purposes": ["protect_life"],
        "basis": {"kind": "mou", "citation": "Memorandum"},
        "personal_data": "none",
    }


@pytest.mark.parametrize("name", ["s01-dasu-flash", "s02-dasu-correction", "s04-gwadar-alert", "s08-retraction"])
def test_audience_and_ceilings_give_the_table_of_deliveries(name: str) -> None:
    (scenario,) = (found for found in TABLE["scenarios"] if found["id"] == name)
    sender, given = PartyId(scenario["originator"]), the_rules()
    parsed = label_from_mapping(handling_of(f"{name}.stix.json"), originator=sender, now_ms=NOW, defaults=None)
    found = dict(who_gets(Item.to_send(parsed.label, parsed.release), sender=sender, rules=given, now_ms=NOW))
    assert all(target.partner != sender for target in parsed.release.to)
    for party, delivery in scenario["deliver"].items():
        assert found[PartyId(party)].permit == (not delivery.startswith("nothing")), party
    permitted = {party for party, decision in found.items() if decision.permit}
    assert permitted == {target.partner for target in parsed.release.to}
    data = encode_label(parsed.label)
    seen = relay_label(parsed.label, data, sender=PartyId(sender), expires_ms=NOW + DAY)
    for party in permitted:
        slot = Slot(found[party].basis)
        for role, item in (
            (Role.RELAY, Item.in_transit(seen, slot)),
            (Role.RECIPIENT, Item.received(parsed.label, slot, intact=True)),
        ):
            assert decide(item, sender=sender, recipient=party, rules=given, now_ms=NOW, role=role).permit


def test_a_wider_audience_still_meets_the_ceilings() -> None:
    parsed = label_from_mapping(
        handling_of("s01-dasu-flash.stix.json"), originator=PartyId("XA"), now_ms=NOW, defaults=None
    )
    everyone = replace(parsed.release, to=(Target(everyone=True),))
    item = Item.to_send(parsed.label, everyone)
    found = who_gets(item, sender=PartyId("XA"), rules=the_rules(), now_ms=NOW)
    assert [party for party, decision in found if decision.permit] == ["XH", "XO", "XT", "XV"]
