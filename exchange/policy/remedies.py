"""What to do about each reason, in one line for whoever reads the refusal. Pure.

docs/reference/reasons.md is made of this, of the sentences in explain.py and of the golden decisions.
"""

from exchange.policy.decision import Reason

_ABOUT_THE_AGREEMENT = "talk to the other parties; concord agreement show says how it stands"
_ABOUT_A_PARTNER = "nothing goes until the council says otherwise; concord partner list shows how it stands"
_WIDEN = "send a version within it, or agree on more: concord agreement draft"
_ENVELOPE = "ask the sender to send it again; when that does not help, keep it as evidence"

_ASK_AGAIN = "ask that originator again, for this recipient and purpose: concord consent request"

_REMEDIES = {
    Reason.NO_LABEL: "give it a label: concord report new writes one to fill in",
    Reason.LABEL_INCOMPLETE: "fill in what is missing: concord report check names it",
    Reason.NOT_INTACT: "keep it as evidence and talk to its sender: something was changed on the way",
    Reason.UNKNOWN_POLICY: "use the rulebook that every node knows; keep another one under national",
    Reason.RETRACTED: "none: what is withdrawn is not sent; push a new report",
    Reason.EXPIRED: "push a version with a later expiry, if it still holds",
    Reason.NOT_YET: "wait: the node sends it when its time comes",
    Reason.SAME_PARTY: "leave this partner out of the audience",
    Reason.SENDER_UNKNOWN: "let the council admit it: concord root invite",
    Reason.SENDER_NOT_ADMITTED: "wait until the council has admitted it: concord root admit",
    Reason.SENDER_SUSPENDED: _ABOUT_A_PARTNER,
    Reason.SENDER_EXPELLED: "none: an expelled partner never returns under its id",
    Reason.RECIPIENT_UNKNOWN: "check the id: concord partner list",
    Reason.RECIPIENT_NOT_ADMITTED: "wait until the council has admitted it: concord root admit",
    Reason.RECIPIENT_SUSPENDED: _ABOUT_A_PARTNER,
    Reason.RECIPIENT_EXPELLED: "take it out of the audience: an expelled partner never returns under its id",
    Reason.NO_AGREEMENT: "agree first: concord agreement draft",
    Reason.AGREEMENT_NOT_CITED: _ENVELOPE,
    Reason.AGREEMENT_UNKNOWN: "wait for the directory, or ask the sender which agreement it means",
    Reason.AGREEMENT_OF_ANOTHER_EXCHANGE: "draft it for this exchange: concord agreement draft",
    Reason.AGREEMENT_SUSPENDED: _ABOUT_THE_AGREEMENT,
    Reason.AGREEMENT_TERMINATED: "it does not come back: agree anew",
    Reason.AGREEMENT_REPLACED: "nothing: the node cites the newer version",
    Reason.AGREEMENT_NOT_YET: "wait until it is in force",
    Reason.AGREEMENT_LAPSED: "renew it: a next version with later dates, signed by every party",
    Reason.NOT_A_PARTY: _ENVELOPE,
    Reason.NO_TERM: "agree on a term for this direction: concord agreement draft",
    Reason.NO_RELEASE: "say whom it is for: release.to in the label",
    Reason.AUDIENCE_EMPTY: "say whom it is for: release.to in the label",
    Reason.NOT_IN_AUDIENCE: "nothing, unless it should get it: correct the report with a wider release",
    Reason.EXCLUDED: "nothing, unless it should get it: correct the report without the exclusion",
    Reason.COMMUNITY_AGREEMENT: "cite the agreement that the community rests on, or make one that rests on this",
    Reason.COMMUNITY_UNKNOWN: "check id and epoch of the community",
    Reason.COMMUNITY_NOT_YET: "wait until the directory shows the epoch: the owner's node sees to it",
    Reason.COMMUNITY_SUSPENDED: _ABOUT_A_PARTNER,
    Reason.COMMUNITY_ENDED: "name another community, or the partners one by one",
    Reason.COMMUNITY_SCOPE: "send a version within what it is for, or name the partners one by one",
    Reason.COMMUNITY_HISTORY: "nothing, unless it should get it: name the partner in a new version",
    Reason.NOT_A_PUBLISHER: "ask the owner to make the sender a publisher, or name the partners one by one",
    Reason.AUDIENCE_NOT_PROVEN: "ask an originator to send it, or to consent: concord consent request",
    Reason.CATEGORY_NOT_ALLOWED: _WIDEN,
    Reason.CATEGORY_DENIED: "these categories stay out under this agreement; send a version without them",
    Reason.PLACE_MISSING: "name in about which countries it is about",
    Reason.PLACE_NOT_ALLOWED: _WIDEN,
    Reason.PURPOSE_NOT_SHARED: _WIDEN,
    Reason.USE_IN_NOT_SHARED: _WIDEN,
    Reason.TLP_ABOVE_AGREEMENT: "send a version with less in it under a lower light, or agree on a higher ceiling",
    Reason.TLP_ABOVE_PARTNER: "send a version with less in it under a lower light; the council keeps the ceiling",
    Reason.PARTNER_NOT_VERIFIED: "let it read the fingerprint out by voice: concord partner verify; then it goes",
    Reason.NATIONAL_POLICY_UNKNOWN: "agree on what this marking is equal to: ceiling.national in a term",
    Reason.NATIONAL_CLASS_NOT_ALLOWED: "agree on it (ceiling.national in a term), or mark it lower",
    Reason.PERSONAL_DATA_NOT_ALLOWED: "take the personal data out, or use pseudonyms where these may pass",
    Reason.SPECIAL_CATEGORIES_NOT_ALLOWED: "take them out",
    Reason.SPECIAL_CATEGORIES_NOT_FOR_LIFE: "take them out, unless it is to protect life: then say so in purposes",
    Reason.EMBARGOED: "wait: the node sends it when the embargo ends, or name the partner in release.to",
    Reason.ONWARD_FORBIDDEN: "ask the originator to send it itself, or a version that may be passed on",
    Reason.CONSENT_MISSING: "ask every originator: concord consent request",
    Reason.CONSENT_NOT_FOR_RECIPIENT: _ASK_AGAIN,
    Reason.CONSENT_EXPIRED: _ASK_AGAIN,
    Reason.TOO_MANY_HOPS: "ask the originator to send it itself: it may not go so far by way of others",
    Reason.CONSENT_PURPOSE_NOT_SHARED: _ASK_AGAIN,
    Reason.APPROVALS_MISSING: "let others than the author approve it: concord report pending",
    Reason.NOBODY_MAY_READ: "name its readers: readers.named in the label",
}


def remedy(reason: Reason) -> str:
    """Return what to do about it."""
    return _REMEDIES[reason]
