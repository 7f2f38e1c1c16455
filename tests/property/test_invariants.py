"""The fourteen invariants of the sharing rules (docs/spec/policy.md, "Invariants").

Each has a property somewhere in this folder whose docstring begins with its number and its words; the last test here
looks for them. Those that no other file shows over its own worlds stand here.
"""

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.approvals.model import ApprovalProof, OperatorRole
from exchange.approvals.verify import verified_approvals
from exchange.errors import MalformedInput, VerificationFailed
from exchange.policy.agreement import ref_of
from exchange.policy.codec import check_relay_label, encode_label, relay_label
from exchange.policy.decide import AgreementInForce, Item, Role, Rules, Slot, decide, who_gets
from exchange.policy.holding import Holding, decode_holding, encode_holding
from exchange.policy.model import Actions, Category, Label, Purpose, RelayFlag, RelayLabel, Release, Target, Tlp
from exchange.policy.use import Use, may_use
from tests.support.approvals import ITEM, a_cert, an_approval, operator_key, pseudonym, signed_approval, signed_cert
from tests.support.envelope_builders import EXCHANGE, statement_key
from tests.support.policy_builders import DAY, NOW, XA, XB
from tests.support.policy_worlds import PARTIES, WORLDS, easy, labels, reached

INVARIANTS = 14


def cut(seen: RelayLabel, draw: st.DataObject) -> RelayLabel:
    """Return a relay label with one field taken away or changed."""
    changes: list[dict[str, Any]] = [
        {"tlp": Tlp(seen.tlp % len(Tlp) + 1)},
        {"policy": ""},
        {"categories": seen.categories[1:]},
        {"categories": tuple(Category)},
        {"purposes": seen.purposes[1:]},
        {"purposes": tuple(Purpose)},
        {"flags": seen.flags ^ draw.draw(st.sampled_from(RelayFlag))},
        {"expires_ms": 0},
        {"label_sha256": bytes(32)},
    ]
    return replace(seen, **draw.draw(st.sampled_from(changes)))


@given(labels(), st.data())
def test_what_the_relay_was_shown_is_the_label_or_the_recipient_refuses(label: Label, data: st.DataObject) -> None:
    """Invariant 3: relay removal of any field fails the signature; what it was shown is checked field by field."""
    encoded = encode_label(label)
    seen = relay_label(label, encoded, sender=XA, expires_ms=NOW)
    check_relay_label(label, encoded, seen, sender=XA)
    changed = cut(seen, data)
    if changed != seen:
        with pytest.raises(VerificationFailed):
            check_relay_label(label, encoded, changed, sender=XA)


NAMES = ("rana", "omar", "lena")


@settings(max_examples=25)
@given(st.sets(st.sampled_from(OperatorRole), min_size=1), st.lists(st.sampled_from(NAMES), max_size=4), st.booleans())
def test_who_writes_never_releases_and_nobody_counts_twice(
    roles: set[OperatorRole], approvers: list[str], with_author: bool
) -> None:
    """Invariant 12: author and approver keys differ."""
    if {OperatorRole.AUTHOR, OperatorRole.RELEASER} <= roles:
        with pytest.raises(MalformedInput):
            a_cert(roles=tuple(sorted(roles)))
    elif OperatorRole.RELEASER not in roles:
        proof = ApprovalProof(
            signed_cert(a_cert(roles=tuple(sorted(roles)))), signed_approval(an_approval(), operator_key("rana"))
        )
        with pytest.raises(VerificationFailed):
            count([proof])
    proofs = [
        ApprovalProof(signed_cert(a_cert(name)), signed_approval(an_approval(), operator_key(name)))
        for name in approvers
    ]
    if with_author:
        # The key that signed the report, and with it the certificate, never approves it.
        author = statement_key("XA")
        cert = a_cert("author", operator=pseudonym("author"), key=author.public)
        proofs.append(ApprovalProof(signed_cert(cert), signed_approval(an_approval(), author)))
    if with_author or len(set(approvers)) < len(approvers):
        with pytest.raises(VerificationFailed):
            count(proofs)
    else:
        assert count(proofs) == len(approvers)


