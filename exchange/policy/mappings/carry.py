"""Which fields of a label a report that leaves the exchange would lose. Pure.

Software enforces some fields (who may read it, when it is destroyed): another system that does not know them would not
keep them, so whoever carries a report there refuses. Others only a person ever kept (what it may be used for, where):
those may travel in words.
"""

from collections.abc import Callable, Collection, Mapping

from exchange.errors import MarkNotCarried
from exchange.policy.fields import instant_text
from exchange.policy.model import HOPS_MAX, Duty, EvidenceUse, Label, OnExpiry, OnwardRule, Release, Target

ENFORCED: Mapping[str, Callable[[Label, Release, int], object]] = {
    "national": lambda label, _release, _now: label.national,
    "readers": lambda label, _release, _now: label.readers,
    "orcon": lambda label, _release, _now: label.orcon,
    "personal_data.special": lambda label, _release, _now: label.personal_data.special,
    "time.not_before": lambda label, _release, now_ms: label.not_before_ms > now_ms,
    "time.embargo_until": lambda label, _release, now_ms: label.embargo_until_ms > now_ms,
    "time.expires_at": lambda label, _release, _now: label.expires_ms and label.on_expiry is OnExpiry.PURGE,
    "retention": lambda label, _release, _now: label.retention_days,
    "approvals": lambda label, _release, _now: label.approvals,
    "release.display_only": lambda _label, release, _now: release.display_only,
    "release.to": lambda _label, release, _now: not release.to,
}
"""What software keeps, and how to see that a label asks for it; an empty audience is nobody."""


def refuse_lost(label: Label, release: Release, *, scheme: str, now_ms: int, carried: Collection[str] = ()) -> None:
    """Refuse a label that asks for what `scheme` cannot keep.

    Raises:
        MarkNotCarried: it names every such field.
    """
    lost = [name for name, asked in ENFORCED.items() if name not in carried and asked(label, release, now_ms)]
    if lost:
        raise MarkNotCarried(
            f"{scheme} cannot keep {', '.join(lost)}", place=lost[0], hint="send it inside the exchange instead"
        )


def in_words(label: Label, *, carried: Collection[str] = ()) -> tuple[str, ...]:
    """Return what people must keep, a sentence each, but for the fields that are carried as they are."""
    told = {
        "purposes": f"Use it only for: {', '.join(purpose.word for purpose in label.purposes)}.",
        "use_in": f"Use it only in: {', '.join(label.use_in)}." if label.use_in else "",
        "actions": f"Actions: {label.actions.word}.",
        "onward": _ONWARD[label.onward],
        "max_hops": f"Pass it on {label.max_hops} times at most." if 0 < label.max_hops < HOPS_MAX else "",
        "evidence_use": _EVIDENCE[label.evidence_use],
        "notify_affected": ""
        if label.notify_affected is Duty.MAY
        else f"Tell those in danger: {label.notify_affected.word}.",
        "attribution": "" if label.attribution is Duty.MAY else f"Name the originator: {label.attribution.word}.",
        "resale": "Do not sell it." if label.resale is Duty.MUST_NOT else "",
        "personal_data": "It holds personal data." if label.personal_data.present else "",
        "review_on": f"Review it by {instant_text(label.review_on_ms)}." if label.review_on_ms else "",
        "expires_at": f"It expires at {instant_text(label.expires_ms)}." if label.expires_ms else "",
    }
    sentences = [sentence for name, sentence in told.items() if sentence and name not in carried]
    if "handling" not in carried:
        sentences += [f"{handling.code}: {handling.text}" for handling in label.handling]
    return tuple(sentences)


def refuse_excluded(release: Release, *, scheme: str) -> None:
    """Refuse a release that keeps somebody out, where a scheme lets everybody in."""
    if release.except_:
        raise MarkNotCarried(
            f"{scheme} cannot keep out {', '.join(release.except_)}",
            place="release.except",
            hint="name who may have it",
        )


def partners_only(release: Release, *, scheme: str) -> tuple[str, ...]:
    """Return whom it reaches when all are named one by one.

    Raises:
        MarkNotCarried: it names a community, an agreement or everyone, whose members another system does not know.
    """
    groups = [target for target in release.to if target.partner is None]
    if groups:
        raise MarkNotCarried(
            f"{scheme} cannot name {_group(groups[0])}", place="release.to", hint="name the partners one by one"
        )
    excluded = set(release.except_)
    return tuple(target.partner for target in release.to if target.partner and target.partner not in excluded)


def _group(target: Target) -> str:
    if target.everyone:
        return "everyone whom an agreement permits"
    return "a community" if target.community else "the parties of an agreement"


_ONWARD = {
    OnwardRule.NONE: "Do not pass it on.",
    OnwardRule.CONSENT: "Do not pass it on without the originator's consent.",
    OnwardRule.DEPENDANTS: "Pass it on to your own companies and sites only.",
    OnwardRule.COMMUNITY: "Pass it on within the community only.",
    OnwardRule.FREE: "",
}
_EVIDENCE = {
    EvidenceUse.NO: "Do not use it as evidence.",
    EvidenceUse.WITH_CONSENT: "Do not use it as evidence without the originator's consent.",
    EvidenceUse.YES: "",
}
