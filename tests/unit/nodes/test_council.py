"""A council that speaks with three of five voices: inviting and admitting by command, file by file."""

import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from exchange.crypto import x509
from exchange.crypto.codec import encode_signed
from exchange.crypto.keys import fingerprint
from exchange.crypto.signed import Signed
from exchange.crypto.signing import CompositeKey
from exchange.directory.ceremony import make_admission
from exchange.directory.codec import decode_as
from exchange.directory.fold import Directory
from exchange.directory.statements import Admission
from exchange.errors import BadSignature, BadStatement, MalformedInput
from exchange.names import party_id
from exchange.runtime.relay_info import RelayInfo, write_relay_info
from nodes import ceremony, root, root_home
from nodes.admin.exit_codes import DENIED, OK, USAGE, VERIFICATION
from nodes.admin.main import run
from nodes.root_home import Root
from nodes.statement_file import read_statement, write_statement
from tests.support.directory_builders import (
    EXCHANGE,
    NOON,
    a_council,
    a_join_request,
    composite,
    party_keys,
    transport_ca,
)

COUNCIL = ("XA", "XH", "XM", "XN", "XO")
XV = party_id("XV")
THEIRS = fingerprint("XV", composite("XV/root").public.raw)
ROOT_WORDS = ("--passphrase-file", "pass")


def a_relay() -> RelayInfo:
    genesis = a_council(COUNCIL, threshold=3).genesis()
    return RelayInfo(
        exchange=EXCHANGE,
        address="relay.example:7001",
        join_address="relay.example:7002",
        join_ca_pem=x509.pem_of(transport_ca("relay")[0]).decode(),
        genesis_hash=sha256(genesis.payload).digest(),
        genesis=encode_signed(genesis),
    )


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Homes of the council's roots and of XT's, whose keys are the builders'."""
    place = tmp_path_factory.mktemp("roots")
    for party in (*COUNCIL, "XT"):
        key = composite(f"{party}/root")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(CompositeKey, "generate", lambda key=key: key)
            root_home.init_root(place / party, party_id(party), b"six random words", memory_mib=64)
    return place


