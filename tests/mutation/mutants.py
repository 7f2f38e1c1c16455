"""Checks that somebody could lose: where each stands, what the code would be without it, and the test that notices.

A row of the coverage tables of docs/spec/policy.md names what keeps a field; the mutants of that field remove it, one
place at a time, and the named test must fail. `before` stands exactly once in its file.
"""

from dataclasses import dataclass

from exchange.policy.combine import RULES
from exchange.policy.mappings.carry import ENFORCED

POLICY = "tests/unit/exchange/policy"
CASES = f"{POLICY}/test_policy_decide.py::test_a_decision_gives_exactly_these_reasons"
STRICTER = f"{POLICY}/test_policy_decide.py {POLICY}/test_policy_vectors.py"
CODEC = f"{POLICY}/test_policy_codec.py"

STEPS = "exchange/policy/steps.py"
DECIDE = "exchange/policy/decide.py"
AUDIENCE = "exchange/policy/audience.py"
BINDING = "exchange/policy/binding.py"
ONWARD = "exchange/policy/onward.py"
CLEARANCE = "nodes/clearance.py"
CLEARANCE_TESTS = "tests/unit/nodes/test_clearance.py"
ROUTE = "exchange/policy/communities/route.py"
COMMUNITY = "exchange/policy/communities/verify.py"
COMMUNITY_MODEL = "exchange/policy/communities/model.py"
ROSTER = "exchange/policy/communities/roster.py"
RELAY_COMMUNITIES = "exchange/relay/communities.py"
RELAY_COMMUNITY_TESTS = "tests/integration/test_relay_communities.py"
COMMUNITY_TESTS = f"{POLICY}/test_policy_communities.py"
USE = "exchange/policy/use.py"
USE_TESTS = f"{POLICY}/test_policy_use.py"
READERS = "exchange/policy/readers.py"
READER_TESTS = f"{POLICY}/test_policy_readers.py"
CLEARED = "nodes/clearing.py"
CLEARED_TESTS = "tests/unit/nodes/test_clearing.py"
UNIFORM_TESTS = "tests/integration/test_node_readers.py"
APPROVALS = "exchange/approvals/verify.py"
APPROVAL_TESTS = "tests/unit/exchange/approvals"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One check removed."""

    field: str
    """Of the coverage tables: `label.tlp`, `community.history`, `agreement.ceiling`; or another thing that is kept."""
    where: str
    """Who loses it: everyone, sender, relay, recipient, export, reader."""
    file: str
    before: str
    after: str
    test: str
    """Test ids that pytest takes, the first failure suffices."""
    only: str = ""
    """pytest's -k, to keep it short."""

    @property
    def name(self) -> str:
        """A name for people."""
        return f"{self.field} ({self.where}): {self.before.strip()[:60]}"


def without(  # noqa: PLR0917 - a table reads well
    field: str, where: str, file: str, before: str, after: str, test: str = CASES, only: str = ""
) -> Mutant:
    """Return one mutant."""
    return Mutant(field, where, file, before, after, test, only)


VALIDITY = [
    without("label.policy", "everyone", STEPS, "if policy != POLICY:", "if False:"),
    without("label.basis", "everyone", STEPS, " and label.basis.kind and label.basis.citation", ""),
    without("label.originators", "everyone", STEPS, "complete = label.originators and label", "complete = label"),
    without("label.categories", "relay", STEPS, "bool(label.categories and label.purposes)", "bool(label.purposes)"),
    without("label.expires", "recipient", STEPS, "if 0 < label.expires_ms <= now_ms else", "if False else"),
    without("label.expires", "relay", STEPS, "if label.expires_ms <= now_ms else", "if False else"),
    without("label.not_before", "recipient", STEPS, "if now_ms < label.not_before_ms else", "if False else"),
    without("retraction", "everyone", STEPS, "if item.retracted else", "if False else"),
    without("label.label_sha256", "everyone", STEPS, "if not item.intact:", "if False:"),
]

