"""What a person or a script sees when something is wrong: a sentence, a hint, an exit code; never a traceback.

Most cases need nothing that runs and call the program in this process; the others share one small exchange.
"""

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodes.admin.exit_codes import CONFIGURATION, DENIED, NOT_FOUND, OK, UNAVAILABLE, USAGE
from nodes.admin.main import run
from nodes.demo.enrol import start_node
from tests.support.reports import a_bundle
from tests.support.small_exchange import SmallExchange, concord, small_exchange

LABEL = """\
tlp: amber
categories: [alert]
purposes: [protect_life]
about: [PK]
release: {to: [XV]}
personal_data: none
basis: {kind: mou, citation: "Liaison protocol, clause 1"}
"""
ACCEPT = ("--accept", "FIRST_TIME_TO_PARTNER:XV")
MEMORY = ("--memory-mib", "64")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to work in, with a passphrase file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pass").write_text("open sesame\n")
    (tmp_path / "pass").chmod(0o600)
    return tmp_path


def says(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Run a command in this process; return its exit code and what it said."""
    capsys.readouterr()
    code = run(list(words))
    said = capsys.readouterr().err
    assert "Traceback" not in said and "bug in Concord" not in said
    return code, said


# -- nothing runs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, code, said",
    [
        (("report", "list", "--home", "nowhere"), UNAVAILABLE, "concord node serve"),
        (("node", "serve", "--home", "nowhere"), NOT_FOUND, "concord node init"),
        (("node", "doctor", "--home", "nowhere"), NOT_FOUND, "concord node init"),
        (("relay", "status", "--home", "nowhere"), CONFIGURATION, "concord relay init"),
        (("report", "new", "no/such/folder"), CONFIGURATION, "no/such/folder.json: No such file or directory"),
        (("report", "new", ""), USAGE, "needs a name"),
        (("report", "new", "x", "--kind", "rumour"), USAGE, "threat-assessment"),
        (("report", "check", "missing.json"), NOT_FOUND, "no report at missing.json"),
        (("report", "check", "pass/inside.json"), NOT_FOUND, "no report at pass/inside.json"),
        (("report", "check", "."), NOT_FOUND, "is a directory"),
        (("report", "check", "/dev/zero"), NOT_FOUND, "not a regular file"),
        (("agreement", "check", "pass"), USAGE, "pass, line 1: not a map of fields"),
        (("node", "init", "--home", "n", "--invitation", "pass"), USAGE, "pass, line 1: this is not a Concord file"),
        (("root", "sign", "pass", "--home", "r"), USAGE, "pass, line 1: this is not a Concord file"),
        (("relay", "nonsense"), USAGE, "concord relay --help"),
        (("nonsense",), USAGE, "concord --help"),
    ],
)
def test_a_mistake_is_named_with_what_to_do(
    place: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str
) -> None:
    found, words_said = says(capsys, *words)
    assert (found, said in words_said) == (code, True), words_said
    assert words_said.startswith("error: ")


def test_who_signs_first_is_shown_all_that_an_agreement_permits(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says(capsys, "agreement", "draft", "XA", "XV", "--out", "a.yaml")[0] == OK
    text = Path("a.yaml").read_text().replace("onward_default: none ", "onward_default: free ")
    Path("a.yaml").write_text(text.replace("evidence_use: no ", "evidence_use: yes "))
    capsys.readouterr()
    assert run(["agreement", "check", "a.yaml"]) == OK
    shown = capsys.readouterr().out
    onward = next(line for line in shown.splitlines() if "free" in line)
    assert "yes" in onward and "365 days" in onward
    assert "only people can keep: When it ends, held items are destroyed within 30 days." in shown


@pytest.mark.parametrize("parties", [("XA",), ("XA", "XA"), ("XA", "xv")])
def test_an_agreement_is_between_different_parties(
    place: Path, capsys: pytest.CaptureFixture[str], parties: tuple[str, ...]
) -> None:
    assert says(capsys, "agreement", "draft", *parties, "--out", "a.yaml")[0] == USAGE
    assert not Path("a.yaml").exists()


def test_the_program_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert says(capsys) == (USAGE, "")


def test_an_empty_label_file_is_not_taken_for_no_label(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.json").write_bytes(json.dumps(a_bundle()).encode())
    Path("a.label.yaml").touch()
    code, said = says(capsys, "report", "check", "a.json")
    assert (code, "a.label.yaml: the label file is empty" in said) == (USAGE, True), said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_matter_of_configuration(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.json").touch(0o000)
    assert says(capsys, "report", "check", "a.json")[0] == CONFIGURATION


@pytest.mark.parametrize(
    "addresses, said",
    [
        (("127.0.0.1", "127.0.0.1:2"), "'127.0.0.1' is not HOST:PORT"),
        (("127.0.0.1:1", "127.0.0.1:1"), "cannot both connect"),
    ],
)
def test_addresses_of_a_relay_are_checked_before_anything_is_made(
    place: Path, capsys: pytest.CaptureFixture[str], addresses: tuple[str, str], said: str
) -> None:
    council = ("--council", "root/root.pub", "--exchange", "a.example", "--passphrase-file", "pass")
    where = ("--address", addresses[0], "--join-address", addresses[1])
    code, words = says(capsys, "relay", "init", "--home", "relay", *council, *where)
    assert (code, said in words) == (USAGE, True), words
    assert not Path("relay").exists()


def test_a_home_whose_path_is_too_long_for_a_socket_is_refused_at_once(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        says(capsys, "root", "init", "--home", "root", "--party", "XA", "--passphrase-file", "pass", *MEMORY)[0] == OK
    )
    home = place / ("n" * 110)
    init = ("--council", "root/root.pub", "--exchange", "a.example", "--passphrase-file", "pass")
    code, said = says(capsys, "relay", "init", "--home", str(home), *init)
    assert (code, "too long for a socket" in said) == (CONFIGURATION, True), said
    assert not home.exists()


def test_a_damaged_root_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ("--home", "root", "--passphrase-file", "pass")
    assert says(capsys, "root", "init", "--party", "XA", *root, *MEMORY)[0] == OK
    Path("relay.pass").write_text("other\n")
    Path("relay.pass").chmod(0o600)
    relay = ("--exchange", "a.example", "--council", "root/root.pub", "--passphrase-file", "relay.pass")
    assert says(capsys, "relay", "init", "--home", "relay", *relay, *MEMORY)[0] == OK
    sign = ("root", "sign", "relay/genesis.unsigned", "--out", "signed", "--yes", "--home", "root")
    code, said = says(capsys, *sign, "--passphrase-file", "relay.pass")
    assert (code, "does not open" in said) == (CONFIGURATION, True), said
    Path("root/root.keys").write_bytes(Path("root/root.keys").read_bytes()[:90])
    code, said = says(capsys, *sign, "--passphrase-file", "pass")
    assert (code, "root/root.keys" in said, "backup" in said) == (CONFIGURATION, True, True), said
    assert not Path("signed").exists()


# -- where output goes -------------------------------------------------------------------------------------------------


def shell(script: str) -> subprocess.CompletedProcess[str]:
    program = f"{sys.executable} -m nodes"
    return subprocess.run(
        ["bash", "-c", script.replace("concord", program)], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    "script, code",
    [
        ("concord report new x --kind nonsense 2>/dev/null", USAGE),
        ("concord agreement draft XA XV > /dev/full", UNAVAILABLE),
        ("concord agreement draft XA XV >&-", OK),
        ("concord agreement draft XA XV 2>&-", OK),
        ("set -o pipefail; concord agreement draft XA XV | head -1", OK),
        ("concord --help | true; exit ${PIPESTATUS[0]}", OK),
    ],
)
def test_output_that_goes_nowhere_is_no_bug(place: Path, script: str, code: int) -> None:
    ran = shell(script)
    # Whether a short text is written before its reader leaves is a matter of time.
    assert ran.returncode in ((OK, 128 + signal.SIGPIPE) if "|" in script else (code,)), ran.stderr
    assert "Traceback" not in ran.stderr and "bug" not in ran.stderr and "Exception ignored" not in ran.stderr


# -- a small exchange --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallExchange]:
    """XA and XV, who have an agreement."""
    with small_exchange(tmp_path_factory.mktemp("x")) as made:
        yield made


@pytest.fixture
def asks(exchange: SmallExchange, place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run a command of XA's operator, in this process; a good report and its label are here."""
    Path("good.json").write_bytes(json.dumps(a_bundle()).encode())
    Path("good.label.yaml").write_text(LABEL)

    def ask(*words: str) -> tuple[int, str]:
        return says(capsys, *words, "--home", str(exchange.xa))

    return ask


def spoilt(**changes: object) -> bytes:
    """Return the good bundle with other fields in its root."""
    bundle = a_bundle()
    bundle["objects"][0] |= changes
    return json.dumps(bundle).encode()


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def many() -> bytes:
    bundle = a_bundle()
    extra = 10_001 - len(bundle["objects"])
    bundle["objects"] += [{"type": "x-a", "id": f"x-a--{n:08}-0000-4000-8000-000000000000"} for n in range(extra)]
    return json.dumps(bundle).encode()


@pytest.mark.processes
@pytest.mark.parametrize(
    "content, said",
    [
        (b"not json", "line 1, column 1: not JSON"),
        (b"", "line 1, column 1: not JSON"),
        (b'{"type": "bundle", "type": "bundle"}', "type: the key 'type' stands twice"),
        (
            json.dumps(a_bundle()).replace('"name"', '"name": "a", "name"', 1).encode(),
            "--22222222-2222-4222-8222-222222222222.name: the key",
        ),
        (b"[]", "not a STIX bundle"),
        (spoilt(x=nested(70)), "nested deeper than 64"),
        (b"[" * 100_000, "not JSON"),
        (many(), "10,001 objects"),
        (spoilt(x="y" * (1 << 20)), "over 1,048,576 bytes"),
        (spoilt(modified="yesterday"), "objects[0].modified"),
        (spoilt(object_marking_refs=["marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"]), "TLP:RED"),
    ],
    ids=lambda value: None if isinstance(value, str) else "",
)
def test_a_report_that_is_no_good_is_refused_with_its_place_and_nothing_is_stored(
    exchange: SmallExchange, asks: Callable[..., tuple[int, str]], content: bytes, said: str
) -> None:
    before = concord("report", "list", "--home", exchange.xa, "--json").out
    Path("bad.json").write_bytes(content)
    Path("bad.label.yaml").write_text(LABEL)
    code, words = asks("report", "push", "bad.json", "--yes")
    assert (code, said in words, "hint: " in words) == (USAGE, True, True), words
    assert concord("report", "list", "--home", exchange.xa, "--json").out == before


@pytest.mark.processes
@pytest.mark.parametrize(
    "line, said",
    [
        ("release: {to: [XZ]}", "XZ is not a partner"),
        ("categories: [alrt]", "line 2: categories[0]: 'alrt' is not known"),
        ("tlp: yellow", "line 1: tlp: 'yellow' is not known"),
        ("tlp: green", "content is marked TLP:AMBER"),
        ("colour: blue", "line 8: unknown field 'colour'"),
        ("purposes: &p [protect_life]", "line 3: anchors are not allowed"),
    ],
)
def test_a_label_that_is_no_good_is_refused_with_its_line(
    asks: Callable[..., tuple[int, str]], line: str, said: str
) -> None:
    name = line.partition(":")[0]
    lines = [line if old.startswith(f"{name}:") else old for old in LABEL.splitlines()]
    Path("l.yaml").write_text("\n".join(lines if line in lines else [*lines, line]) + "\n")
    code, words = asks("report", "check", "good.json", "--label", "l.yaml")
    assert (code, said in words) == (USAGE, True), words


@pytest.mark.processes
def test_without_a_label_or_an_answer_nothing_is_sent(asks: Callable[..., tuple[int, str]]) -> None:
    code, words = asks("report", "push", "good.json")
    assert (code, "add --yes" in words) == (USAGE, True), words
    Path("good.label.yaml").unlink()
    code, words = asks("report", "push", "good.json", "--yes")
    assert (code, "the report has no label" in words) == (USAGE, True), words


@pytest.mark.processes
def test_yes_does_not_answer_for_what_is_unusual(asks: Callable[..., tuple[int, str]]) -> None:
    code, words = asks("report", "push", "good.json", "--yes")
    assert (code, "--accept FIRST_TIME_TO_PARTNER:XV" in words) == (DENIED, True), words
    code, words = asks("report", "push", "good.json", "--yes", "--accept", "FIRST_TIME_TO_PARTNER:XO")
    assert (code, "confirmed for other partners" in words) == (DENIED, True), words
    code, words = asks("report", "push", "good.json", "--yes", "--accept", "WHATEVER")
    assert (code, "'WHATEVER' is nothing to confirm" in words) == (USAGE, True), words


@pytest.mark.processes
def test_an_answer_of_no_sends_nothing(exchange: SmallExchange, asks: Callable[..., tuple[int, str]]) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    command = [sys.executable, "-m", "nodes", "report", "push", "good.json", "--home", str(exchange.xa)]
    ran = subprocess.run(command, stdin=theirs, capture_output=True, text=True, timeout=60)
    os.close(ours)
    os.close(theirs)
    assert (ran.returncode, "error: nothing was sent" in ran.stderr) == (DENIED, True), ran.stderr


@pytest.mark.processes
def test_names_of_reports_and_agreements(asks: Callable[..., tuple[int, str]]) -> None:
    for name, code in (("zz", USAGE), ("f" * 12, NOT_FOUND), ("f" * 65, USAGE), ("", USAGE)):
        assert asks("report", "show", name)[0] == code
        assert asks("report", "trace", name)[0] == code
        assert asks("report", "correct", name, "good.json", "--yes")[0] == code
        assert asks("report", "retract", name, "--text", "x", "--yes")[0] == code
    assert asks("agreement", "show", "")[0] == NOT_FOUND
    assert asks("agreement", "show", "Liaison protocol")[0] == OK


@pytest.mark.processes
def test_only_its_originator_corrects_or_withdraws_a_report(
    exchange: SmallExchange, asks: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(a_bundle()).encode())))
    assert asks("report", "push", "-", "--label", "good.label.yaml", "--yes", *ACCEPT)[0] == OK
    (sent,) = json.loads(concord("report", "list", "--home", exchange.xa, "--json").out)
    again, words = asks("report", "push", "good.json", "--yes")
    assert (again, "pushed before" in words) == (OK, True), words
    exchange.processes.wait_until(
        lambda: concord("report", "show", sent["item"], "--home", exchange.xv).code == OK, "the delivery"
    )
    theirs = ("--home", exchange.xv, "--yes")
    corrected = concord("report", "correct", sent["item"], "good.json", *theirs)
    assert (corrected.code, "XA originated this report" in corrected.err) == (DENIED, True), corrected.err
    assert concord("report", "retract", sent["item"], "--text", "x", *theirs).code == DENIED
    assert asks("report", "correct", sent["item"], "good.json", "--yes")[0] == USAGE, "modified is not later"
    code, words = asks("report", "retract", sent["item"], "--text", "x", "--reason", "boredom", "--yes")
    assert (code, "source-withdrawn" in words) == (USAGE, True), words
    assert asks("report", "retract", sent["item"], "--text", "x", "--yes")[0] == OK
    assert asks("report", "retract", sent["item"], "--text", "x", "--yes")[0] == OK, "a repeat is safe"


