"""Checks of a decision: the label, the agreement, the content, the release, the duties, and who decides."""

from tests.mutation.mutant import AUDIENCE, BINDING, CODEC, DECIDE, POLICY, STEPS, without

STRICTER = f"{POLICY}/test_policy_decide.py {POLICY}/test_policy_vectors.py"

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