AGREEMENT = [
    without("agreement.left", "everyone", STEPS, "        (Reason.AGREEMENT_TERMINATED, view.left),\n", ""),
    without("agreement.suspended", "everyone", STEPS, "        (Reason.AGREEMENT_SUSPENDED, view.suspended),\n", ""),
    without("agreement.exchange", "everyone", STEPS, "view.exchange != exchange", "False"),
    without(
        "agreement.agreement_id",
        "everyone",
        STEPS,
        "(view.agreement_id, view.version) != (ref.id, ref.version)",
        "False",
    ),
    without("agreement.valid", "everyone", STEPS, "at_ms < view.valid_from_ms", "False"),
    without("agreement.valid", "everyone", STEPS, "0 < view.valid_until_ms <= at_ms", "False"),
    without("agreement.status", "everyone", STEPS, "agreement.status is AgreementStatus.SUSPENDED", "False"),
    without("agreement.status", "everyone", STEPS, "agreement.status is AgreementStatus.TERMINATED", "False"),
    without(
        "agreement.parties",
        "everyone",
        DECIDE,
        "if self.sender not in parties or recipient not in parties:",
        "if False:",
    ),
    without("agreement.senders", "everyone", DECIDE, "(term.senders and self.sender not in term.senders) or ", ""),
    without(
        "agreement.recipients", "everyone", DECIDE, "term.recipients and recipient not in term.recipients", "False"
    ),
    without("slot.basis", "everyone", DECIDE, "if found is None or found.ref != basis:", "if found is None:"),
    without(
        "standing",
        "everyone",
        DECIDE,
        "Membership.SUSPENDED: (_fail(Step.AGREEMENT, Reason.SENDER_SUSPENDED),)",
        "Membership.SUSPENDED: ()",
    ),
    without(
        "standing",
        "everyone",
        DECIDE,
        "Membership.EXPELLED: (_fail(Step.AGREEMENT, Reason.RECIPIENT_EXPELLED),)",
        "Membership.EXPELLED: ()",
    ),
]

CONTENT = [
    without("agreement.denied_categories", "everyone", STEPS, "    if denied:\n", "    if False:\n"),
    without("agreement.categories", "everyone", STEPS, "    if beyond:\n", "    if False:\n"),
    without("agreement.purposes", "everyone", STEPS, "if facts.purposes.isdisjoint(term.purposes):", "if False:"),
    without("agreement.about", "everyone", STEPS, "elif outside:", "elif False:"),
    without("label.about", "everyone", STEPS, "if not facts.about:", "if False:"),
    without(
        "agreement.use_in", "everyone", STEPS, "if common_places(facts.label.use_in, term.use_in) is None:", "if False:"
    ),
    without("agreement.ceiling", "everyone", STEPS, "if facts.tlp > term.ceiling:", "if False:"),
    without("standing.ceiling", "everyone", DECIDE, "self.facts.tlp > standing.ceiling", "False"),
    without("agreement.national", "everyone", STEPS, "    if not known:\n", "    if False:\n"),
    without(
        "label.national",
        "everyone",
        STEPS,
        "not any(national.classification in ceiling.classifications for ceiling in known)",
        "False",
    ),
    without(
        "agreement.personal_data", "everyone", STEPS, "facts.personal_data and term.personal_data < allowed", "False"
    ),
    without("label.personal_data", "everyone", STEPS, "PersonalDataRule.PSEUDONYMOUS if facts.pseudonymous else ", ""),
    without(
        "label.personal_data",
        "everyone",
        STEPS,
        "label.personal_data.present or label.personal_data.special,",
        "False,",
    ),
    without("agreement.special_categories", "everyone", STEPS, "if not term.special_categories:", "if False:"),
    without(
        "label.purposes",
        "everyone",
        STEPS,
        "if Purpose.PROTECT_LIFE not in facts.purposes.intersection(term.purposes):",
        "if False:",
    ),
    without("agreement.approvals", "everyone", STEPS, "max(term.approvals, ", "max(0, "),
    without("label.approvals", "everyone", STEPS, "facts.label.approvals if facts.label else 0", "0"),
]