def count(proofs: list[ApprovalProof]) -> int:
    key = statement_key("XA").public
    lookup = {key.key_id: key}.get
    return len(verified_approvals(proofs, lookup, exchange=EXCHANGE, party="XA", item_hash=ITEM))


def ended(rules: Rules, at_ms: int) -> Rules:
    """Return the same rules, every agreement ending at `at_ms`; one that would begin later is left out."""
    agreements = []
    for found in [each for each in rules.agreements.values() if each.view.valid_from_ms < at_ms]:
        view = replace(found.view, valid_until_ms=at_ms)
        agreements.append(AgreementInForce(ref_of(view), view, found.status))
    return Rules.of(rules.exchange, agreements, rules.standings)


@settings(max_examples=50)
@given(easy(), st.integers(1, 3 * DAY))
def test_an_agreement_that_has_ended_lets_nothing_new_pass_and_what_is_held_stays_bound(
    world: tuple[Label, Release, Rules], later: int
) -> None:
    """Invariant 13: expired agreement stops new release within one roster interval, existing obligations survive."""
    label, release, rules = world
    item = Item.to_send(replace(label, originators=(XA,)), replace(release, to=(Target(everyone=True),)))
    until = ended(rules, NOW + 1)
    before = who_gets(item, sender=XA, rules=until, now_ms=NOW)
    assert not any(d.permit for _, d in who_gets(item, sender=XA, rules=until, now_ms=NOW + later))
    for _, decision in before:
        if decision.obligations is None or decision.basis is None:
            continue
        duties = decision.obligations
        held = Holding(XA, decision.basis, decision.clause, Item(slot=Slot(decision.basis)), 1, NOW, NOW, duties)
        assert decode_holding(encode_holding(held)).obligations == duties
        use = Use(Actions.NONE, duties.purposes[0], duties.use_in[0] if duties.use_in else "")
        if duties.purge_at_ms:
            assert may_use(duties, use, now_ms=duties.purge_at_ms)


@settings(max_examples=50)
@given(WORLDS, st.sampled_from(PARTIES))
def test_what_is_retracted_goes_to_nobody_and_is_taken_by_nobody(
    world: tuple[Label, Release, Rules], party: str
) -> None:
    """Invariant 14: retraction outranks any queued delivery of the same item."""
    label, release, rules = world
    found = who_gets(Item.to_send(label, release, retracted=True), sender=XA, rules=rules, now_ms=NOW)
    assert not any(decision.permit for _, decision in found)
    for each in rules.agreements.values():
        item = Item.received(label, Slot(each.ref), intact=True, retracted=True)
        recipient = next(one for one in PARTIES if one == party)
        decision = decide(item, sender=XA, recipient=recipient, rules=rules, now_ms=NOW, role=Role.RECIPIENT)
        assert not decision.permit


def test_the_properties_above_hold_of_something() -> None:
    """Somebody gets it before the end and before the retraction, or they show nothing."""
    outcomes: set[bool] = set()

    @given(easy())
    def collect(world: tuple[Label, Release, Rules]) -> None:
        label, release, rules = world
        wide = replace(release, to=(Target(everyone=True),), except_=())
        outcomes.add(XB in reached(replace(label, originators=(XA,)), wide, ended(rules, NOW + 1)))

    collect()
    assert True in outcomes


def test_every_invariant_has_its_property() -> None:
    numbers: set[int] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for told in re.findall(r"Invariants? (\d+(?:(?:, | and )\d+)*):", ast.get_docstring(node) or ""):
                    numbers.update(int(number) for number in re.findall(r"\d+", told))
    assert numbers == set(range(1, INVARIANTS + 1))
