"""FIRST Information Exchange Policy, versions 1 and 2, as values under any of the names in use. Pure.

It speaks of `actions`, `notify_affected`, `attribution`, `resale`, `time`, `tlp`, and of the basis by its reference.
FIRST's text, the STIX extension and the MISP taxonomies write the same statements in four ways; all are read, one is
written (FIRST IEP JSON 2.0). Encryption in transit and at rest is always on. A policy never widens a TLP marking beside
it: together.py takes the stricter.
Sources: FIRST IEP 2.0; OASIS extension definition 762e2e97; MISP `iep`, `iep2-policy`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from exchange.errors import BadLabel, MarkNotCarried
from exchange.policy.fields import instant_text, nearest
from exchange.policy.mappings import tlp
from exchange.policy.mappings.together import Plain, one_word, together
from exchange.policy.model import BASIS_KINDS, Actions, Duty, Label, OnExpiry

ACTIONS = {
    "none": Actions.NONE,
    "contact-for-instruction": Actions.CONTACT_FIRST,
    "internally-visible-actions": Actions.INTERNAL_ONLY,
    "externally-visible-indirect-actions": Actions.EXTERNAL_PASSIVE,
    "externally-visible-direct-actions": Actions.EXTERNAL_ACTIVE,
}
DUTIES = {"must-not": Duty.MUST_NOT, "may": Duty.MAY, "must": Duty.MUST}
MAY_OR_NOT = {"must-not": Duty.MUST_NOT, "may": Duty.MAY}
LIGHTS = ("red", "amber", "green", "white", "clear", "amber+strict")

UNMARKED: Plain = {"actions": "none", "notify_affected": "must_not", "attribution": "must_not", "resale": "must_not"}
"""What a policy means that does not say: nothing may be done that it does not permit."""

SAME = {
    "provider-attribution": "attribution",
    "traffic-light-protocol": "tlp",
    "iep-id": "id",
    "iep-version": "version",
    "policy-name": "name",
    "reference": "external-reference",
}
"""Statements by other names."""

IGNORED = ("extension-type", "name", "version", "description", "encrypt-in-transit", "encrypt-at-rest")
"""What says nothing that we would not do anyway."""

IN_WORDS = ("commercial-use", "obfuscate-affected-parties")
"""Statements of version 1 that only people keep."""


def to_label_fields(policy: Mapping[str, Any], *, basis_kind: str = "") -> Plain:  # Any: JSON
    """Return what the policy permits. With `basis_kind` its reference becomes the legal basis.

    Raises:
        BadLabel: a statement or a value that is not known.
    """
    given = _statements(policy)
    parts: list[Plain] = [
        {name: UNMARKED[name] for name, statement in _STATEMENTS.items() if statement not in given},
        *(read(given[name]) for name, read in _READERS.items() if name in given),
    ]
    if times := _times(given):
        parts.append({"time": times})
    handling = [
        {"code": f"IEP:{name}", "text": one_word(given[name], DUTIES, of=name)} for name in IN_WORDS if name in given
    ]
    if "id" in given:
        handling.append({"code": "IEP:id", "text": given["id"]})
    reference = given.get("external-reference", "")
    if reference and basis_kind not in BASIS_KINDS:
        handling.append({"code": "IEP:reference", "text": reference})
    elif reference:
        parts.append({"basis": {"kind": basis_kind, "citation": reference}})
    return together(*parts, {"handling": handling} if handling else {})


def from_label(label: Label, *, policy_id: str, name: str) -> dict[str, str]:
    """Return the policy that says what the label permits, in the words of FIRST IEP JSON 2.0.

    Raises:
        MarkNotCarried: the label asks for a duty that a policy cannot ask for.
    """
    if label.notify_affected is Duty.MUST:
        raise MarkNotCarried(
            "an IEP policy cannot ask to notify those affected", place="notify_affected", hint="say it in words"
        )
    level = tlp.level_for(label).word
    policy = {
        "id": policy_id,
        "name": name,
        "iep_version": "2.0",
        "encrypt_in_transit": "must",
        "permitted_actions": _word_of(ACTIONS, label.actions),
        "affected_party_notifications": _word_of(MAY_OR_NOT, label.notify_affected),
        "attribution": _word_of(DUTIES, label.attribution),
        "unmodified_resale": _word_of(MAY_OR_NOT, label.resale),
        # Version 2 knows no AMBER+STRICT, and calls CLEAR white.
        "tlp": {"amber+strict": "red", "clear": "white"}.get(level, level),
    }
    if label.not_before_ms:
        policy["start_date"] = instant_text(label.not_before_ms)
    if label.expires_ms:
        policy["end_date"] = instant_text(label.expires_ms)
    return policy


def _statements(policy: Mapping[str, Any]) -> dict[str, str]:
    """Return the statements under one name each; null is the same as nothing."""
    known = (*_READERS, *IGNORED, *IN_WORDS, "id", "external-reference", "start-date", "end-date")
    given: dict[str, str] = {}
    for name, value in policy.items():
        word = name.lower().replace("_", "-")
        word = SAME.get(word, word)
        if word not in known:
            raise BadLabel(f"an IEP policy has no statement {name[:80]!r}", place=name[:80], hint=nearest(word, known))
        if value is None or word in IGNORED:
            continue
        if not isinstance(value, str) or (word in given and given[word] != value):
            raise BadLabel(f"{name}: one text is expected", place=name)
        given[word] = value.strip()
    return given


def _times(given: Mapping[str, str]) -> dict[str, str]:
    """A policy that has not begun permits nothing yet, and one that has ended nothing any more."""
    times: dict[str, str] = {}
    if given.get("start-date"):
        times["not_before"] = given["start-date"]
    if given.get("end-date", "null") != "null":
        times |= {"expires_at": given["end-date"], "on_expiry": OnExpiry.PURGE.word}
    return times


def _reader(field: str, words: Mapping[str, Actions] | Mapping[str, Duty]) -> Callable[[str], Plain]:
    return lambda text: {field: words[one_word(text, words, of=field)].word}


def _light(text: str) -> Plain:
    return tlp.of_level(tlp.level_of(one_word(text, LIGHTS, of="tlp")))


_STATEMENTS = {
    "actions": "permitted-actions",
    "notify_affected": "affected-party-notifications",
    "attribution": "attribution",
    "resale": "unmodified-resale",
}
_READERS: Mapping[str, Callable[[str], Plain]] = {
    "permitted-actions": _reader("actions", ACTIONS),
    "affected-party-notifications": _reader("notify_affected", MAY_OR_NOT),
    "attribution": _reader("attribution", DUTIES),
    "unmodified-resale": _reader("resale", MAY_OR_NOT),
    "tlp": _light,
}


def _word_of(words: Mapping[str, Actions] | Mapping[str, Duty], value: Actions | Duty) -> str:
    return next(word for word, each in words.items() if each is value)
