"""Every agreement that was published, and what its accessions and notices made of it, from what the store holds.

Pure. What is stored was verified before it was stored; here it is only folded again (exchange/policy/changes).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from exchange.crypto.codec import decode_signed
from exchange.crypto.signed import payload_type
from exchange.limits import MIB
from exchange.policy.agreement import EnforcementView
from exchange.policy.changes.codec import ACCESSION, CHANGE_BYTES, decode_accession, decode_notice
from exchange.policy.changes.course import Course, after, begin
from exchange.policy.changes.model import Change
from exchange.policy.codec import decode_view

VIEW_BYTES = 2 * MIB
"""Signed bytes of a view: the signatures of the parties of the largest agreement."""


@dataclass(frozen=True, slots=True)
class AgreementState:
    """What the relay knows of agreements, as of one directory size."""

    courses: Mapping[bytes, Course] = field(default_factory=dict)
    """By commitment of the view as its founders signed it."""
    views: Mapping[bytes, EnforcementView] = field(default_factory=dict)
    """Every view that the directory ever showed, by commitment: as signed, and after each change."""

    def grown(self, views: Iterable[bytes], changes: Iterable[bytes]) -> "AgreementState":
        """Return the state with more signed views, then more signed changes in the order in which they were logged."""
        courses, shown = dict(self.courses), dict(self.views)
        for data in views:
            course = begin(decode_view(decode_signed(data, limit=VIEW_BYTES, what="a stored view").payload))
            courses[course.ref.commitment] = course
            shown[course.ref.commitment] = course.signed
        for data in changes:
            change, payload = stored_change(data)
            course = after(courses[change.agreement.commitment], change, payload)
            courses[course.ref.commitment] = course
            shown[course.now_ref.commitment] = course.now
        return AgreementState(courses, shown)


def stored_change(data: bytes) -> tuple[Change, bytes]:
    """Return a change that was verified before it was stored, and its payload."""
    signed = decode_signed(data, limit=CHANGE_BYTES, what="a stored change")
    if signed.payload_type == payload_type(ACCESSION):
        return decode_accession(signed.payload), signed.payload
    return decode_notice(signed.payload), signed.payload
