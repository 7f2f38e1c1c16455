"""What an originator's node answers a request for consent by itself, and what it leaves to a person. Pure.

For each partner that a request names, in this order:
1. nothing that it is about is this party's, or the asker has none of it as far as this node knows: refused, and the
   asker is told no reason; so is what the release excludes the partner from, because exclusion always wins
2. the item is withdrawn or destroyed, the label lets nobody pass it on, it would go too far, no purpose or time is
   left, or the partner is none: refused, with the reason
3. consent was given in advance: granted. That is the case when the release names the partner as pre-authorised; when
   the term under which this node sent it to the asker names it as pre-cleared; when label and term let it go on freely;
   when they let it go on within the community and asker and partner are members of the one by way of which it went to
   the asker; or when the partner is this originator itself. Never under originator control (ORCON), and only so often
4. a person answers
An agreement that has ended gives nothing in advance. Specification: docs/spec/policy.md, "Consent".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from exchange.consent.model import ConsentRequest
from exchange.names import PartyId
from exchange.policy.model import HOPS_MAX, Label, OnwardRule, Purpose, Release
from exchange.policy.onward import hops_most
from exchange.policy.terms import Term

CLEARED_AGAIN = 16
"""Grants for one item that an asker is given without a person: what it asks again and again must not fill the store."""


@dataclass(frozen=True, slots=True)
class Own:
    """An item of this party that a request is about, and how the asker came to it."""

    item: bytes
    label: Label | None
    """None when it is destroyed here."""
    release: Release | None
    """None when it is another partner's, and this party one of its originators."""
    depth: int | None
    """Hops from this party to the asker: 0 when it was sent directly; None when the asker is not known to have it."""
    term: Term | None
    """Under which it was sent to the asker, while the agreement is in force."""
    withdrawn: bool = False
    replaced: bool = False
    """A later version took its place."""
    fellows: frozenset[PartyId] = frozenset()
    """Whom the community by way of which it went to the asker reaches now, where the asker may see who that is: what
    the node answered by itself about others would tell who is a member."""
    granted: int = 0
    """Grants for it that the asker has had from here."""


class Verdict(Enum):
    """What becomes of a request for one partner."""

    GRANT = "grant"
    REFUSE = "refuse"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Ruling:
    """The verdict; `told` is what the asker learns of a refusal, `why` what an operator here does."""

    verdict: Verdict
    why: str = ""
    told: str = ""
    purposes: tuple[Purpose, ...] = ()
    """What may at most be granted, as the two below."""
    until_ms: int = 0
    hop: int = 0


def rule(
    request: ConsentRequest, partner: PartyId, owns: Sequence[Own], *, me: PartyId, admitted: bool, now_ms: int
) -> Ruling:
    """Return the ruling on one partner; `admitted` says whether the directory has it as admitted.

    Where several items of this party went into what is asked for, all of them must allow it.
    """
    # 1
    had = [own for own in owns if own.depth is not None]
    if not owns or len(had) != len(owns):
        return Ruling(Verdict.REFUSE, "the asker is not known to have it")
    if any(own.release is not None and partner in own.release.except_ for own in owns):
        return Ruling(Verdict.REFUSE, f"the release excludes {partner}")
    # 2
    labels = [own.label for own in owns if own.label is not None and not own.withdrawn]
    if len(labels) != len(owns):
        return _refused("it is withdrawn")
    hop = 1 + max(own.depth for own in had if own.depth is not None)
    purposes = set(request.purposes).intersection(*(label.purposes for label in labels))
    until_ms = min([request.until_ms, *(label.expires_ms for label in labels if label.expires_ms)])
    against = _against(owns, labels, hop, admitted=admitted)
    if against or not purposes or until_ms <= now_ms:
        return _refused(against or ("no purpose of the request is left" if not purposes else "its time is over"))
    # 3, 4
    cleared = all(_cleared(own, partner, me, now_ms) for own in owns)
    return Ruling(
        Verdict.GRANT if cleared else Verdict.ASK, purposes=tuple(sorted(purposes)), until_ms=until_ms, hop=hop
    )


def _against(owns: Sequence[Own], labels: Sequence[Label], hop: int, *, admitted: bool) -> str:
    """Return what nobody can consent to, or nothing."""
    if any(own.replaced for own in owns):
        return "a later version took its place"
    if any(label.onward is OnwardRule.NONE for label in labels):
        return "its label lets nobody pass it on"
    most = min([HOPS_MAX, *(hops_most(own.label, own.term) for own in owns if own.label is not None)])
    if hop > most:
        return f"it may be passed on {most} times at most, and this would be time {hop}"
    return "" if admitted else "the partner is not admitted"


def _cleared(own: Own, partner: PartyId, me: PartyId, now_ms: int) -> bool:
    label, term = own.label, own.term
    if label is None or label.orcon or own.granted >= CLEARED_AGAIN:
        return False
    if partner == me or (own.release is not None and partner in own.release.pre_authorised):
        return True
    if own.depth != 0:
        return label.onward is OnwardRule.FREE
    if term is None:
        return False
    onward = min(label.onward, term.onward_default)
    if partner in term.pre_cleared or onward is OnwardRule.FREE:
        return True
    # Nothing goes by way of a community before the embargo ends.
    return onward is OnwardRule.COMMUNITY and partner in own.fellows and label.embargo_until_ms <= now_ms


def _refused(reason: str) -> Ruling:
    return Ruling(Verdict.REFUSE, reason, reason)
