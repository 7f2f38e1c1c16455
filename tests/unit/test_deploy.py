"""The dashboard and the alert rules in deploy/ name metrics and labels that relay and node export.

What those are stands in docs/operations/metrics.md, which tests/integration/test_metrics_exported.py compares with what
running ones say.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.metrics_page import documented

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "deploy/prometheus/concord.rules.yml").read_text())
DASHBOARD = json.loads((ROOT / "deploy/grafana/concord.json").read_text())
METRICS = documented("Relay") | documented("Node")
OF_PROMETHEUS = {"instance", "job", "le"}
"""Labels that Prometheus gives, and the one of a histogram's buckets."""

NAME = re.compile(r"\b(concord_\w+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
GROUPED = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
SHOWN = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")

ALARMS = {
    "lag": ["concord_relay_lag_seconds", "concord_node_lag_seconds"],
    "silent partner": ["concord_relay_partner_connected", "concord_node_partner_silent_since_ms"],
    "age of the quorum": ["concord_node_directory_quorum_ms", "concord_relay_cosigned_size"],
    "disk": ["concord_relay_disk_free_bytes", "concord_node_disk_free_bytes"],
    "refusals": ["concord_relay_answers_total", "concord_node_answers_total"],
    "gaps": ["concord_node_missing_numbers"],
    "prekeys": ["concord_node_prekey_days"],
    "what the node calls an alarm": ["concord_node_alarms"],
}


def rules() -> Iterator[dict[str, Any]]:
    """Yield every alert rule; Any: YAML."""
    for group in RULES["groups"]:
        yield from group["rules"]


def queries() -> Iterator[tuple[str, str]]:
    """Yield every query of the dashboard with its legend."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"], target["legendFormat"]


def base(name: str) -> str:
    """Return the documented name behind the series of a histogram."""
    short = re.sub(r"_(bucket|sum|count)$", "", name)
    return short if METRICS.get(short, ("",))[0] == "histogram" else name


def labels_in(expr: str) -> set[str]:
    """Check that an expression names what is exported, and return the labels that its metrics have."""
    labels = set(OF_PROMETHEUS)
    for name, matchers in NAME.findall(expr):
        assert name == "up" or base(name) in METRICS, name
        own = OF_PROMETHEUS | (METRICS[base(name)][1] if name != "up" else set())
        assert set(MATCHER.findall(matchers)) <= own, f"{name}{{{matchers}}}"
        labels |= own
    grouped = {label.strip() for group in GROUPED.findall(expr) for label in group.split(",")}
    assert grouped <= labels, expr
    assert expr.count("(") == expr.count(")")
    return labels


@pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: rule["alert"])
def test_every_alert_asks_for_what_is_exported_and_says_what_to_read(rule: dict[str, Any]) -> None:
    labels = labels_in(rule["expr"])
    words = rule["annotations"]["summary"]
    assert set(re.findall(r"\$labels\.(\w+)", words)) <= labels
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert (ROOT / rule["annotations"]["page"]).exists()


@pytest.mark.parametrize("expr, legend", list(queries()), ids=lambda text: text[:60])
def test_every_panel_asks_for_what_is_exported(expr: str, legend: str) -> None:
    assert set(SHOWN.findall(legend)) <= labels_in(expr)


@pytest.mark.parametrize("what", sorted(ALARMS))
def test_what_the_docs_call_an_alarm_has_a_rule(what: str) -> None:
    expressions = " ".join(rule["expr"] for rule in rules())
    assert [name for name in ALARMS[what] if name not in expressions] == []


def test_names_of_alerts_and_places_of_panels_are_used_once() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_prometheus_is_told_of_the_rules_and_of_the_jobs_that_they_name() -> None:
    given = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert given["rule_files"] == ["concord.rules.yml"]
    jobs = {job["job_name"] for job in given["scrape_configs"]}
    assert {job for rule in rules() for job in re.findall(r'job="([^"]+)"', rule["expr"])} == jobs
