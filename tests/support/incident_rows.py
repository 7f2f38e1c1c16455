"""Rows of the UCDP file as incident reports, for the bulk feed of scenario s11. The file is other people's data."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid5

from nodes.stix import EXTENSION

ROWS = Path(__file__).resolve().parents[3] / "shared" / "data" / "incidents" / "ucdp_ged_23.1_CAF_2020-2022.csv"
"""Beside the project where it is present; tests that need it skip with a reason where it is not."""

NAMES = UUID("6b8a1f0e-3c55-4d2b-9f5e-2a7c1d9e4b60")
GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"
NERUVA = "identity--7982667d-9223-4e81-9225-9c69f89e928d"
COUNTRIES = {"Central African Republic": "CF"}

LABEL = b"""\
tlp: green
pap: green
categories: [lesson]
purposes: [protect_life]
about: [CF]
release: {to: [XA, XV]}
onward: community
personal_data: none
basis: {kind: mou, citation: "Regional Lessons and Warnings Charter, clause 2"}
grading: {scheme: admiralty, source: F, info: "6"}
approvals: 1
lane: routine
"""
"""Nobody has reviewed it: it leaves the node when somebody has."""


def reports() -> Iterator[bytes]:
    """Yield a STIX bundle a row."""
    with ROWS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield report_of(row)


def report_of(row: dict[str, str]) -> bytes:
    """Return one row as an incident report; the same row gives the same bytes."""
    begin = f"{row['date_start'][:10]}T00:00:00.000Z"
    incident = {
        **_common("incident", row["id"], begin),
        "name": f"Violence near {row['where_coordinates']}",
        "description": f"{row['side_a']} against {row['side_b']}; best estimate of deaths: {row['best']}.",
    }
    location = {
        **_common("location", row["id"], begin),
        "name": row["where_coordinates"],
        "country": COUNTRIES[row["country"]],
        "latitude": float(row["latitude"]),
        "longitude": float(row["longitude"]),
    }
    root = {
        **_common("report", row["id"], begin),
        "name": f"{row['dyad_name']}, {row['date_start'][:10]}",
        "published": begin,
        "report_types": ["incident"],
        "object_refs": [incident["id"], location["id"]],
        "extensions": {
            EXTENSION: {"extension_type": "property-extension", "kind": "incident-report", "status": "exercise"}
        },
    }
    bundle = {"type": "bundle", "id": _id("bundle", row["id"]), "objects": [root, incident, location]}
    return json.dumps(bundle).encode()


def _common(kind: str, row: str, at: str) -> dict[str, object]:
    return {
        "type": kind,
        "spec_version": "2.1",
        "id": _id(kind, row),
        "created": at,
        "modified": at,
        "created_by_ref": NERUVA,
        "object_marking_refs": [GREEN],
    }


def _id(kind: str, row: str) -> str:
    return f"{kind}--{uuid5(NAMES, f'{kind}/{row}')}"