RELEASE = [
    without("release.except", "sender", AUDIENCE, "if recipient in self.excluded:", "if False:"),
    without("release.to", "sender", AUDIENCE, "if not self.release.to:", "if False:"),
    without(
        "release.to",
        "sender",
        AUDIENCE,
        "if self.release is None:\n            return (), (_fail(Reason.NO_RELEASE),)",
        "if self.release is None:\n            return (), PASSED[Step.AUDIENCE]",
    ),
    without("label.embargo_until", "everyone", DECIDE, "if self.now_ms >= label.embargo_until_ms or", "if True or"),
]

OBLIGATIONS = [
    without(
        "label.actions", "recipient", STEPS, "min(label.actions, limits.actions_max)", "limits.actions_max", STRICTER
    ),
    without(
        "agreement.actions_max", "recipient", STEPS, "min(label.actions, limits.actions_max)", "label.actions", STRICTER
    ),
    without(
        "agreement.evidence_use",
        "recipient",
        STEPS,
        "min(label.evidence_use, limits.evidence_use)",
        "label.evidence_use",
        STRICTER,
    ),
    without(
        "label.evidence_use",
        "recipient",
        STEPS,
        "min(label.evidence_use, limits.evidence_use)",
        "limits.evidence_use",
        STRICTER,
    ),
    without(
        "agreement.onward_default",
        "recipient",
        STEPS,
        "min(label.onward, limits.onward_default)",
        "label.onward",
        STRICTER,
    ),
    without(
        "label.onward",
        "recipient",
        STEPS,
        "min(label.onward, limits.onward_default)",
        "limits.onward_default",
        STRICTER,
    ),
    without(
        "agreement.onward_hops",
        "recipient",
        STEPS,
        "_least_set(label.max_hops, limits.onward_hops)",
        "label.max_hops",
        STRICTER,
    ),
    without(
        "label.retention",
        "recipient",
        STEPS,
        "_least_set(label.retention_days, limits.retention_max_days)",
        "limits.retention_max_days",
        STRICTER,
    ),
    without(
        "agreement.retention_max",
        "recipient",
        STEPS,
        "_least_set(label.retention_days, limits.retention_max_days)",
        "label.retention_days",
        STRICTER,
    ),
    without("label.on_expiry", "recipient", STEPS, "on_expiry.get(OnExpiry.PURGE, 0), now_ms", "0, now_ms", STRICTER),
    without("label.on_expiry", "recipient", STEPS, "ask_at_ms=on_expiry.get(OnExpiry.ASK, 0)", "ask_at_ms=0", STRICTER),
    without("label.review_on", "recipient", STEPS, "review_on_ms=label.review_on_ms", "review_on_ms=0", STRICTER),
    without("label.readers", "recipient", STEPS, "readers=label.readers,", "readers=None,", STRICTER),
    without("label.readers", "recipient", STEPS, "return label.tlp is Tlp.RED and", "return False and", STRICTER),
    without("release.display_only", "sender", DECIDE, "recipient in release.display_only", "False", STRICTER),
    without(
        "release.display_only", "recipient", DECIDE, "slot.display_only if slot else", "False if slot else", STRICTER
    ),
]

