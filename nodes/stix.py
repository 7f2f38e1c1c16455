"""Read a STIX 2.1 bundle as a report: structure, ids, limits, markings, places. Pure.

A report file is one bundle with exactly one root: a `report` or `note` that carries the Overseas Security Report
extension with a `kind`. Full JSON Schema validation is not done here; what is checked here is what the sharing rules
and the store rest on:

1. UTF-8 JSON, within size and depth, no duplicate keys;
2. a bundle of objects with well-formed, unrepeated ids;
3. one root, with a known kind;
4. every marking understood; the strictest is the report's least TLP;
5. places as ISO 3166-1 alpha-2 codes (XA to XZ are user-assigned, for exercises).

Source: STIX 2.1 OASIS Standard. Markings are those of exchange/policy/mappings/stix.py.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

import orjson

from exchange.envelope.model import REPORT_KINDS
from exchange.errors import BadReport, MalformedInput, TooLarge
from exchange.limits import REPORT_BYTES, STIX_DEPTH, STIX_OBJECTS
from exchange.policy.mappings.stix import TLP_BY_MARKING, TLP_EXTENSION
from exchange.policy.model import Tlp

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
JsonObject = dict[str, Json]

EXTENSION = "extension-definition--6b8a1f0e-3c55-4d2b-9f5e-2a7c1d9e4b60"
"""The Overseas Security Report property extension."""

TITLE_CHARS = 500
"""Of a report's title as lists show it: a thousand of them fit into one answer, whatever partners write."""

AUDIENCE_FIELDS = ("audience", "release_audience")
"""Fields of `handling` that name partners."""

LANE_BY_PRECEDENCE: Mapping[str, str] = {
    "flash": "flash",
    "immediate": "priority",
    "priority": "priority",
    "routine": "routine",
}

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ID = re.compile(rf"([a-z][a-z0-9-]{{1,248}}[a-z0-9])--{_UUID}")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class StixReport:
    """A report file, understood."""

    bundle: JsonObject
    root: JsonObject
    root_place: str
    kind: str
    title: str
    stix_id: str
    modified_ms: int
    """The root's `modified`: which version of the STIX object this is."""
    least_tlp: Tlp | None
    """The strictest marking found; None when nothing is marked."""
    strictest_place: str
    countries: frozenset[str]
    precedence: str | None
    handling: JsonObject | None
    unresolved: tuple[str, ...]
    """References of the root that point outside the bundle."""


def read_report(data: bytes) -> StixReport:
    """Return the report in `data`.

    Raises:
        TooLarge, MalformedInput: not a JSON text that may be read at all; `place` is a line or a path.
        BadReport: JSON, but not a report; `place` is a path such as `objects[3].id`.
    """
    bundle = _bundle(_json(data))
    objects = _objects(bundle)
    index, root, extension = _root(objects)
    place = f"objects[{index}]"
    kind = extension.get("kind")
    if not isinstance(kind, str) or kind not in REPORT_KINDS:
        where = f"{place}.extensions.{EXTENSION}.kind"
        _refuse(where, f"{kind!r} is not a kind of report", f"one of {sorted(REPORT_KINDS)}")
    least, strictest_place = _least_tlp(objects)
    known = {item["id"] for item in objects}
    handling = extension.get("handling")
    if handling is not None and not isinstance(handling, dict):
        _refuse(f"{place}.extensions.{EXTENSION}.handling", "handling is not an object", "see docs/spec/policy.md")
    return StixReport(
        bundle=bundle,
        root=root,
        root_place=place,
        kind=kind,
        title=_text(root, ("name", "abstract"), place),
        stix_id=str(root["id"]),
        modified_ms=_modified_ms(root, place),
        least_tlp=least,
        strictest_place=strictest_place,
        countries=_countries(objects),
        precedence=_precedence(extension, place),
        handling=handling,
        unresolved=tuple(ref for ref in _strings(root.get("object_refs")) if ref not in known),
    )


