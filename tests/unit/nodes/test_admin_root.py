"""`concord root`: founding, inviting and admitting by command, with the files that people carry."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from exchange.crypto.codec import encode_signed
from exchange.crypto.keys import fingerprint
from exchange.directory.ceremony import draft_genesis
from exchange.directory.fold import Directory
from exchange.directory.statements import CouncilMember
from exchange.runtime.relay_info import RelayInfo, read_root_file, write_relay_info
from nodes import ceremony
from nodes.admin.exit_codes import CONFIGURATION, DENIED, NOT_FOUND, OK, USAGE, VERIFICATION
from nodes.admin.main import run
from tests.support.directory_builders import EXCHANGE, LIMITS, NOON, a_join_request, composite, party_keys, relay_keys


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with the passphrase in `pass`."""
    monkeypatch.chdir(tmp_path)
    Path("pass").write_text("six random words\n")
    Path("pass").chmod(0o600)
    return tmp_path


def concord(*words: str) -> int:
    return run(["root", *words])


def a_founded_exchange(place: Path) -> Directory:
    """XA's root in `xa`, a genesis that it signed, relay.info."""
    assert concord("init", "--party", "XA", "--home", "xa", "--memory-mib", "64", "--passphrase-file", "pass") == OK
    root = read_root_file(Path("xa/root.pub").read_text())
    payload = draft_genesis(
        exchange=EXCHANGE,
        council=[CouncilMember(root.party, root.root)],
        threshold=1,
        relay=relay_keys(),
        limits=LIMITS,
        now_ms=NOON,
    )
    Path("genesis.unsigned").write_text(ceremony.write_genesis_request(payload))
    sign = ("sign", "genesis.unsigned", "--home", "xa", "--out", "genesis.signed", "--yes", "--passphrase-file", "pass")
    assert concord(*sign) == OK
    signed = ceremony.read_genesis(Path("genesis.signed").read_text())
    entry, digest = encode_signed(signed), sha256(payload).digest()
    info = RelayInfo(EXCHANGE, "relay.example:7001", "relay.example:7002", "PEM", digest, entry)
    Path("relay.info").write_text(write_relay_info(info))
    return info.directory()


def invite(*more: str) -> int:
    words = ["--home", "xa", "--relay", "relay.info", "--country", "XV", "--name", "Velkar Citizens Abroad Office"]
    return concord(
        "invite", "XV", *words, "--ceiling", "red", "--out", "xv.invitation", "--passphrase-file", "pass", *more
    )


def test_a_council_founds_invites_and_admits(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = a_founded_exchange(place)
    root = read_root_file(Path("xa/root.pub").read_text())
    assert capsys.readouterr().out.splitlines()[0] == root.fingerprint
    assert invite() == OK
    assert directory.genesis_hash.hex() in capsys.readouterr().err
    assert Path("xv.invitation").stat().st_mode & 0o077 == 0
    invitation = ceremony.read_invitation(Path("xv.invitation").read_text())
    keys = replace(party_keys("XV"), one_time=invitation.one_time_key)
    Path("xv.join").write_text(ceremony.write_join_request(a_join_request(keys, invitation.invitation)))
    theirs = fingerprint("XV", composite("XV/root").public.raw)
    admit = ("admit", "xv.join", "--home", "xa", "--out", "xv.admission", "--passphrase-file", "pass")
    assert concord(*admit, "--fingerprint", root.fingerprint) == VERIFICATION
    assert not Path("xv.admission").exists()
    assert concord(*admit, "--fingerprint", theirs) == OK
    for entry in (*_entries(Path("xv.join").read_text()), _admission()):
        directory.apply(entry, directory.size)
    (party,) = directory.parties()
    assert (party.status, party.display_name, directory.ignored) == ("admitted", "Velkar Citizens Abroad Office", ())


def _entries(text: str) -> list[bytes]:
    request = ceremony.read_join_request(text)
    parts = (request.invitation, request.party_root, request.node_cert, request.transport_key)
    return [encode_signed(part) for part in parts]


def _admission() -> bytes:
    return encode_signed(ceremony.read_admission(Path("xv.admission").read_text()))


def test_the_first_and_last_group_are_typed_as_the_other_side_reads_them(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_founded_exchange(place)
    assert invite() == OK
    invitation = ceremony.read_invitation(Path("xv.invitation").read_text())
    keys = replace(party_keys("XV"), one_time=invitation.one_time_key)
    Path("xv.join").write_text(ceremony.write_join_request(a_join_request(keys, invitation.invitation)))
    groups = fingerprint("XV", composite("XV/root").public.raw).split()
    admit = ("admit", "xv.join", "--home", "xa", "--out", "xv.admission", "--passphrase-file", "pass")
    assert concord(*admit) == USAGE, "nobody is there to ask"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    for typed, code in (([groups[0], groups[1]], VERIFICATION), ([groups[0].lower(), groups[-1]], OK)):
        answers = iter(typed)
        monkeypatch.setattr("typer.prompt", lambda *_, answers=answers, **__: next(answers))
        capsys.readouterr()
        assert concord(*admit) == code
        shown = capsys.readouterr().err
        assert groups[-1] not in shown and " ".join(groups[1:-1]) in shown


def test_what_exists_is_never_overwritten(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_founded_exchange(place)
    keystore = Path("xa/root.keys").read_bytes()
    assert concord("init", "--party", "XA", "--home", "xa", "--passphrase-file", "pass") == DENIED
    assert Path("xa/root.keys").read_bytes() == keystore
    Path("xv.invitation").write_text("precious")
    assert invite() == DENIED
    assert Path("xv.invitation").read_text() == "precious"
    assert "hint:" in capsys.readouterr().err


def test_a_signature_is_asked_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_founded_exchange(place)
    sign = ("sign", "genesis.unsigned", "--home", "xa", "--out", "again", "--passphrase-file", "pass")
    assert concord(*sign) == USAGE, "nobody is there to ask"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    assert concord(*sign) == DENIED
    assert not Path("again").exists()


def test_mistakes_are_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_founded_exchange(place)
    assert invite("--ceiling", "purple") == USAGE
    assert "amber+strict" in capsys.readouterr().err
    assert concord("invite", "xv", *("--relay", "relay.info", "--country", "XV")) == USAGE
    assert concord("init", "--party", "xa", "--home", "other", "--passphrase-file", "pass") == USAGE
    assert not Path("other").exists()
    assert concord("sign", "missing", "--home", "xa") == CONFIGURATION
    assert concord("admit", "relay.info", "--home", "xa") == USAGE
    assert concord("admit", "relay.info", "--home", "xa", "--out", "x") == USAGE
    assert "wanted is JOIN REQUEST" in capsys.readouterr().err


def test_a_request_for_an_unknown_exchange_says_what_to_give(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_founded_exchange(place)
    assert invite() == OK
    invitation = ceremony.read_invitation(Path("xv.invitation").read_text())
    keys = replace(party_keys("XV"), one_time=invitation.one_time_key)
    Path("xv.join").write_text(ceremony.write_join_request(a_join_request(keys, invitation.invitation)))
    assert concord("admit", "xv.join", "--home", "elsewhere", "--out", "x") == CONFIGURATION
    assert not Path("elsewhere").exists()
    assert concord("init", "--party", "XO", "--home", "xo", "--memory-mib", "64", "--passphrase-file", "pass") == OK
    assert concord("admit", "xv.join", "--home", "xo", "--out", "x") == NOT_FOUND
    assert "--relay relay.info" in capsys.readouterr().err