BOUND = [
    without("label.tlp", "recipient", BINDING, 'names = ("tlp", "policy",', 'names = ("policy",', CODEC),
    without("label.policy", "recipient", BINDING, '"tlp", "policy", "categories"', '"tlp", "categories"', CODEC),
    without(
        "label.categories", "recipient", BINDING, '"policy", "categories", "purposes"', '"policy", "purposes"', CODEC
    ),
    without(
        "label.purposes", "recipient", BINDING, '"categories", "purposes", "flags"', '"categories", "flags"', CODEC
    ),
    without(
        "label.flags", "recipient", BINDING, '"purposes", "flags", "expires_ms"', '"purposes", "expires_ms"', CODEC
    ),
    without(
        "label.expires",
        "recipient",
        BINDING,
        '"flags", "expires_ms", "label_sha256")',
        '"flags", "label_sha256")',
        CODEC,
    ),
    without("label.label_sha256", "recipient", BINDING, ', "label_sha256")\n', ")\n", CODEC),
    without(
        "label.release_sha256",
        "recipient",
        "exchange/envelope/statement.py",
        "release_sha256(release, opened.salt) != label.release_sha256",
        "False",
        "tests/unit/exchange/envelope/test_envelope_open.py",
    ),
]

DECIDERS = [
    without(
        "every step",
        "relay",
        "exchange/relay/submit.py",
        "    denied = _deny(verified, snapshot, checks.now_ms)",
        "    denied = None",
        "tests/integration/test_relay_service.py",
    ),
    without(
        "every step",
        "recipient",
        "nodes/opening.py",
        "if decided is not None and not decided.decision.permit:",
        "if False:",
        "tests/integration/test_node_decides_again.py",
    ),
    without(
        "every step",
        "sender",
        "nodes/sealing.py",
        "if decision.permit else after_denial(row, decision, job.label)",
        "",
        "tests/integration/test_node_communities.py::test_a_member_that_is_removed_while_a_report_waits_for_its_prekey_never_gets_it",
    ),
]

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
            "nodes/sender.py",
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

ROSTER_SHOWN = [
    without("release.roster", where, file, before, after, test)
    for where, file, before, after, test in (
        (
            "recipient",
            "exchange/envelope/statement.py",
            "    if not opened.open_roster:\n",
            "    if False:\n",
            "tests/unit/exchange/envelope/test_envelope_open.py",
        ),
        (
            "sender",
            "nodes/vault.py",
            " and self.audience.open_roster else",
            " else",
            "tests/integration/test_node_open_roster.py",
        ),
        (
            "author",
            "exchange/policy/product.py",
            "    if release.open_roster and not than.open_roster:\n",
            "    if False:\n",
            f"{POLICY}/test_policy_combine.py",
        ),
    )
]

FELLOWS = [
    without(field, "originator", file, before, after, f"{POLICY}/test_policy_fellows.py")
    for field, file, before, after in (
        (
            "community.visibility",
            ROUTE,
            " and sees_roster(each.active.head, each.active.members[member])",
            "",
        ),
        ("community.owner", ROUTE, "            if not each.suspended and sees_roster(", "            if sees_roster("),
        ("community.history", ROUTE, "each.has(party) and each.lets_in(party, self._authored_ms)", "each.has(party)"),
        ("community.epoch", ROUTE, "if each.has(party) and", "if"),
        ("release.except", AUDIENCE, "fellows(member) - self.excluded - {member}", "fellows(member) - {member}"),
        ("community.audience", AUDIENCE, "if self._addressed(member) or member", "if member"),
    )
]