@pytest.fixture
def place(homes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: the homes, relay.info, and a passphrase in `pass`."""
    place = shutil.copytree(homes, tmp_path / "place")
    monkeypatch.chdir(place)
    Path("pass").write_text("six random words\n")
    Path("pass").chmod(0o600)
    Path("relay.info").write_text(write_relay_info(a_relay()))
    monkeypatch.setattr("nodes.admin.root.now_ms", lambda: NOON)
    return place


def concord(*words: str) -> int:
    return run(["root", *words, *(ROOT_WORDS if words[0] != "complete" else ())])


def invite(home: str = "XA", out: str = "xv.invitation") -> int:
    words = ("--relay", "relay.info", "--country", "XV", "--name", "Velkar Citizens Abroad Office")
    return concord("invite", "XV", "--home", home, *words, "--ceiling", "red", "--out", out)


def an_invitation_of_three() -> ceremony.InvitationFile:
    """Invite as XA, let XH and XM sign, complete it as XA."""
    assert invite() == OK
    assert concord("sign", "xv.invitation.statement", "--home", "XH", "--out", "two", "--yes") == OK
    assert concord("sign", "two", "--home", "XM", "--out", "three", "--yes") == OK
    assert concord("complete", "xv.invitation", "three", "--out", "xv.complete") == OK
    return ceremony.read_invitation(Path("xv.complete").read_text())


def a_request(invitation: ceremony.InvitationFile, name: str = "XV.join") -> None:
    keys = replace(party_keys("XV"), one_time=invitation.one_time_key)
    Path(name).write_text(ceremony.write_join_request(a_join_request(keys, invitation.invitation)))


def admit(home: str, *words: str) -> int:
    return concord("admit", "XV.join", "--home", home, "--fingerprint", THEIRS, *words)


def admission(name: str) -> Signed:
    return ceremony.read_admission(Path(name).read_text())


def test_three_of_five_invite_and_admit_and_two_do_not(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    invitation = an_invitation_of_three()
    assert "2 more council parties must sign" in capsys.readouterr().err
    assert Path("xv.complete").stat().st_mode & 0o077 == 0
    a_request(invitation)
    request = ceremony.read_join_request(Path("XV.join").read_text())
    directory = a_relay().directory()
    for part in (request.invitation, request.party_root, request.node_cert, request.transport_key):
        directory.check(encode_signed(part), NOON)
        directory.apply(encode_signed(part), directory.size)
    assert admit("XA", "--relay", "relay.info", "--out", "one.admission") == OK
    assert admit("XN", "--relay", "relay.info", "--with", "one.admission", "--out", "two.admission") == OK
    assert "1 more council parties must sign" in capsys.readouterr().err
    assert not is_taken(directory, admission("two.admission"))
    assert admit("XO", "--relay", "relay.info", "--with", "two.admission", "--out", "three.admission") != OK, (
        "it is complete, so it is handed over, and no relay is there"
    )
    assert is_taken(directory, admission("three.admission"))
    assert directory.ignored == ()


def is_taken(directory: Directory, signed: Signed) -> bool:
    try:
        directory.check(encode_signed(signed), NOON)
    except BadStatement:
        return False
    return True


def test_the_secret_of_an_invitation_stays_where_it_was_made(place: Path) -> None:
    assert invite() == OK
    seed = ceremony.read_invitation(Path("xv.invitation").read_text()).one_time_seed
    assert seed not in encode_signed(read_statement(Path("xv.invitation.statement").read_text()))


def test_a_root_is_shown_whom_it_invites(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invite() == OK
    capsys.readouterr()
    assert concord("sign", "xv.invitation.statement", "--home", "XH", "--out", "two", "--yes") == OK
    shown = capsys.readouterr().err
    for words in ("invitation of XV", "Velkar Citizens Abroad Office", "TLP:RED", "1 so far"):
        assert words in shown


def test_an_invitation_that_is_not_complete_is_refused_before_a_home_is_made(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invite() == OK
    init = ["node", "init", "--home", "xv", "--invitation", "xv.invitation", *ROOT_WORDS]
    assert run(init) == VERIFICATION
    assert "1 of the 3 signatures" in capsys.readouterr().err
    assert not Path("xv/node.keys").exists()
    assert concord("sign", "xv.invitation.statement", "--home", "XH", "--out", "two", "--yes") == OK
    assert concord("complete", "xv.invitation", "two", "--out", "xv.complete") == VERIFICATION
    assert "1 more council parties must sign" in capsys.readouterr().err
    assert not Path("xv.complete").exists()


def test_one_party_has_one_voice(place: Path) -> None:
    assert invite() == OK
    assert concord("sign", "xv.invitation.statement", "--home", "XA", "--out", "two", "--yes") == USAGE
    assert not Path("two").exists()
    a_request(an_invitation_of_three_beside())
    assert admit("XA", "--relay", "relay.info", "--out", "one.admission") == OK
    assert admit("XA", "--relay", "relay.info", "--with", "one.admission", "--out", "again.admission") == OK
    assert admission("again.admission") == admission("one.admission")


def an_invitation_of_three_beside() -> ceremony.InvitationFile:
    for name in ("xv.invitation", "xv.invitation.statement"):
        Path(name).unlink()
    return an_invitation_of_three()


def test_signatures_of_others_and_of_other_invitations_complete_nothing(place: Path) -> None:
    assert invite() == OK
    file = ceremony.read_invitation(Path("xv.invitation").read_text())
    assert invite("XH", "other.invitation") == OK
    other = ceremony.read_invitation(Path("other.invitation").read_text()).invitation
    with pytest.raises(BadStatement, match="another invitation"):
        root.complete(file, other, NOON)
    task = root.read_task(write_statement(file.invitation))
    stranger = read_statement(task.sign(Root(XV, composite("XV/root")), NOON))
    with pytest.raises(BadSignature):
        root.complete(file, stranger, NOON)
    forged = replace(file.invitation, signatures=file.invitation.signatures + other.signatures)
    with pytest.raises((BadSignature, MalformedInput)):
        root.complete(file, forged, NOON)


def test_a_root_adds_its_voice_only_to_the_admission_of_the_root_that_it_compared(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_request(an_invitation_of_three())
    assert admit("XA", "--relay", "relay.info", "--out", "one.admission") == OK
    said = decode_as(Admission, admission("one.admission").payload)
    assert said.root_key_id == composite("XV/root").public.key_id

    lie = make_admission(
        exchange=EXCHANGE,
        party=XV,
        root_key_id=composite("XT/root").public.key_id,
        now_ms=NOON,
        council_key=composite("XA/root"),
    )
    Path("lie.admission").write_text(ceremony.write_admission(lie))
    capsys.readouterr()
    assert admit("XH", "--relay", "relay.info", "--with", "lie.admission", "--out", "two.admission") == VERIFICATION
    assert "another root" in capsys.readouterr().err
    assert not Path("two.admission").exists()


def test_a_voice_is_not_lost_where_it_is_not_the_last(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_request(an_invitation_of_three())
    assert admit("XA", "--relay", "relay.info") == DENIED
    assert "--out FILE" in capsys.readouterr().err
    assert admit("XA", "--relay", "relay.info", "--out", "one.admission") == OK
    assert len(admission("one.admission").signatures) == 1


def test_only_the_council_admits(place: Path) -> None:
    a_request(an_invitation_of_three())
    assert admit("XT", "--relay", "relay.info", "--out", "one.admission") == DENIED
    assert not Path("one.admission").exists()
