"""Report files for tests: the smallest good one, and ways to spoil it."""

import copy
from typing import Any

import orjson

from nodes.stix import EXTENSION

TLP_AMBER = "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"
TLP_RED = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"

LABEL = b"""\
tlp: amber
categories: [site_threat]
purposes: [protect_life]
about: [PK]
release: {to: [XV, XO]}
personal_data: none
basis: {kind: mou, citation: "Memorandum, art. 4"}
"""

_REPORT: dict[str, Any] = {
    "type": "bundle",
    "id": "bundle--11111111-1111-4111-8111-111111111111",
    "objects": [
        {
            "type": "report",
            "spec_version": "2.1",
            "id": "report--22222222-2222-4222-8222-222222222222",
            "created": "2021-07-14T05:30:00.000Z",
            "modified": "2021-07-14T05:30:00.000Z",
            "name": "Roadblock near the dam",
            "published": "2021-07-14T05:30:00.000Z",
            "object_marking_refs": [TLP_AMBER],
            "object_refs": ["location--33333333-3333-4333-8333-333333333333"],
            "extensions": {
                EXTENSION: {"extension_type": "property-extension", "kind": "incident-report", "precedence": "routine"}
            },
        },
        {
            "type": "location",
            "spec_version": "2.1",
            "id": "location--33333333-3333-4333-8333-333333333333",
            "created": "2021-07-14T05:30:00.000Z",
            "modified": "2021-07-14T05:30:00.000Z",
            "country": "PK",
        },
    ],
}


def a_bundle(**root: Any) -> dict[str, Any]:
    """Return a good bundle; keywords replace fields of its root."""
    bundle = copy.deepcopy(_REPORT)
    bundle["objects"][0].update(root)
    return bundle


def a_report(**root: Any) -> bytes:
    """Return a good report file; keywords replace fields of its root."""
    return orjson.dumps(a_bundle(**root))


def with_handling(**handling: Any) -> bytes:
    """Return a report file whose root carries this handling."""
    bundle = a_bundle()
    bundle["objects"][0]["extensions"][EXTENSION]["handling"] = handling
    return orjson.dumps(bundle)
