"""Checks that somebody could lose: where each stands, what the code would be without it, and the test that notices.

A row of the coverage tables of docs/spec/policy.md names what keeps a field; the mutants of that field remove it, one
place at a time, and the named test must fail. `before` stands exactly once in its file.
"""

from dataclasses import dataclass

POLICY = "tests/unit/exchange/policy"
CASES = f"{POLICY}/test_policy_decide.py::test_a_decision_gives_exactly_these_reasons"
STRICTER = f"{POLICY}/test_policy_decide.py {POLICY}/test_policy_vectors.py"
CODEC = f"{POLICY}/test_policy_codec.py"

STEPS = "exchange/policy/steps.py"
DECIDE = "exchange/policy/decide.py"
AUDIENCE = "exchange/policy/audience.py"
BINDING = "exchange/policy/binding.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One check removed."""

    field: str
    """Of the coverage tables: `label.tlp`, `release.to`, `term.ceiling`, `view.parties`, `agreement.text`."""
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
    without("view.exchange", "everyone", STEPS, "view.exchange != exchange", "False"),
    without(
        "view.agreement_id", "everyone", STEPS, "(view.agreement_id, view.version) != (ref.id, ref.version)", "False"
    ),
    without("view.valid", "everyone", STEPS, "at_ms < view.valid_from_ms", "False"),
    without("view.valid", "everyone", STEPS, "0 < view.valid_until_ms <= at_ms", "False"),
    without("view.status", "everyone", STEPS, "agreement.status is AgreementStatus.SUSPENDED", "False"),
    without("view.status", "everyone", STEPS, "agreement.status is AgreementStatus.TERMINATED", "False"),
    without(
        "view.parties", "everyone", DECIDE, "if self.sender not in parties or recipient not in parties:", "if False:"
    ),
    without("term.senders", "everyone", DECIDE, "(term.senders and self.sender not in term.senders) or ", ""),
    without("term.recipients", "everyone", DECIDE, "term.recipients and recipient not in term.recipients", "False"),
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
    without("term.denied_categories", "everyone", STEPS, "    if denied:\n", "    if False:\n"),
    without("term.categories", "everyone", STEPS, "    if beyond:\n", "    if False:\n"),
    without("term.purposes", "everyone", STEPS, "if facts.purposes.isdisjoint(term.purposes):", "if False:"),
    without("term.about", "everyone", STEPS, "elif outside:", "elif False:"),
    without("label.about", "everyone", STEPS, "if not facts.label.about:", "if False:"),
    without(
        "term.use_in", "everyone", STEPS, "if common_places(facts.label.use_in, term.use_in) is None:", "if False:"
    ),
    without("term.ceiling", "everyone", STEPS, "if facts.tlp > term.ceiling:", "if False:"),
    without("standing.ceiling", "everyone", DECIDE, "self.facts.tlp > standing.ceiling", "False"),
    without("term.national", "everyone", STEPS, "    if not known:\n", "    if False:\n"),
    without(
        "label.national",
        "everyone",
        STEPS,
        "not any(national.classification in ceiling.classifications for ceiling in known)",
        "False",
    ),
    without("term.personal_data", "everyone", STEPS, "facts.personal_data and term.personal_data < allowed", "False"),
    without("label.personal_data", "everyone", STEPS, "PersonalDataRule.PSEUDONYMOUS if facts.pseudonymous else ", ""),
    without(
        "label.personal_data",
        "everyone",
        STEPS,
        "label.personal_data.present or label.personal_data.special,",
        "False,",
    ),
    without("term.special_categories", "everyone", STEPS, "if not term.special_categories:", "if False:"),
    without(
        "label.purposes",
        "everyone",
        STEPS,
        "if Purpose.PROTECT_LIFE not in facts.purposes.intersection(term.purposes):",
        "if False:",
    ),
    without("term.approvals", "everyone", STEPS, "max(term.approvals, ", "max(0, "),
    without("label.approvals", "everyone", STEPS, "facts.label.approvals if facts.label else 0", "0"),
]

