import socket
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from sqlalchemy import Connection

from exchange.errors import ConfigurationError, Unavailable
from exchange.runtime.database import Database
from exchange.runtime.engine import sqlite_url
from exchange.runtime.health import Health
from exchange.runtime.measure import measure_database, measure_disk
from exchange.runtime.metrics import Metrics


def test_metrics_are_read_on_this_machine() -> None:
    with Metrics() as metrics:
        metrics.counter("envelopes", "Envelopes accepted.", ["lane"]).labels(lane="flash").inc(2)
        metrics.gauge("waiting", "Envelopes waiting.").set(7)
        metrics.seconds("commit", "A group's commit.").observe(0.002)
        port = metrics.serve(0)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    assert 'concord_envelopes_total{lane="flash"} 2.0' in text
    assert "concord_waiting 7.0" in text
    assert 'concord_commit_seconds_bucket{le="0.0025"} 1.0' in text
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", port or 0), timeout=5):
        pass


def test_without_a_port_nothing_is_served() -> None:
    with Metrics() as metrics:
        assert metrics.serve(None) is None


def test_a_port_in_use_is_a_configuration_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy, Metrics() as metrics, pytest.raises(ConfigurationError):
        metrics.serve(busy.getsockname()[1])


def test_two_processes_worth_of_metrics_do_not_meet() -> None:
    first, second = Metrics(), Metrics()
    first.counter("same", "One name in two registries.")
    second.counter("same", "One name in two registries.")


def exported(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_what_is_measured_together_is_asked_once_and_shown_under_each_name() -> None:
    metrics, asked = Metrics(), []

    def measure() -> dict[tuple[str, ...], tuple[float, float]]:
        asked.append(1)
        return {("XV", "flash"): (2, 0.5)}

    metrics.gauges_together({"waiting": "How many.", "lag_seconds": "How long."}, ("partner", "lane"), measure)
    text = exported(metrics)
    assert 'concord_waiting{lane="flash",partner="XV"} 2.0' in text
    assert 'concord_lag_seconds{lane="flash",partner="XV"} 0.5' in text
    assert len(asked) == 1


def test_what_cannot_be_measured_is_left_out_and_counted_and_the_others_are_told() -> None:
    metrics = Metrics()

    def fail() -> dict[tuple[str, ...], float]:
        raise Unavailable("the store is away")

    metrics.gauge("after", "What comes after it.").set(1)
    metrics.gauges("waiting", "How many.", ("partner",), fail)
    text = exported(metrics)
    assert "concord_waiting{" not in text and "concord_after 1.0" in text
    assert 'concord_measure_failed_total{metric="concord_waiting"} 1.0' in exported(metrics)


def test_what_a_part_counts_itself_is_a_counter() -> None:
    metrics = Metrics()
    metrics.counters("answers", "Answers.", "reason", lambda: {"promised": 3})
    assert 'concord_answers_total{reason="promised"} 3.0' in exported(metrics)


def test_the_size_of_each_commit_is_told(tmp_path: Path) -> None:
    metrics = Metrics()
    with Database(sqlite_url(tmp_path / "store.db")) as database:
        measure_database(metrics, "relay", database, Health(database))
        database.write_now(lambda _: None)
        with pytest.raises(Unavailable):
            database.write_now(fail_write)
        database.write_now(lambda _: None)
    text = exported(metrics)
    assert "concord_relay_commit_writes_count 3.0" in text and "concord_relay_commit_seconds_count 3.0" in text
    assert 'concord_relay_commit_writes_bucket{le="1.0"} 3.0' in text
    assert "concord_relay_writes_waiting 0.0" in text


def fail_write(_: Connection) -> None:
    raise Unavailable("this write")


def test_the_room_on_the_disk_is_shown_and_a_folder_that_is_gone_is_counted(tmp_path: Path) -> None:
    metrics = Metrics()
    measure_disk(metrics, "node", tmp_path)
    assert "concord_node_disk_free_bytes " in exported(metrics) and "concord_node_disk_bytes " in exported(metrics)
    tmp_path.rmdir()
    assert "\nconcord_node_disk_free_bytes " not in exported(metrics)
    assert 'concord_measure_failed_total{metric="concord_node_disk_free_bytes"} 1.0' in exported(metrics)
