import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from exchange.runtime.logs import DROPPED, configure_logging, get_logger

Lines = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    before = structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


def last(capsys: Lines) -> dict[str, Any]:
    captured = capsys.readouterr()
    assert captured.out == ""
    line: dict[str, Any] = json.loads(captured.err.splitlines()[-1])
    return line


@pytest.mark.parametrize("as_json", [True, False])
def test_what_sounds_like_a_secret_or_content_is_dropped(capsys: Lines, *, as_json: bool) -> None:
    configure_logging(json=as_json, level="info")
    get_logger("part").info(
        "done",
        passphrase="hunter2",
        api_token="hunter2",
        envelope_key="hunter2",
        inner={"Body": "hunter2"},
        key_id="k1",
    )
    logging.getLogger("library").warning("words")
    shown = capsys.readouterr().err
    assert "hunter2" not in shown and shown.count(DROPPED) == 4
    assert "k1" in shown and "words" in shown


def test_bytes_are_counted_and_long_values_cut(capsys: Lines) -> None:
    configure_logging(json=True, level="info")
    get_logger("part").info("done", raw=b"hunter2", words="x" * 10_000, many=[b"12"])
    line = last(capsys)
    assert line["raw"] == "(7 bytes)" and line["many"] == ["(2 bytes)"] and len(line["words"]) < 600


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_shows_no_values_of_variables(capsys: Lines, *, as_json: bool) -> None:
    configure_logging(json=as_json, level="info")
    local = "hunter" + "2"
    try:
        raise ValueError(len(local))
    except ValueError:
        get_logger("part").exception("failed")
        logging.getLogger("library").exception("failed")
    shown = capsys.readouterr().err
    assert shown.count("ValueError: 7") == 2 and "hunter2" not in shown


def test_a_line_has_time_level_and_name(capsys: Lines) -> None:
    configure_logging(json=True, level="warning")
    get_logger("exchange.part").info("quiet")
    get_logger("exchange.part").warning("loud", party="XA")
    line = last(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "loud", "level": "warning", "logger": "exchange.part", "party": "XA"}


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="level"):
        configure_logging(json=True, level="loud")


def test_before_any_configuration_errors_go_to_stderr_without_values_of_variables(capsys: Lines) -> None:
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = []
    local = "hunter" + "2"
    log = get_logger("part")
    try:
        raise ValueError(len(local))
    except ValueError:
        log.exception("failed", token=local)
    log.info("quiet")
    captured = capsys.readouterr()
    assert "ValueError: 7" in captured.err and "hunter2" not in captured.err and "quiet" not in captured.err
    assert captured.out == ""
