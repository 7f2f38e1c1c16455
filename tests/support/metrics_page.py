"""What docs/operations/metrics.md says that relay and node export, and what a port exported, in the same form."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

PAGE = Path(__file__).parents[2] / "docs/operations/metrics.md"

Exported = dict[str, tuple[str, frozenset[str] | None]]
"""Kind and labels by name; None for the labels of what had no number when it was read."""

_SECTION = re.compile(r"^## (\w+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| `(concord_\w+)` \| (gauge|counter|histogram) \| ([^|]*) \|", re.MULTILINE)


def documented(part: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return what the page says of `Relay` or `Node`."""
    sections = dict(_SECTION.findall(PAGE.read_text()))
    rows = _ROW.findall(sections[part] + sections["Both"])
    assert len({name for name, _, _ in rows}) == len(rows) > 10
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def exported(text: str) -> Exported:
    """Return what a port said; a counter under the name of its samples."""
    found: Exported = {}
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created"):  # when a counter began, which the client library adds
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {frozenset(sample.labels) - {"le"} for sample in family.samples}
        assert len(labels) <= 1, name
        found[name] = (family.type, labels.pop() if labels else None)
    return found
