import socket
import urllib.request

import pytest

from exchange.errors import ConfigurationError
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
