"""Scope, restriction and addresses of a CAP 1.2 alert, as parsed values. It answers for a whole report as CAP. Pure.

    Public       CLEAR, anybody
    Restricted   a community, when an operator says which one; TLP from `restriction` or `code`, else RED
    Private      the partners behind the addresses; TLP likewise
CAP has no marking field: TLP is written into `restriction` and repeated as a `code`. Scope is never Public above CLEAR.
Source: OASIS CAP 1.2, 3.2.1.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from exchange.errors import BadLabel, MarkNotCarried
from exchange.names import PartyId
from exchange.policy.fields import instant_text
from exchange.policy.mappings import tlp
from exchange.policy.mappings.carry import in_words, partners_only, refuse_excluded, refuse_lost
from exchange.policy.mappings.together import Hold, Plain, PlainTarget
from exchange.policy.model import TEXT_CHARS, Label, OnExpiry, Release, Tlp

SCOPES = ("Public", "Restricted", "Private")
_TLP = re.compile(r"\bTLP\W{0,3}([a-z]+(?:[:+][a-z]+)*)", re.ASCII | re.IGNORECASE)
"""Whatever follows these letters must be a level: a mark that is overlooked would widen."""


@dataclass(frozen=True, slots=True)
class CapHandling:
    """The elements of an alert that say who may have it; `note` is its text for people."""

    scope: str
    restriction: str = ""
    addresses: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    expires: str = ""
    note: str = ""


def to_label_fields(
    cap: CapHandling, *, partners: Mapping[str, PartyId], community: PlainTarget | None = None
) -> Plain | Hold:
    """Return whom the alert is for; `partners` are those behind addresses, `community` the target of Restricted.

    Raises:
        BadLabel: an unknown scope, a TLP that is not understood, a missing restriction or address, or an address of
            nobody here.
    """
    marks = [word for text in (cap.restriction, cap.note, *cap.codes) for word in _TLP.findall(text)]
    fields = tlp.to_label_fields(marks or (["clear"] if cap.scope == "Public" else []))
    if cap.restriction:
        fields["handling"] = [{"code": "CAP:restriction", "text": cap.restriction.strip()[:TEXT_CHARS]}]
    if cap.expires:
        # A public warning that has ended is history; anything else is gone.
        after = OnExpiry.ASK if cap.scope == "Public" else OnExpiry.PURGE
        fields["time"] = {"expires_at": cap.expires, "on_expiry": after.word}
    return _audience(cap, fields, partners, community)


def from_label(label: Label, release: Release, *, now_ms: int, addresses: Mapping[PartyId, str]) -> CapHandling:
    """Return the elements under which a report may leave as CAP.

    Raises:
        MarkNotCarried: the label asks for what CAP cannot keep, or a recipient has no address.
    """
    refuse_lost(label, release, scheme="CAP", now_ms=now_ms, carried=("time.expires_at",))
    level = tlp.level_for(label)
    mark = f"TLP:{level.word.upper()}"
    words = " ".join(in_words(label, carried=("expires_at",)))
    expires = instant_text(label.expires_ms) if label.expires_ms else ""
    if level <= Tlp.GREEN:
        refuse_excluded(release, scheme="CAP")
    if level is Tlp.CLEAR and label.on_expiry is not OnExpiry.PURGE:
        return CapHandling("Public", codes=(mark,), expires=expires, note=words)
    restriction = f"{mark}; {words}"
    if level <= Tlp.GREEN:
        return CapHandling("Restricted", restriction, (), (mark,), expires)
    named = partners_only(release, scheme="CAP")
    unknown = [party for party in named if PartyId(party) not in addresses]
    if unknown or not named:
        raise MarkNotCarried(
            f"no address is known for {unknown[0]}" if unknown else "a private alert needs an address",
            place="release.to",
            hint="add it to the table of addresses",
        )
    return CapHandling("Private", restriction, tuple(addresses[PartyId(party)] for party in named), (mark,), expires)


def _audience(
    cap: CapHandling, fields: Plain, partners: Mapping[str, PartyId], community: PlainTarget | None
) -> Plain | Hold:
    match cap.scope:
        case "Public":
            public = {**fields, "release": {"to": ["*"]}}
            return public if fields["tlp"] == "clear" else Hold("the scope is Public, and a mark says less", fields)
        case "Restricted":
            if not cap.restriction.strip():
                raise BadLabel(
                    "Restricted needs a restriction", place="restriction", hint="say to whom it is restricted"
                )
            if community is None:
                return Hold("Restricted: an operator says to which community", fields)
            return {**fields, "release": {"to": [community]}}
        case "Private":
            if not cap.addresses:
                raise BadLabel("Private needs addresses", place="addresses", hint="name the recipients")
            unknown = [address for address in cap.addresses if address not in partners]
            if unknown:
                raise BadLabel(f"{unknown[0][:80]!r} is nobody here", place="addresses", hint="add it to the table")
            return {**fields, "release": {"to": sorted({partners[address] for address in cap.addresses})}}
    raise BadLabel(f"CAP has no scope {cap.scope[:20]!r}", place="scope", hint=f"one of {', '.join(SCOPES)}")