COMMUNITIES = [
    without("community.agreement_id", "everyone", DECIDE, "return not ids or agreement.ref.id in ids", "return True"),
    without("community.epoch", "sender", ROUTE, "if all(each.epoch != target.epoch for each in known):", "if False:"),
    without(
        "community.epoch",
        "sender",
        ROUTE,
        "return active if target.epoch <= active.head.epoch else Reason.COMMUNITY_NOT_YET",
        "return active",
    ),
    without(
        "community.status",
        "relay",
        ROUTE,
        "for each in _named(slot.via, rules) if each.status is AgreementStatus.ACTIVE]",
        "for each in _named(slot.via, rules)]",
    ),
    without(
        "community.status",
        "recipient",
        ROUTE,
        "next((each.held for each in found if each.status is AgreementStatus.ACTIVE), None)",
        "found[-1].held",
    ),
    without("community.valid_until", "everyone", ROUTE, "if 0 < held.head.terms.valid_until_ms <= at_ms:", "if False:"),
    without(
        "community.owner",
        "everyone",
        ROUTE,
        "if standing is None or standing.membership not in {Membership.ADMITTED, Membership.SUSPENDED}:",
        "if False:",
    ),
    without(
        "community.owner",
        "everyone",
        ROUTE,
        "if standing.membership is Membership.SUSPENDED else None",
        "if False else None",
    ),
    without("community.owner", "relay", ROUTE, "_owner(active[0].owner, rules) if active", "None if active"),
    without(
        "community.publishers",
        "sender",
        ROUTE,
        "return all(sender in each.head.publishers for each in (active, *newer))",
        "return True",
    ),
    without("community.publishers", "recipient", ROUTE, "if sender not in held.head.publishers:", "if False:"),
    without(
        "community.categories",
        "sender",
        ROUTE,
        "if item.label is None or not active.head.terms.covers(item.label):",
        "if False:",
    ),
    without(
        "community.categories",
        "recipient",
        ROUTE,
        "if item.label is None or not held.head.terms.covers(item.label):",
        "if False:",
    ),
    without("community.members_root", "recipient", ROUTE, "if recipient not in held.members:", "if False:"),
    without(
        "community.history", "sender", ROUTE, "self.active.members[recipient].since_epoch <= self.named or", "True or"
    ),
    without("community.visibility", "member", COMMUNITY, "    if not sees:\n", "    if False:\n", COMMUNITY_TESTS),
    without("community.owner", "member", COMMUNITY, "if head.owner != owner:", "if False:", COMMUNITY_TESTS),
    without("community.exchange", "member", COMMUNITY, "if head.exchange != exchange:", "if False:", COMMUNITY_TESTS),
    without("community.members_root", "member", COMMUNITY, "if mine.party != me:", "if False:", COMMUNITY_TESTS),
    without("community.owner", "relay", COMMUNITY, "if notice.owner != owner:", "if False:", COMMUNITY_TESTS),
]

