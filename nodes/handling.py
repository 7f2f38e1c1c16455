"""Turn the `handling` block of a report into the plain form of a label. Pure.

The block is the short form that other tools can write (docs/spec/policy.md, "Handling in the bundle"): traffic light,
audience and onward rule. What it does not say comes from the report itself where that is certain (kind, places,
grading), then from the node's label defaults; whatever is still missing is refused by the label's parser.
"""

from collections.abc import Mapping
from typing import Any

from exchange.errors import BadLabel
from nodes.stix import EXTENSION, JsonObject, StixReport

ONWARD = {
    "none": "none",
    "consent": "consent",
    "own-organisations": "dependants",
    "community": "community",
    "public": "free",
}
CATEGORIES_BY_KIND = {
    "alert": ["alert"],
    "guidance": ["guidance"],
    "lessons-learned": ["lesson"],
    "indicator-set": ["cyber_indicator"],
}
COPIED = ("tlp", "pap", "categories", "purposes", "about", "basis", "personal_data", "readers", "retention")
"""Fields that mean the same in a label."""

KNOWN = {*COPIED, "audience", "onward", "caveats", "expires", "release_after", "release_audience", "release_tlp"}


def label_of_handling(report: StixReport) -> dict[str, Any]:
    """Return the label that the report's own handling asks for, in plain form.

    Raises:
        BadLabel: no handling, a field that is not known, or one that cannot be kept.
    """
    handling = report.handling
    if handling is None:
        raise BadLabel(
            "the report has no label",
            hint="write NAME.label.yaml beside it (concord report new shows one), or handling",
        )
    place = f"{report.root_place}.extensions.{EXTENSION}.handling"
    for name in handling:
        if name not in KNOWN:
            raise BadLabel(f"handling has an unknown field {name[:80]!r}", place=place, hint=f"known: {sorted(KNOWN)}")
    if any(name in handling for name in ("release_after", "release_audience", "release_tlp")):
        raise BadLabel(
            "a second audience after a date needs a second report",
            place=place,
            hint="write a label file for each audience; the later one with time.not_before",
        )
    return {**_certain(report), **_given(handling, place)}


def _certain(report: StixReport) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if report.kind in CATEGORIES_BY_KIND:
        made["categories"] = CATEGORIES_BY_KIND[report.kind]
    if report.countries:
        made["about"] = sorted(report.countries)
    extension = _extension(report)
    source, info = extension.get("source_reliability"), extension.get("info_credibility")
    if isinstance(source, str) and isinstance(info, str):
        made["grading"] = {"scheme": "admiralty", "source": source, "info": info}
    return made


def _given(handling: JsonObject, place: str) -> dict[str, Any]:
    made: dict[str, Any] = {name: handling[name] for name in COPIED if name in handling}
    made["release"] = {"to": handling.get("audience", [])}
    if "onward" in handling:
        word = handling["onward"]
        if not isinstance(word, str) or word not in ONWARD:
            raise BadLabel(f"handling.onward is {word!r}", place=place, hint=f"one of {', '.join(ONWARD)}")
        made["onward"] = ONWARD[word]
    if "expires" in handling:
        made["time"] = {"expires_at": handling["expires"], "on_expiry": "purge"}
    caveats = handling.get("caveats", [])
    if not isinstance(caveats, list) or not all(isinstance(word, str) for word in caveats):
        raise BadLabel("handling.caveats is not a list of words", place=place, hint='as in ["ORCON"]')
    if "ORCON" in caveats:
        made["orcon"] = True
    others = [str(word) for word in caveats if word != "ORCON"]
    if others:
        made["handling"] = [{"code": word, "text": word} for word in others]
    return made


def _extension(report: StixReport) -> Mapping[str, Any]:
    extensions = report.root.get("extensions")
    found = extensions.get(EXTENSION) if isinstance(extensions, dict) else None
    return found if isinstance(found, dict) else {}
