"""`concord relay init | serve | status` as an operator meets them."""

import json
import logging
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from exchange.crypto.codec import encode_signed
from exchange.directory.ceremony import sign_genesis
from exchange.directory.codec import decode_as
from exchange.directory.statements import Genesis
from exchange.names import party_id
from exchange.relay.app import Listening
from exchange.relay.home import GENESIS, GENESIS_REQUEST, RelayHome, RelaySecrets
from exchange.runtime.armour import read_armour, write_armour
from exchange.runtime.relay_info import RootFile, read_relay_info, write_root_file
from exchange.runtime.secrets import write_private
from nodes.admin.main import run
from tests.support.directory_builders import composite
from tests.support.processes import RelayProcess
from tests.support.relay_world import short_home

NAME = "demo.concord.example"
PASSPHRASE = b"six random words are a passphrase\n"


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a root.pub of XA and a passphrase file."""
    path = short_home()
    (path / "root.pub").write_text(write_root_file(RootFile(party_id("XA"), composite("XA/root").public)))
    write_private(path / "passphrase", PASSPHRASE)
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Put back what `serve` does to this process's logging: its handler writes to a captured stream."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def init(place: Path, *more: str) -> int:
    options = {
        "--home": str(place / "relay"),
        "--exchange": NAME,
        "--council": str(place / "root.pub"),
        "--address": "127.0.0.1:0",
        "--join-address": "127.0.0.1:0",
        "--passphrase-file": str(place / "passphrase"),
        "--memory-mib": "64",
    }
    return run(["relay", "init", *(word for pair in options.items() for word in pair), *more])


def found(home: RelayHome) -> None:
    """Sign the genesis as the council does."""
    _, payload = read_armour(home.genesis_request.read_text(), {GENESIS_REQUEST})
    home.genesis.write_text(write_armour(GENESIS, encode_signed(sign_genesis(payload, composite("XA/root")))))


def test_a_relay_is_made_founded_served_asked_and_stopped(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(place) == 0
    said = capsys.readouterr().err
    assert "concord root sign" in said
    assert RootFile(party_id("XA"), composite("XA/root").public).fingerprint in said
    home = RelayHome(place / "relay")
    assert run(["relay", "status", "--home", str(home.root)]) == 5
    assert "hint: concord relay serve" in capsys.readouterr().err
    found(home)
    with RelayProcess(home, place / "passphrase") as process:
        listening = process.start()
        assert run(["relay", "status", "--home", str(home.root), "--json"]) == 0
        status = json.loads(capsys.readouterr().out)
        assert (status["exchange"], status["directory_size"], status["draining"]) == (NAME, 1, False)
        assert run(["relay", "status", "--home", str(home.root)]) == 0
        assert NAME in capsys.readouterr().out
        assert watched(home) == 0
        listening = comes_back(home, process)
        assert serve(home, place) == 7
        assert f"in use by process {process.pid}" in capsys.readouterr().err
        assert process.stop() == 0
    info = read_relay_info(home.info.read_text())
    assert info == listening.info
    assert info.directory().exchange == NAME
    assert run(["relay", "status", "--home", str(home.root)]) == 5


def watched(home: RelayHome) -> int:
    """Watch the relay through a pipe for two looks, press Ctrl-C, and return the exit code."""
    words = [sys.executable, "-m", "nodes", "relay", "status", "--home", str(home.root), "--watch", "--interval", "0.2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        titles = 0
        while titles < 2:
            line = process.stdout.readline()
            assert line
            titles += line.startswith(NAME)
        process.send_signal(signal.SIGINT)
        return process.wait(timeout=20)


def comes_back(home: RelayHome, process: RelayProcess) -> Listening:
    """Watch the relay while it is killed and started again; return where it listens then."""
    words = [sys.executable, "-m", "nodes", "relay", "status", "--home", str(home.root), "--watch", "--json"]
    with subprocess.Popen([*words, "--interval", "0.2"], stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        lines = map(json.loads, watching.stdout)
        assert next(lines)["exchange"] == NAME
        process.kill()
        away = next(line for line in lines if "exchange" not in line)
        assert away["away"]["reason"] == "UNAVAILABLE" and away["away"]["since_ms"] <= away["at_ms"]
        listening = process.start()
        assert next(line for line in lines if "away" not in line)["exchange"] == NAME
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=20) == 0
    return listening


def serve(home: RelayHome, place: Path) -> int:
    return run(["relay", "serve", "--home", str(home.root), "--passphrase-file", str(place / "passphrase")])


def test_the_genesis_names_the_relays_keys_and_nothing_secret_lies_open(place: Path) -> None:
    assert init(place) == 0
    home = RelayHome(place / "relay")
    secrets = RelaySecrets.load(home.keys, PASSPHRASE.strip())
    genesis = decode_as(Genesis, read_armour(home.genesis_request.read_text(), {GENESIS_REQUEST})[1])
    (keys,) = secrets.sets
    assert genesis.relay == keys.public
    seeds = (
        keys.promise.seed,
        keys.log.ed25519.seed,
        keys.log.mldsa.seed,
        keys.transport.key,
        secrets.join.key,
    )
    for path in home.root.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0
            assert not any(seed in path.read_bytes() for seed in seeds)


def test_a_home_is_not_overwritten(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(place) == 0
    keys = (place / "relay" / "relay.keys").read_bytes()
    assert init(place) == 7
    assert "holds a relay already" in capsys.readouterr().err
    assert (place / "relay" / "relay.keys").read_bytes() == keys


def test_a_council_that_cannot_reach_its_threshold_makes_no_relay(place: Path) -> None:
    assert init(place, "--threshold", "2") == 2
    assert not (place / "relay" / "relay.keys").exists()


def test_no_genesis_or_that_of_another_relay_stops_the_start(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(place) == 0
    home = RelayHome(place / "relay")
    assert serve(home, place) == 7
    assert "concord root sign" in capsys.readouterr().err
    (place / "other").mkdir(mode=0o700)
    for name in ("root.pub", "passphrase"):
        shutil.copy(place / name, place / "other" / name)
    assert init(place / "other") == 0
    found(RelayHome(place / "other" / "relay"))
    shutil.copy(place / "other" / "relay" / "genesis.signed", home.genesis)
    capsys.readouterr()
    assert serve(home, place) == 7
    assert "another relay's keys" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line, said", [('adress = "127.0.0.1:1"', "address"), ("[limits]\nreports_per_minute = 0", "reports_per_minute")]
)
def test_a_setting_that_is_misspelt_or_impossible_stops_the_start(
    place: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    assert init(place) == 0
    home = RelayHome(place / "relay")
    found(home)
    home.config.write_text(home.config.read_text() + line + "\n")
    assert serve(home, place) == 7
    assert said in capsys.readouterr().err
