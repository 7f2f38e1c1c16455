"""Findings and obligations in sentences for people. Codes stay the same; sentences may change."""

from exchange.policy.decision import Finding, Obligations, Outcome, Reason
from exchange.policy.fields import instant_text
from exchange.policy.model import Duty

_SENTENCES = {
    Reason.NO_LABEL: "There is no label.",
    Reason.LABEL_INCOMPLETE: "The label lacks an originator, a category, a purpose or a legal basis.",
    Reason.NOT_INTACT: "A signature, a hash or the relay's part of the label does not hold.",
    Reason.UNKNOWN_POLICY: "The label belongs to the rulebook {what}, which is not known here.",
    Reason.RETRACTED: "Its originator has retracted it.",
    Reason.EXPIRED: "It has expired.",
    Reason.NOT_YET: "It may not be released yet.",
    Reason.SAME_PARTY: "Sender and recipient are the same partner.",
    Reason.SENDER_UNKNOWN: "The sender is not in the directory.",
    Reason.SENDER_NOT_ADMITTED: "The sender is not admitted yet.",
    Reason.SENDER_SUSPENDED: "The sender is suspended.",
    Reason.SENDER_EXPELLED: "The sender was expelled.",
    Reason.RECIPIENT_UNKNOWN: "The recipient is not in the directory.",
    Reason.RECIPIENT_NOT_ADMITTED: "The recipient is not admitted yet.",
    Reason.RECIPIENT_SUSPENDED: "The recipient is suspended.",
    Reason.RECIPIENT_EXPELLED: "The recipient was expelled.",
    Reason.NO_AGREEMENT: "No agreement has both the sender and the recipient as parties.",
    Reason.AGREEMENT_NOT_CITED: "The slot cites no agreement.",
    Reason.AGREEMENT_UNKNOWN: "The agreement that the slot cites is not known here in that version.",
    Reason.AGREEMENT_OF_ANOTHER_EXCHANGE: "The agreement belongs to another exchange.",
    Reason.AGREEMENT_SUSPENDED: "The agreement is suspended.",
    Reason.AGREEMENT_TERMINATED: "The agreement was terminated.",
    Reason.AGREEMENT_REPLACED: "Sender and recipient have joined a newer version of the agreement.",
    Reason.AGREEMENT_NOT_YET: "The agreement is not in force yet.",
    Reason.AGREEMENT_LAPSED: "The agreement has lapsed.",
    Reason.NOT_A_PARTY: "The sender or the recipient is not a party of the agreement that the slot cites.",
    Reason.NO_TERM: "The agreement has no term for this direction.",
    Reason.COMMUNITY_AGREEMENT: "The community rests on another agreement.",
    Reason.NO_RELEASE: "There is no release, so nobody is addressed.",
    Reason.AUDIENCE_EMPTY: "The audience is empty: it reaches nobody.",
    Reason.NOT_IN_AUDIENCE: "The recipient is not in the audience.",
    Reason.EXCLUDED: "The release excludes the recipient.",
    Reason.COMMUNITY_UNKNOWN: "The community {what} is not known here at that epoch.",
    Reason.COMMUNITY_NOT_YET: "The directory does not show the community {what} at that epoch yet.",
    Reason.COMMUNITY_SUSPENDED: "The owner of the community {what} is suspended.",
    Reason.COMMUNITY_ENDED: "The community {what} has ended, or is not in force at that epoch any more.",
    Reason.COMMUNITY_SCOPE: "The report lies outside what the community {what} is for.",
    Reason.COMMUNITY_HISTORY: "The recipient joined the community {what} later, and may not have what is older.",
    Reason.NOT_A_PUBLISHER: "The sender may not publish in the community {what}.",
    Reason.AUDIENCE_NOT_PROVEN: "Nothing shows that an originator addressed it to the recipient.",
    Reason.CATEGORY_NOT_ALLOWED: "The agreement does not allow these categories: {what}.",
    Reason.CATEGORY_DENIED: "The agreement denies these categories: {what}.",
    Reason.PLACE_MISSING: "The label names no place that it is about, and the agreement covers certain places only.",
    Reason.PLACE_NOT_ALLOWED: "The agreement does not cover these places: {what}.",
    Reason.PURPOSE_NOT_SHARED: "The agreement permits none of these purposes: {what}.",
    Reason.USE_IN_NOT_SHARED: "The agreement permits use in none of these places: {what}.",
    Reason.TLP_ABOVE_AGREEMENT: "It is above the ceiling of the agreement: {what}.",
    Reason.TLP_ABOVE_PARTNER: "It is above the recipient's own ceiling: {what}.",
    Reason.PARTNER_NOT_VERIFIED: "Nobody here has compared the fingerprint of the recipient, which its TLP asks for.",
    Reason.NATIONAL_POLICY_UNKNOWN: "The agreement knows no national markings of {what}.",
    Reason.NATIONAL_CLASS_NOT_ALLOWED: "The agreement does not let the national marking {what} pass.",
    Reason.PERSONAL_DATA_NOT_ALLOWED: "It holds personal data, of which the agreement lets pass: {what}.",
    Reason.SPECIAL_CATEGORIES_NOT_ALLOWED: "It holds special categories of personal data, which the agreement refuses.",
    Reason.SPECIAL_CATEGORIES_NOT_FOR_LIFE: "Special categories of personal data may pass only to protect life.",
    Reason.EMBARGOED: "Until the embargo ends it goes only to partners that are named one by one.",
    Reason.ONWARD_FORBIDDEN: "The label lets nobody pass it on, whoever consents.",
    Reason.CONSENT_MISSING: "The sender may not pass it on without the consent of {what}.",
    Reason.CONSENT_NOT_FOR_RECIPIENT: "The consent of {what} is for another recipient.",
    Reason.CONSENT_EXPIRED: "The consent of {what} has ended.",
    Reason.TOO_MANY_HOPS: "It has been passed on too often: the consent of {what} lies beyond the hops allowed.",
    Reason.CONSENT_PURPOSE_NOT_SHARED: "The consent of {what} is for none of the purposes left.",
    Reason.APPROVALS_MISSING: "Approvals missing before release: {what}.",
    Reason.NOBODY_MAY_READ: "TLP:RED is for named readers, and none is named: it is delivered, and nobody may read it.",
}


