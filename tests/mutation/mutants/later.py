"""Checks of what happens after a report was signed: consent, approval, overtaken versions, standings that change."""

from tests.mutation.mutant import BINDING, CODEC, DECIDE, without

ONWARD = "exchange/policy/onward.py"
APPROVALS = "exchange/approvals/verify.py"
APPROVAL_TESTS = "tests/unit/exchange/approvals"

CONSENT = [
    without("label.onward", "everyone", ONWARD, "if label.onward is OnwardRule.NONE:", "if False:"),
    without("label.originators", "everyone", ONWARD, "if party != sender]", "if party != sender][:1]"),
    without(
        "label.originators",
        "everyone",
        ONWARD,
        "(consent.originator, consent.holder) == (originator, sender)",
        "consent.holder == sender",
    ),
    without(
        "consent.holder",
        "everyone",
        ONWARD,
        "(consent.originator, consent.holder) == (originator, sender)",
        "consent.originator == originator",
    ),
    without("label.derived_from", "everyone", ONWARD, "{item.item_hash, *label.derived_from}", "{item.item_hash}"),
    without("consent.item", "everyone", ONWARD, " and consent.item in items:", ":"),
    without("consent.to", "everyone", ONWARD, "lambda consent: consent.recipient == recipient", "lambda _: True"),
    without("consent.until", "everyone", ONWARD, "lambda consent: at_ms < consent.until_ms", "lambda _: True"),
    without("label.max_hops", "everyone", ONWARD, "lambda consent: 1 <= consent.hop <= hops", "lambda _: True"),
    without(
        "agreement.onward_hops", "everyone", ONWARD, "min(label.max_hops, term.onward_hops) if", "label.max_hops if"
    ),
    without(
        "consent.any",
        "relay",
        DECIDE,
        "PASSED[Step.ONWARD] if self.item.grant_hashes else (missing,)",
        "PASSED[Step.ONWARD]",
    ),
    without("label.originators", "recipient", BINDING, "if consent_needed(label, sender):", "if False:", CODEC),
]

OVERTAKEN = [
    without(
        "consent.replaced",
        "holder",
        file,
        before,
        after,
        "tests/integration/test_node_consent_overtaken.py",
        only,
    )
    for file, before, after, only in (
        ("nodes/inbox.py", "        end_replaced(connection, thread, originator, now_ms)\n", "", "lets_nobody_have_it"),
        (
            "nodes/due.py",
            "if report.direction is Direction.RECEIVED and report.state is ItemState.REPLACED:",
            "if False:",
            "gave_back",
        ),
        ("nodes/passing.py", "    look_again(connection, item)\n", "", "product"),
        ("nodes/outbox.py", "        look_again(connection, each.supersedes)\n", "", "at_once_after"),
    )
]

STANDING = [
    without(
        "standing.crossed",
        "sender",
        "nodes/answers.py",
        "    if control is None or _type_of(control.statement) in FROM_SUSPENDED:",
        "    if True:",
        "tests/integration/test_node_suspended.py",
        "crosses",
    ),
    without(
        "standing.as_of",
        "recipient",
        "nodes/opening.py",
        "directory.standing(opened.core.sender, at_size=promise.directory_size)",
        "directory.standing(opened.core.sender, at_size=ground.snapshot.size)",
        "tests/integration/test_node_suspended.py",
        "whenever_it_is_read",
    ),
]

APPROVING = [
    without(
        "label.approvals",
        "recipient",
        APPROVALS,
        "_expect(OperatorRole.RELEASER in cert.roles,",
        "_expect(True,",
        APPROVAL_TESTS,
    ),
    without(
        "label.approvals",
        "recipient",
        APPROVALS,
        "_expect(approval.item_hash == item_hash,",
        "_expect(True,",
        APPROVAL_TESTS,
    ),
    without(
        "label.approvals",
        "recipient",
        APPROVALS,
        "_expect(cert.not_before_ms <= approval.at_ms < cert.not_after_ms,",
        "_expect(True,",
        APPROVAL_TESTS,
    ),
    without(
        "agreement.approvals",
        "recipient",
        APPROVALS,
        "if len(different) != len(approved):",
        "if False:",
        APPROVAL_TESTS,
    ),
    without(
        "agreement.approvals",
        "recipient",
        APPROVALS,
        "_expect((cert.exchange, cert.party) == (exchange, party),",
        "_expect(True,",
        APPROVAL_TESTS,
    ),
]
