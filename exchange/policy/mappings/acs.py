"""The United States' Access Control Specification as MISP has it (`acs-marking`), read only. Pure.

It speaks of `purposes`, `actions`, `evidence_use`, `notify_affected`, `attribution` (privileges), `national` with every
other tag verbatim, `personal_data` (determinations), `release` (shareability, by a table of the operator) and `onward`.
A privilege that is not given is denied; PII that is not excluded is presumed. TLP comes from a mark beside it. Nobody
but its owner may determine by it, so nothing is written.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from exchange.errors import BadLabel
from exchange.names import PartyId
from exchange.policy.fields import nearest
from exchange.policy.mappings.together import Plain
from exchange.policy.model import Actions, Purpose

POLICY = "us-acs/3"
NAMESPACE = "acs-marking"
PREDICATES = (
    "privilege_action",
    "classification",
    "formal_determination",
    "caveat",
    "sensitivity",
    "shareability",
    "entity",
)
PURPOSES: Mapping[str, tuple[Purpose, ...]] = {
    "NETDEF": (Purpose.CYBER_DEFENCE,),
    "CISAUSES": (Purpose.CYBER_DEFENCE, Purpose.PROTECT_LIFE),
    "LEGAL": (Purpose.CRIMINAL_INVESTIGATION,),
    "INTEL": (Purpose.RISK_ASSESSMENT,),
    "DSPLY": (),
    "IDSRC": (),
    "TENOT": (),
    "OPACTION": (),
    "TEARLINE": (),
    "REQUEST": (),
    "ANONYMOUSACCESS": (),
}
"""Purposes that each privilege comes to; some permit an act and name no purpose."""

NO_FOREIGN = "NF"
_TAG = re.compile(rf'{NAMESPACE}:(\w+)="([^"]+)"', re.ASCII)


def to_label_fields(tags: Iterable[str], *, partners: Mapping[str, Sequence[PartyId]]) -> Plain:
    """Return what the tags permit; `partners` says who is meant by each shareability.

    Raises:
        BadLabel: an unknown tag, no classification or several, no purpose, or a shareability of nobody here.
    """
    given = _values(tags)
    if len(given["classification"]) != 1:
        raise BadLabel("one classification is expected", place=NAMESPACE, hint='acs-marking:classification="U"')
    privileges = given["privilege_action"]
    unknown = sorted(set(privileges).difference(PURPOSES))
    if unknown:
        raise BadLabel(f"no privilege {unknown[0][:40]}", place=NAMESPACE, hint=nearest(unknown[0], PURPOSES))
    purposes = sorted({purpose for privilege in privileges for purpose in PURPOSES[privilege]})
    if not purposes:
        raise BadLabel(
            "the privileges permit no purpose that is known here", place="purposes", hint="ask who marked it"
        )
    determined = {*given["formal_determination"], *given["caveat"], *given["sensitivity"]}
    foreign = NO_FOREIGN not in determined
    return {
        "purposes": [purpose.word for purpose in purposes],
        "actions": (Actions.EXTERNAL_ACTIVE if "OPACTION" in privileges else Actions.INTERNAL_ONLY).word,
        "evidence_use": "with_consent" if "LEGAL" in privileges else "no",
        "notify_affected": "may" if "TENOT" in privileges else "must_not",
        "attribution": "may" if "IDSRC" in privileges else "must_not",
        "personal_data": _personal_data(determined),
        "national": {
            "policy": POLICY,
            "classification": given["classification"][0],
            "caveats": [
                f"{predicate}:{value}"
                for predicate in PREDICATES
                if predicate not in ("privilege_action", "classification")
                for value in given[predicate]
            ],
        },
        "release": {"to": _shared(given["shareability"], partners) if foreign else []},
        "onward": "consent" if foreign else "none",
    }


def _values(tags: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {predicate: [] for predicate in PREDICATES}
    for tag in tags:
        parts = _TAG.fullmatch(tag)
        if parts is None or parts[1] not in found:
            raise BadLabel(
                f"{tag[:80]!r} is no tag of {NAMESPACE}", place=NAMESPACE, hint=f"one of {', '.join(PREDICATES)}"
            )
        if parts[2] not in found[parts[1]]:
            found[parts[1]].append(parts[2])
    return found


def _personal_data(determined: Iterable[str]) -> Plain | str:
    found = set(determined)
    free = "NO-PII-PRESENT" in found and not found & {"PII", "POSSIBLEPII", "PII-NECESSARY-TO-UNDERSTAND-THREAT"}
    return "none" if free else {"present": True}


def _shared(values: Iterable[str], partners: Mapping[str, Sequence[PartyId]]) -> list[str]:
    found: set[PartyId] = set()
    for value in values:
        if value not in partners:
            raise BadLabel(
                f"no partner is known for {value[:40]}", place="release", hint="add it to the table of partners"
            )
        found.update(partners[value])
    return sorted(found)