def sentence(finding: Finding) -> str:
    """Return what was found, with the clause where an agreement is concerned."""
    if finding.reason is None:
        step = finding.step.name.lower().replace("_", " ")
        return f"Step {finding.step.value}, {step}: {_OUTCOMES[finding.outcome]}."
    told = _SENTENCES[finding.reason].format(what=finding.what)
    return f"{told} (clause {finding.clause})" if finding.clause else told


def duties(obligations: Obligations) -> list[str]:
    """Return what the recipient must do, one sentence a duty."""
    told = [
        f"Use it only for: {', '.join(purpose.word for purpose in obligations.purposes)}.",
        f"Actions: {obligations.actions.word}.",
        f"Passing it on: {obligations.onward.word}{', originator control' if obligations.orcon else ''}.",
        f"Use as evidence: {obligations.evidence_use.word}.",
    ]
    if obligations.use_in:
        told.append(f"Use it only in: {', '.join(obligations.use_in)}.")
    told += [
        f"{what}: {duty.word.replace('_', ' ')}."
        for what, duty in (
            ("Tell those whom it affects", obligations.notify_affected),
            ("Name its source", obligations.attribution),
            ("Sell it on unchanged", obligations.resale),
        )
        if duty is not Duty.MAY
    ]
    if obligations.embargo_until_ms:
        told.append(f"Let nothing of it leave this node before {instant_text(obligations.embargo_until_ms)}.")
    if obligations.purge_at_ms:
        told.append(f"Destroy it by {instant_text(obligations.purge_at_ms)}.")
    if obligations.ask_at_ms:
        told.append(f"Ask what to do with it at {instant_text(obligations.ask_at_ms)}.")
    if obligations.review_on_ms:
        told.append(f"Review it by {instant_text(obligations.review_on_ms)}.")
    if obligations.display_only:
        told.append("Show it and do not hand it out.")
    if obligations.nobody_may_read:
        told.append("Nobody may read it.")
    return told + [f"{handling.code}: {handling.text}" for handling in obligations.handling]


_OUTCOMES = {
    Outcome.PASS: "nothing against it",
    Outcome.FAIL: "it fails",
    Outcome.NOT_VISIBLE: "cannot be judged here",
}