ROSTERS = [
    without("community.members", "sender", ROUTE, "recipient in self.active.members and all(", "all("),
    without("community.members", "sender", ROUTE, " and all(recipient in each.members for each in self.newer)", ""),
    without("community.about", "everyone", COMMUNITY_MODEL, "return categories and places", "return categories"),
    without("community.about", "everyone", COMMUNITY_MODEL, "(bool(label.about) and set", "(set"),
    without("community.categories", "everyone", COMMUNITY_MODEL, "return categories and places", "return places"),
    without(
        "community.history",
        "sender",
        ROUTE,
        "if each.has(recipient) and each.lets_in(recipient, self._authored_ms)",
        "if each.has(recipient)",
    ),
    without("community.history", "sender", ROUTE, " and authored_ms >= terms.history_from_ms", ""),
    without("community.visibility", "member", COMMUNITY, "        if sees:\n", "        if False:\n", COMMUNITY_TESTS),
    without(
        "community.members_root",
        "member",
        ROSTER,
        "if tree_of(roster).root != head.members_root:",
        "if False:",
        COMMUNITY_TESTS,
    ),
    without(
        "community.publishers", "member", ROSTER, "if publishers != head.publishers:", "if False:", COMMUNITY_TESTS
    ),
    without(
        "community.role",
        "member",
        ROSTER,
        "if (member.role is MemberRole.PUBLISHER) != (member.party in head.publishers):",
        "if False:",
        COMMUNITY_TESTS,
    ),
    without(
        "community.since_epoch", "member", ROSTER, "if member.since_epoch > head.epoch:", "if False:", COMMUNITY_TESTS
    ),
    without(
        "community.members", "member", ROSTER, " and head.members != len(members):", " and False:", COMMUNITY_TESTS
    ),
    without(
        "community.status",
        "relay",
        COMMUNITY_MODEL,
        'sha256(_SHOWN_LABEL + community + epoch.to_bytes(8, "big") + commitment).digest()',
        "commitment",
        RELAY_COMMUNITY_TESTS,
        "touches_no_agreement",
    ),
    without(
        "community.epoch",
        "relay",
        RELAY_COMMUNITIES,
        "if notice.epoch != last + 1:",
        "if False:",
        RELAY_COMMUNITY_TESTS,
        "gap",
    ),
    without(
        "community.status",
        "relay",
        RELAY_COMMUNITIES,
        "if epochs and _ended(snapshot, epochs):",
        "if False:",
        RELAY_COMMUNITY_TESTS,
        "ended_stays",
    ),
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

COMBINE = "exchange/policy/combine.py"
COMBINED = [
    without(
        f"combination.{name}",
        "author",
        COMBINE,
        f'    "{name}": ',
        f'    "{name}": (lambda one, _: one) if True else ',
        f"{POLICY}/test_policy_combine.py",
    )
    for name in RULES
]
"""Each rule of combination gives way to the first source."""

DERIVED = [
    without(
        "label.derived_from",
        "author",
        "nodes/deriving.py",
        "if found:",
        "if False:",
        "tests/unit/nodes/test_deriving.py",
    ),
    without(
        "label.derived_from",
        "author",
        "nodes/deriving.py",
        "if unknown:",
        "if False:",
        "tests/unit/nodes/test_deriving.py",
    ),
    without(
        "label.originators",
        "author",
        "nodes/deriving.py",
        "originators=_sorted(allowed.originators),",
        "originators=label.originators,",
        "tests/unit/nodes/test_deriving.py",
    ),
]

ENVELOPE_TESTS = "tests/unit/exchange/envelope"
BLOB = "exchange/envelope/blob.py"
ATTACHED = [
    without("report.attachments", where, file, before, after, f"{ENVELOPE_TESTS}/{test}")
    for where, file, before, after, test in (
        (
            "recipient",
            "exchange/envelope/statement.py",
            "    if report.attachments != attachments_of(body.blobs):\n",
            "    if False:\n",
            "test_envelope_open.py",
        ),
        (
            "everyone",
            "exchange/envelope/rules.py",
            "    if any(blob.size != blob_size(key.size) for key, blob in zip(body.blobs, core.blobs, strict=True)):\n",
            "    if False:\n",
            "test_envelope_seal.py",
        ),
        (
            "everyone",
            "exchange/envelope/rules.py",
            "    if any(not BLOB_LEAST <= blob.size <= BLOB_BYTES for blob in core.blobs):\n",
            "    if False:\n",
            "test_envelope_open.py",
        ),
        ("recipient", BLOB, "padding.count(0) != len(padding)", "False", "test_envelope_blob.py"),
        ("recipient", BLOB, "plain.digest() != key.plain_sha256", "False", "test_envelope_blob.py"),
        ("recipient", BLOB, "return _LABEL + blob_id", "return _LABEL", "test_envelope_blob.py"),
    )
]
"""A file of a report is lost where another could take its place, or more than the file could hide in it."""

CARRIERS = f"{POLICY}/mappings/test_mapping_carriers.py"
CARRIED = [
    without(
        f"carried.{name}",
        "export",
        "exchange/policy/mappings/carry.py",
        f'    "{name}": lambda',
        f'    "{name}": lambda *_: False if True else lambda',
        CARRIERS,
    )
    for name in ENFORCED
]
"""Each field that software keeps is lost where a report leaves in another format."""

MUTANTS = [
    *VALIDITY,
    *AGREEMENT,
    *CONTENT,
    *RELEASE,
    *OBLIGATIONS,
    *BOUND,
    *CONSENT,
    *CLEARING,
    *OVERTAKEN,
    *STANDING,
    *ROSTER_SHOWN,
    *FELLOWS,
    *COMMUNITIES,
    *ROSTERS,
    *EXPORT,
    *READING,
    *UNIFORM,
    *APPROVING,
    *DECIDERS,
    *COMBINED,
    *DERIVED,
    *CARRIED,
    *ATTACHED,
]
