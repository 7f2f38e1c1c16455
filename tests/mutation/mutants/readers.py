"""Checks of who may read, list and take out a report within a partner."""

from tests.mutation.mutant import POLICY, without

CLEARANCE = "nodes/clearance.py"
CLEARANCE_TESTS = "tests/unit/nodes/test_clearance.py"
USE = "exchange/policy/use.py"
USE_TESTS = f"{POLICY}/test_policy_use.py"
READERS = "exchange/policy/readers.py"
READER_TESTS = f"{POLICY}/test_policy_readers.py"
CLEARED = "nodes/clearing.py"
CLEARED_TESTS = "tests/unit/nodes/test_clearing.py"
UNIFORM_TESTS = "tests/integration/test_node_readers.py"

CLEARING = [
    without(field, "originator", CLEARANCE, before, after, CLEARANCE_TESTS)
    for field, before, after in (
        ("label.orcon", "label.orcon or own.granted", "own.granted"),
        ("consent.again", " or own.granted >= CLEARED_AGAIN", ""),
        (
            "release.pre_authorised",
            "(own.release is not None and partner in own.release.pre_authorised)",
            "own.release is not None",
        ),
        ("release.except", "partner in own.release.except_", "False"),
        ("agreement.pre_cleared", "if partner in term.pre_cleared or", "if term.pre_cleared or"),
        (
            "agreement.status",
            "    if term is None:\n        return False\n",
            "    if term is None:\n        return True\n",
        ),
        ("label.onward", "if any(label.onward is OnwardRule.NONE for label in labels):", "if False:"),
        ("label.max_hops", "if hop > most:", "if False:"),
        ("label.expires", "if against or not purposes or until_ms <= now_ms:", "if against or not purposes:"),
        ("label.purposes", "if against or not purposes or until_ms", "if against or until_ms"),
        ("retraction", "if own.label is not None and not own.withdrawn]", "if own.label is not None]"),
        ("community.onward", "and partner in own.fellows and", "and"),
        ("label.onward", "return onward is OnwardRule.COMMUNITY and partner", "return partner"),
        ("label.embargo_until", " and label.embargo_until_ms <= now_ms", ""),
        ("consent.asker", "if not owns or len(had) != len(owns):", "if not owns or not had:"),
    )
]

EXPORT = [
    without("label.purposes", "export", USE, "if use.purpose not in must.purposes:", "if False:", USE_TESTS),
    without("label.actions", "export", USE, "if use.action > must.actions:", "if False:", USE_TESTS),
    without("agreement.actions_max", "export", USE, "if use.action > must.actions:", "if False:", USE_TESTS),
    without("label.use_in", "export", USE, "if must.use_in and not use.place:", "if False:", USE_TESTS),
    without(
        "label.use_in", "export", USE, "elif must.use_in and use.place not in must.use_in:", "elif False:", USE_TESTS
    ),
    without("label.evidence_use", "export", USE, "if must.evidence_use is EvidenceUse.NO:", "if False:", USE_TESTS),
    without(
        "label.evidence_use",
        "export",
        USE,
        "elif must.evidence_use is EvidenceUse.WITH_CONSENT:",
        "elif False:",
        USE_TESTS,
    ),
    without("release.display_only", "export", USE, "if must.display_only:", "if False:", USE_TESTS),
    without("label.readers", "export", USE, "if must.nobody_may_read:", "if False:", USE_TESTS),
    without("label.embargo_until", "export", USE, "if now_ms < must.embargo_until_ms:", "if False:", USE_TESTS),
    without("retraction", "export", USE, "    if withdrawn:\n", "    if False:\n", USE_TESTS),
    without("label.retention", "export", USE, "if 0 < must.purge_at_ms <= now_ms:", "if False:", USE_TESTS),
]

READING = [
    without(
        "label.readers",
        "reader",
        READERS,
        "        if tlp is Tlp.RED:\n            yield",
        "        if False:\n            yield",
        READER_TESTS,
    ),
    without(
        "label.readers",
        "reader",
        READERS,
        "if not rule.names_anyone:\n        yield",
        "if False:\n        yield",
        READER_TESTS,
    ),
    without(
        "label.readers", "reader", READERS, "yield from _clearance(rule, reader, terms.scales)", "pass", READER_TESTS
    ),
    without(
        "label.readers",
        "reader",
        READERS,
        "    for attribute in rule.all_of:",
        "    for attribute in ():",
        READER_TESTS,
    ),
    without("label.readers", "reader", READERS, "    for group in rule.any_of:", "    for group in ():", READER_TESTS),
    without(
        "label.readers",
        "reader",
        READERS,
        "if rule.named and reader.name not in rule.named:",
        "if False:",
        READER_TESTS,
    ),
    without(
        "label.readers",
        "reader",
        READERS,
        "elif levels.index(held) < levels.index(needed):",
        "elif False:",
        READER_TESTS,
    ),
    without(
        "label.readers",
        "reader",
        CLEARED,
        "if candidate.rule is None:\n            return False",
        "if False:\n            return False",
        CLEARED_TESTS,
    ),
    without("label.readers", "reader", CLEARED, "return permit or", "return True or", CLEARED_TESTS),
    without("label.readers", "reader", CLEARED, ' or candidate.author == caller.name != ""', "", CLEARED_TESTS),
    without("label.readers", "reader", CLEARED, '"" if caller.is_owner else caller.name', "caller.name", CLEARED_TESTS),
]

UNIFORM = [
    without(
        "totals",
        "reader",
        "nodes/node_service.py",
        "sees_totals = not WATCHERS.isdisjoint(caller.roles)",
        "sees_totals = bool(caller.roles)",
        UNIFORM_TESTS,
        "totals",
    ),
    without(
        "totals",
        "reader",
        "nodes/simulation.py",
        "wanted = [each for each in recent if each.item in readable]",
        "wanted = recent",
        UNIFORM_TESTS,
        "replayed",
    ),
    without(
        "lists",
        "reader",
        "nodes/consent_service.py",
        "            if len(found) < limit:\n",
        "            if True:\n",
        UNIFORM_TESTS,
        "take_no_place_in_a_list",
    ),
    without(
        "names",
        "reader",
        "nodes/shelf.py",
        "            if len(found) < CANDIDATES or len(items) >= most:\n",
        "            if True:\n",
        UNIFORM_TESTS,
        "among_what_a_name_means",
    ),
    without(
        "versions",
        "reader",
        "nodes/shelf.py",
        "replace(row, state=ItemState.CURRENT) if row.item in current else row",
        "row",
        UNIFORM_TESTS,
        "current_for_whoever",
    ),
    without(
        "lists",
        "reader",
        "nodes/overdue.py",
        "        if len(rows) < LINES or len(found) >= LINES:\n",
        "        if True:\n",
        UNIFORM_TESTS,
        "among_what_is_overdue",
    ),
    without(
        "lists",
        "releaser",
        "nodes/approving.py",
        "            if len(items) < PAGE:\n",
        "            if True:\n",
        "tests/integration/test_node_four_eyes.py",
        "page_by_page",
    ),
]