RELEASE = [
    without("release.except", "sender", AUDIENCE, "if recipient in self.excluded:", "if False:"),
    without("release.to", "sender", AUDIENCE, "if not self.release.to:", "if False:"),
    without(
        "release.to",
        "sender",
        AUDIENCE,
        "if self.release is None:\n            return (_fail(Reason.NO_RELEASE),)",
        "if self.release is None:\n            return PASSED[Step.AUDIENCE]",
    ),
    without("label.embargo_until", "everyone", DECIDE, "if self.now_ms >= label.embargo_until_ms or", "if True or"),
]

OBLIGATIONS = [
    without("label.actions", "recipient", STEPS, "min(label.actions, term.actions_max)", "term.actions_max", STRICTER),
    without("term.actions_max", "recipient", STEPS, "min(label.actions, term.actions_max)", "label.actions", STRICTER),
    without(
        "term.evidence_use",
        "recipient",
        STEPS,
        "min(label.evidence_use, term.evidence_use)",
        "label.evidence_use",
        STRICTER,
    ),
    without(
        "label.evidence_use",
        "recipient",
        STEPS,
        "min(label.evidence_use, term.evidence_use)",
        "term.evidence_use",
        STRICTER,
    ),
    without(
        "term.onward_default",
        "recipient",
        STEPS,
        "min(label.onward, term.onward_default)",
        "label.onward",
        STRICTER,
    ),
    without(
        "label.onward",
        "recipient",
        STEPS,
        "min(label.onward, term.onward_default)",
        "term.onward_default",
        STRICTER,
    ),
    without(
        "term.onward_hops",
        "recipient",
        STEPS,
        "_least_set(label.max_hops, term.onward_hops)",
        "label.max_hops",
        STRICTER,
    ),
    without(
        "label.retention",
        "recipient",
        STEPS,
        "_least_set(label.retention_days, term.retention_max_days)",
        "term.retention_max_days",
        STRICTER,
    ),
    without(
        "term.retention_max",
        "recipient",
        STEPS,
        "_least_set(label.retention_days, term.retention_max_days)",
        "label.retention_days",
        STRICTER,
    ),
    without("label.on_expiry", "recipient", STEPS, "on_expiry.get(OnExpiry.PURGE, 0), now_ms", "0, now_ms", STRICTER),
    without("label.on_expiry", "recipient", STEPS, "ask_at_ms=on_expiry.get(OnExpiry.ASK, 0)", "ask_at_ms=0", STRICTER),
    without("label.review_on", "recipient", STEPS, "review_on_ms=label.review_on_ms", "review_on_ms=0", STRICTER),
    without("label.readers", "recipient", STEPS, "readers=label.readers,", "readers=None,", STRICTER),
    without("label.readers", "recipient", STEPS, "return label.tlp is Tlp.RED and", "return False and", STRICTER),
    without("release.display_only", "sender", DECIDE, "recipient in release.display_only", "False", STRICTER),
    without("slot.display_only", "recipient", DECIDE, "slot.display_only if slot else", "False if slot else", STRICTER),
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
        "release_sha256(release, decode_release(release).salt) != label.release_sha256",
        "False",
        "tests/unit/exchange/envelope/test_envelope_open.py",
    ),
]

DECIDERS = [
    without(
        "every step",
        "relay",
        "exchange/relay/submit.py",
        "denied = _deny_report(verified, snapshot, checks.now_ms)",
        "denied = None",
        "tests/integration/test_relay_service.py",
    ),
    without(
        "every step",
        "recipient",
        "nodes/opening.py",
        "if decision is not None and not decision.permit:",
        "if False:",
        "tests/integration/test_node_decides_again.py",
    ),
    without(
        "every step",
        "sender",
        "nodes/sealing.py",
        "if decision is not None and not decision.permit:",
        "if False:",
        "tests/integration/test_node_relay.py",
    ),
]

MUTANTS = [*VALIDITY, *AGREEMENT, *CONTENT, *RELEASE, *OBLIGATIONS, *BOUND, *DECIDERS]