def without_audience(report: StixReport, original: bytes) -> bytes:
    """Return the bytes to sign: the author's own, unless the handling names an audience, which is then taken out.

    What recipients read must not name the audience (PROTOCOL 2); it travels in the Release instead.
    """
    handling = report.handling
    if handling is None or not any(name in handling for name in AUDIENCE_FIELDS):
        return original
    kept = {name: value for name, value in handling.items() if name not in AUDIENCE_FIELDS}
    extensions = _object(report.root["extensions"])
    extension = {**_object(extensions[EXTENSION]), "handling": kept}
    root: JsonObject = {**report.root, "extensions": {**extensions, EXTENSION: extension}}
    objects: list[Json] = [root if item is report.root else item for item in _list(report.bundle["objects"])]
    return orjson.dumps({**report.bundle, "objects": objects})


def _refuse(place: str, what: str, hint: str) -> NoReturn:
    raise BadReport(what, place=place, hint=hint)


def _json(data: bytes) -> Json:
    if len(data) > REPORT_BYTES:
        raise TooLarge(
            f"the report has {len(data):,} bytes; the limit is {REPORT_BYTES:,}",
            hint="split it; large files travel as attachments: concord report push --attach FILE",
        )
    try:
        # orjson first: strict UTF-8, no NaN, and its own depth limit guards the recursive passes below.
        value: Json = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedInput(
            f"not JSON: {error.msg}",
            place=f"line {error.lineno}, column {error.colno}",
            hint="a report is a STIX 2.1 bundle; `concord report new` writes one to fill in",
        ) from error
    if _deeper_than(value, STIX_DEPTH):
        raise TooLarge(f"the report is nested deeper than {STIX_DEPTH} levels", hint="flatten it")
    json.loads(data, object_pairs_hook=_unrepeated)
    return value


def _unrepeated(pairs: list[tuple[str, Json]]) -> JsonObject:
    """Refuse an object that has one key twice: two readers could take two meanings from it."""
    made: JsonObject = {}
    for key, value in pairs:
        if key in made:
            within = next((str(value)[:80] for name, value in pairs if name == "id"), "")
            raise MalformedInput(
                f"the key {key[:80]!r} stands twice in one object",
                place=f"{within}.{key[:80]}" if within else key[:80],
                hint="keep one",
            )
        made[key] = value
    return made


def _deeper_than(value: Json, limit: int) -> bool:
    level: list[Json] = [value]
    for _ in range(limit):
        level = [child for item in level if isinstance(item, (dict, list)) for child in _children(item)]
        if not level:
            return False
    return any(isinstance(item, (dict, list)) for item in level)


def _children(item: dict[str, Json] | list[Json]) -> Iterator[Json]:
    yield from item.values() if isinstance(item, dict) else item


def _bundle(value: Json) -> JsonObject:
    if not isinstance(value, dict) or value.get("type") != "bundle":
        _refuse("type", "not a STIX bundle", 'the outermost object needs "type": "bundle"')
    identifier = value.get("id")
    if not isinstance(identifier, str) or not _ID.fullmatch(identifier) or not identifier.startswith("bundle--"):
        _refuse("id", "the bundle's id is not bundle--UUID", "lower-case UUID after the two dashes")
    return value


def _objects(bundle: JsonObject) -> list[JsonObject]:
    objects = bundle.get("objects")
    if not isinstance(objects, list) or not objects:
        _refuse("objects", "the bundle holds no objects", "a report needs at least its root object")
    if len(objects) > STIX_OBJECTS:
        raise TooLarge(f"the bundle holds {len(objects):,} objects; the limit is {STIX_OBJECTS:,}", hint="split it")
    seen: set[str] = set()
    checked: list[JsonObject] = []
    for index, item in enumerate(objects):
        place = f"objects[{index}]"
        if not isinstance(item, dict):
            _refuse(place, "not an object", "every entry of objects is a STIX object")
        kind, identifier = item.get("type"), item.get("id")
        match = _ID.fullmatch(identifier) if isinstance(identifier, str) else None
        if match is None or match.group(1) != kind:
            _refuse(f"{place}.id", f"{identifier!r} is not an id of type {kind!r}", "TYPE--UUID, as in report--…")
        if identifier in seen:
            _refuse(f"{place}.id", f"{identifier} stands twice", "one version of an object a bundle")
        seen.add(str(identifier))
        checked.append(item)
    return checked


