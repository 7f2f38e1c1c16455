"""Write a report and its label to fill in (`concord report new`)."""

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from exchange.envelope.model import REPORT_KINDS
from exchange.errors import BadInput, Conflict
from nodes.reportfile import label_beside
from nodes.stix import EXTENSION

LABEL = """\
# Handling rules of this report. docs/spec/policy.md explains every field; `concord report check` reads them back.
tlp: amber                       # clear, green, amber, amber+strict, red
categories: [site_threat]        # what it is about
purposes: [protect_life]         # what it may be used for
about: []                        # countries that it is about, ISO 3166-1 alpha-2, as in [PK]
release:
  to: []                         # partners, as in [XV, XO]. Empty reaches nobody.
personal_data: none              # or {present: true, special: false, subjects: [victim]}
basis: {kind: mou, citation: ""} # treaty, statute, mou, court_order or vital_interest; and which
# onward: none                   # none, consent, dependants, community, free
# pap: amber                     # red, amber, green, clear
# grading: {scheme: admiralty, source: B, info: "2"}
# time: {embargo_until: +12h, expires_at: +90d, on_expiry: purge}
# lane: routine                  # flash, priority, routine
"""


def write_report(name: Path, *, kind: str, title: str) -> tuple[Path, Path]:
    """Write NAME.json and NAME.label.yaml; raise Conflict when one exists already."""
    if kind not in REPORT_KINDS:
        raise BadInput(f"{kind!r} is not a kind of report", hint=f"one of {', '.join(sorted(REPORT_KINDS))}")
    if not name.name:
        raise BadInput("a report needs a name", hint="concord report new roadblock")
    report = name.with_name(name.name.removesuffix(".json") + ".json")
    label = label_beside(report)
    for path in (report, label):
        if path.exists():
            raise Conflict(f"{path} exists", hint="choose another name")
    text = json.dumps(_bundle(kind, title), indent=1, ensure_ascii=False) + "\n"
    report.write_text(text, encoding="utf-8")
    label.write_text(LABEL, encoding="utf-8")
    return report, label


def _bundle(kind: str, title: str) -> dict[str, object]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    times = {"spec_version": "2.1", "created": now, "modified": now}
    identity = f"identity--{uuid4()}"
    location = f"location--{uuid4()}"
    return {
        "type": "bundle",
        "id": f"bundle--{uuid4()}",
        "objects": [
            {
                "type": "identity",
                "id": identity,
                **times,
                "name": "Your agency",
                "identity_class": "organization",
            },
            {
                "type": "report",
                "id": f"report--{uuid4()}",
                **times,
                "created_by_ref": identity,
                "name": title,
                "description": "What happened, where, when, and what to do.",
                "published": now,
                "object_refs": [location],
                "extensions": {
                    EXTENSION: {
                        "extension_type": "property-extension",
                        "kind": kind,
                        "status": "actual",
                        "precedence": "routine",
                    }
                },
            },
            {"type": "location", "id": location, **times, "name": "Place", "region": "world"},
        ],
    }
