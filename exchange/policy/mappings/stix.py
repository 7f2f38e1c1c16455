"""Markings of a STIX 2.1 bundle, as parsed values. It answers for a whole report that leaves as STIX. Pure.

Read: TLP 2.0 objects of OASIS, TLP 1 ids, OpenCTI's own, IEP policies, statements (kept verbatim). Granular markings
raise the whole: other tools ignore or misread them. A marking that is not understood is refused.
Written: one TLP 2.0 marking, one IEP policy, and a statement of everything that only people can keep.
Sources: STIX 2.1 7.2; the OASIS common object repository; OpenCTI.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from exchange.errors import BadLabel
from exchange.policy.mappings import iep, tlp
from exchange.policy.mappings.carry import in_words, refuse_lost
from exchange.policy.mappings.together import Plain, together
from exchange.policy.model import TEXT_CHARS, Label, Release, Tlp

TLP_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
IEP_EXTENSION = "extension-definition--762e2e97-ee51-43e5-a9ea-165fbb862c4a"

TLP_MARKINGS: Mapping[Tlp, str] = {
    Tlp.CLEAR: "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    Tlp.GREEN: "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    Tlp.AMBER: "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    Tlp.AMBER_STRICT: "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    Tlp.RED: "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
"""The TLP 2.0 objects: the ones that are written."""

TLP_BY_MARKING: Mapping[str, Tlp] = {
    **{marking: level for level, marking in TLP_MARKINGS.items()},
    # TLP 1, which many tools still write.
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": Tlp.CLEAR,
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": Tlp.GREEN,
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": Tlp.AMBER,
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": Tlp.RED,
    # OpenCTI's, from before TLP 2.0 had objects.
    "marking-definition--826578e1-40ad-459f-bc73-ede076f81f37": Tlp.AMBER_STRICT,
}

# What the IEP policy and the TLP marking say, so that the statement need not.
_CARRIED = ("actions", "notify_affected", "attribution", "resale", "expires_at")


@dataclass(frozen=True, slots=True)
class StixMarks:
    """What the objects of an exported bundle are marked with."""

    tlp: str
    """Id of a TLP 2.0 marking."""
    iep: Mapping[str, str]
    """The statements of an IEP policy, as its extension has them."""
    statement: str
    """What only people can keep."""


def to_label_fields(references: Iterable[str], definitions: Mapping[str, Mapping[str, Any]]) -> Plain:  # Any: JSON
    """Return the strictest of everything that is marked anywhere; `definitions` are the bundle's marking objects by id.

    Raises:
        BadLabel: a marking that is not understood.
    """
    parts = [_of_reference(reference, definitions) for reference in dict.fromkeys(references)]
    found = together(*parts)
    return found if "tlp" in found else together(found, tlp.UNMARKED)


def from_label(label: Label, release: Release, *, now_ms: int, policy_id: str, name: str) -> StixMarks:
    """Return the markings under which a report may leave as STIX.

    Raises:
        MarkNotCarried: the label asks for what no STIX tool keeps.
    """
    refuse_lost(label, release, scheme="STIX", now_ms=now_ms, carried=("time.expires_at",))
    policy = iep.from_label(label, policy_id=policy_id, name=name)
    renamed = {"id": "iep_id", "attribution": "provider_attribution"}
    statement = " ".join(in_words(label, carried=_CARRIED))
    return StixMarks(
        TLP_MARKINGS[tlp.level_for(label)],
        {renamed.get(statement_name, statement_name): value for statement_name, value in policy.items()},
        statement,
    )


def _of_reference(reference: str, definitions: Mapping[str, Mapping[str, Any]]) -> Plain:
    if reference in TLP_BY_MARKING:
        return tlp.of_level(TLP_BY_MARKING[reference])
    fields = of_definition(definitions[reference]) if reference in definitions else None
    if fields is None:
        raise BadLabel(f"the marking {reference[:80]} is not understood", place=reference, hint="use a TLP 2.0 marking")
    return fields


def of_definition(definition: Mapping[str, Any]) -> Plain | None:  # Any: JSON
    """Return what one marking-definition object says; None when it is of no kind that is understood."""
    extensions = definition.get("extensions") or {}
    if TLP_EXTENSION in extensions:
        return tlp.to_label_fields([str(extensions[TLP_EXTENSION].get("tlp_2_0"))])
    if IEP_EXTENSION in extensions:
        return iep.to_label_fields(extensions[IEP_EXTENSION])
    kind = str(definition.get("definition_type", "")).lower()
    stated = definition.get("definition") or {}
    if kind == "tlp":
        return tlp.to_label_fields([str(stated.get("tlp") or definition.get("x_opencti_definition"))])
    if kind == "statement" and isinstance(stated.get("statement"), str):
        return {"handling": [{"code": "STIX:statement", "text": stated["statement"].strip()[:TEXT_CHARS]}]}
    return None