@pytest.mark.processes
def test_a_home_in_use_a_port_in_use_and_a_node_that_is_gone(exchange: SmallExchange) -> None:
    unlock = exchange.home.passphrase
    for noun, home in (("node", exchange.xv), ("relay", exchange.home.relay)):
        ran = concord(noun, "serve", "--home", home, *unlock)
        assert (ran.code, "is in use by process" in ran.err) == (CONFIGURATION, True), ran.err
    exchange.processes.kill_one("XV")
    assert concord("node", "status", "--home", exchange.xv).code == UNAVAILABLE
    settings = exchange.xv / "node.toml"
    text = settings.read_text()
    busy = next(line for line in (exchange.home.relay / "relay.toml").read_text().splitlines() if "address" in line)
    sensors = f"sensor_address = {busy.partition('= ')[2]}"
    lines = [sensors if line.startswith("sensor_address") else line for line in text.splitlines()]
    settings.write_text("\n".join(lines) + "\n")
    ran = concord("node", "serve", "--home", exchange.xv, *unlock)
    assert (ran.code, "the port is in use" in ran.err) == (CONFIGURATION, True), ran.err
    settings.write_text(f'relay_adress = "x"\n{text}')
    ran = concord("node", "serve", "--home", exchange.xv, *unlock)
    assert (ran.code, "did you mean relay_address?" in ran.err) == (CONFIGURATION, True), ran.err
    settings.write_text(text)
    start_node(exchange.home, "XV", exchange.processes)
    exchange.processes.wait_until(lambda: concord("node", "status", "--home", exchange.xv).code == OK, "XV")