def _root(objects: Sequence[JsonObject]) -> tuple[int, JsonObject, JsonObject]:
    found: list[tuple[int, JsonObject, JsonObject]] = []
    for index, item in enumerate(objects):
        extensions = item.get("extensions")
        extension = extensions.get(EXTENSION) if isinstance(extensions, dict) else None
        if item["type"] in ("report", "note") and isinstance(extension, dict) and "kind" in extension:
            found.append((index, item, extension))
    if not found:
        _refuse("objects", "no report or note carries a kind", f'add extensions."{EXTENSION}".kind to the root')
    if len(found) > 1:
        places = ", ".join(f"objects[{index}] ({extension['kind']})" for index, _, extension in found)
        _refuse(
            "objects", f"{len(found)} reports in one bundle: {places}", "one report a file, each with its own label"
        )
    return found[0]


def _least_tlp(objects: Sequence[JsonObject]) -> tuple[Tlp | None, str]:
    """Return the strictest TLP that any object or part of one is marked with, and where."""
    strictest: Tlp | None = None
    where = ""
    defined = {str(item["id"]): tlp for item in objects if (tlp := _defined_tlp(item)) is not None}
    statements = {str(item["id"]) for item in objects if item.get("definition_type") == "statement"}
    for index, item in enumerate(objects):
        for place, reference in _markings(item, f"objects[{index}]"):
            if reference in statements:
                continue
            tlp = TLP_BY_MARKING.get(reference, defined.get(reference))
            if tlp is None:
                _refuse(place, f"the marking {reference} is not understood", "use a TLP 2.0 marking")
            if strictest is None or tlp > strictest:
                strictest, where = tlp, place
    return strictest, where


def _defined_tlp(item: JsonObject) -> Tlp | None:
    """Return the level of a TLP 2.0 marking that stands in the bundle under an id of its own."""
    extensions = item.get("extensions")
    extension = extensions.get(TLP_EXTENSION) if isinstance(extensions, dict) else None
    if item["type"] != "marking-definition" or not isinstance(extension, dict):
        return None
    word = extension.get("tlp_2_0")
    return next((tlp for tlp in Tlp if tlp.word == word), None)


def _markings(item: JsonObject, place: str) -> Iterator[tuple[str, str]]:
    for reference in _strings(item.get("object_marking_refs")):
        yield f"{place}.object_marking_refs", reference
    granular = item.get("granular_markings")
    for number, part in enumerate(granular if isinstance(granular, list) else []):
        if isinstance(part, dict) and isinstance(part.get("marking_ref"), str):
            yield f"{place}.granular_markings[{number}]", str(part["marking_ref"])


def _countries(objects: Sequence[JsonObject]) -> frozenset[str]:
    found: set[str] = set()
    for index, item in enumerate(objects):
        country = item.get("country") if item["type"] == "location" else None
        if country is None:
            continue
        if not isinstance(country, str) or not _COUNTRY.fullmatch(country):
            _refuse(f"objects[{index}].country", f"{country!r} is not a country", "ISO 3166-1 alpha-2, as in PK")
        found.add(country)
    return frozenset(found)


def _precedence(extension: JsonObject, place: str) -> str | None:
    value = extension.get("precedence")
    if value is None:
        return None
    if not isinstance(value, str) or value not in LANE_BY_PRECEDENCE:
        _refuse(
            f"{place}.extensions.{EXTENSION}.precedence", f"{value!r} is not a precedence", str([*LANE_BY_PRECEDENCE])
        )
    return value


def _text(root: JsonObject, names: Sequence[str], place: str) -> str:
    for name in names:
        value = root.get(name)
        if isinstance(value, str) and value.strip():
            return value[:TITLE_CHARS]
    _refuse(f"{place}.{names[0]}", "the report has no title", "fill in name (or abstract, for a note)")


def _modified_ms(root: JsonObject, place: str) -> int:
    value = root.get("modified")
    if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
        try:
            return round(datetime.fromisoformat(value).timestamp() * 1000)
        except ValueError:
            pass  # right shape, no such day or hour
    _refuse(f"{place}.modified", f"{value!r} is not a STIX timestamp", "as in 2021-07-14T05:30:00.000Z")


def _strings(value: Json) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
