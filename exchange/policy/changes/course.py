"""What accessions and notices make of an agreement, one after the other, in the order in which they were logged.

Pure. Relay and nodes run the same function on the same statements, and every step has its own commitment: a relay that
leaves one out, adds one or turns the order round comes to a commitment that nobody else derives.
A party speaks for itself alone, and what it says later counts: a statement that is not later than its last one is
refused, so that an old resumption never lifts a newer suspension.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from exchange.errors import BadAgreement, Conflict, NotAllowed
from exchange.limits import SIGNATURES
from exchange.names import PartyId
from exchange.policy.agreement import ref_of
from exchange.policy.changes.model import Accession, Change, NoticeAction
from exchange.policy.terms import AgreementRef, AgreementStatus, EnforcementView

RETURNS_MAX = 32
"""How often a party may resume, or accede again: what narrows is never refused, so this bounds both."""


@dataclass(frozen=True, slots=True)
class Course:
    """An agreement as it was signed, and as it stands after its changes. Make one with `begin`."""

    signed: EnforcementView
    ref: AgreementRef
    """Of the view as signed: what changes name."""
    now: EnforcementView
    now_ref: AgreementRef
    """Of the view as it stands: what slots and the directory name."""
    count: int = 0
    """Changes so far."""
    last_ms: Mapping[PartyId, int] = field(default_factory=dict)
    """When each party spoke last."""
    returns: Mapping[PartyId, int] = field(default_factory=dict)
    left_after: Mapping[PartyId, int] = field(default_factory=dict)
    """Number of changes after which a party that has left is told no more."""

    @property
    def status(self) -> AgreementStatus:
        """What the directory says of it while it is not replaced by a newer version."""
        if len(self.now.parties) > 1:
            return AgreementStatus.ACTIVE
        remain = len(self.now.parties) + len(self.now.suspended)
        if remain == 0 or (remain == 1 and not self.now.open):
            return AgreementStatus.TERMINATED
        return AgreementStatus.SUSPENDED

    @property
    def members(self) -> frozenset[PartyId]:
        """Return those whom it binds: they may have suspended it, and have not left."""
        return frozenset({*self.now.parties, *self.now.suspended})

    def concerns(self, party: PartyId) -> bool:
        """Say whether a party may know of it: it is or was one of its parties, or may accede."""
        return party in self.now.known or self.signed.anyone_may_accede or party in self.signed.may_accede

    def told_to(self, party: PartyId) -> int | None:
        """Return how many of its changes a party may know; None for one that never was a party."""
        if party in self.now.parties or party in self.now.suspended:
            return self.count
        return self.left_after.get(party)


def begin(view: EnforcementView) -> Course:
    """Return the course of an agreement that its founders have signed.

    Raises:
        BadAgreement: changes are in it already: they are derived, never signed.
    """
    if view.changes_sha256:
        raise BadAgreement("what accessions and notices make of an agreement is derived, not signed")
    ref = ref_of(view)
    return Course(view, ref, view, ref)


def after(course: Course, change: Change, payload: bytes) -> Course:
    """Return the course after one more change, whose signature holds; `payload` is its signed bytes.

    Raises:
        BadAgreement: it is about another agreement.
        NotAllowed: the party may not accede, or is no party.
        Conflict: not later than what the party said last, or it changes nothing, or the agreement has ended.
    """
    if change.agreement != course.ref or change.exchange != course.signed.exchange:
        raise BadAgreement("the statement is about another agreement")
    if change.at_ms <= course.last_ms.get(change.party, 0):
        raise Conflict(f"{change.party} has made a later statement on this agreement", hint="check the clock")
    if course.status is AgreementStatus.TERMINATED:
        raise Conflict("the agreement has ended")
    if isinstance(change, Accession):
        now = _acceded(course.now, change.party)
    else:
        now = _noticed(course.now, change.party, change.action)
    digest = hashlib.sha256(course.now.changes_sha256 + payload).digest()
    now = replace(now, changes_sha256=digest)
    returned = isinstance(change, Accession) or change.action is NoticeAction.RESUME
    left = {party: told for party, told in course.left_after.items() if party != change.party}
    if change.party in now.left:
        left[change.party] = course.count + 1
    return replace(
        course,
        now=now,
        now_ref=ref_of(now),
        count=course.count + 1,
        last_ms={**course.last_ms, change.party: change.at_ms},
        returns=_counted(course, change.party) if returned else course.returns,
        left_after=left,
    )


def _acceded(view: EnforcementView, party: PartyId) -> EnforcementView:
    if party in view.parties or party in view.suspended:
        raise Conflict(f"{party} is a party already")
    if not view.anyone_may_accede and party not in view.may_accede:
        raise NotAllowed(f"{party} may not accede to this agreement")
    if party not in view.left and len(view.known) >= SIGNATURES:
        raise Conflict(f"an agreement has at most {SIGNATURES} parties")
    return _moved(view, party, "parties")


def _noticed(view: EnforcementView, party: PartyId, action: NoticeAction) -> EnforcementView:
    if party not in view.known:
        raise NotAllowed(f"{party} is no party to the agreement")
    if party in view.left:
        raise Conflict(f"{party} has left the agreement")
    if action is NoticeAction.TERMINATE:
        return _moved(view, party, "left")
    if (action is NoticeAction.SUSPEND) is (party in view.suspended):
        raise Conflict(f"{party} has {'suspended it already' if party in view.suspended else 'not suspended it'}")
    return _moved(view, party, "suspended" if action is NoticeAction.SUSPEND else "parties")


def _moved(view: EnforcementView, party: PartyId, to: str) -> EnforcementView:
    """Return the view with a party in one of its three places and in no other."""

    def place(name: str) -> tuple[PartyId, ...]:
        others = {each for each in getattr(view, name) if each != party}
        return tuple(sorted(others | {party} if name == to else others))

    return replace(view, parties=place("parties"), suspended=place("suspended"), left=place("left"))


def _counted(course: Course, party: PartyId) -> Mapping[PartyId, int]:
    count = course.returns.get(party, 0) + 1
    if count > RETURNS_MAX:
        raise Conflict(f"{party} has come back {RETURNS_MAX} times", hint="make a new version of the agreement")
    return {**course.returns, party: count}
