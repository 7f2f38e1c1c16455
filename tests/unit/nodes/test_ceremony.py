"""The files of the ceremony, and what a root does with them."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from exchange.crypto import x509
from exchange.crypto.codec import encode_signed
from exchange.crypto.keys import fingerprint
from exchange.directory import ceremony as statements
from exchange.directory.codec import decode_as
from exchange.directory.fold import Directory
from exchange.directory.statements import Invitation, NodeCert
from exchange.errors import (
    BadSignature,
    BadStatement,
    ConfigurationError,
    Conflict,
    ExchangeError,
    MalformedInput,
    NotAllowed,
    NotFound,
    VerificationFailed,
    WrongPassphrase,
)
from exchange.names import party_id
from exchange.policy.model import Tlp
from exchange.runtime.armour import read_armour, write_armour
from exchange.runtime.relay_info import RelayInfo
from exchange.runtime.secrets import private_dir
from nodes import ceremony, root, root_home
from nodes.root_home import Root
from tests.support.directory_builders import (
    DAY_MS,
    EXCHANGE,
    NOON,
    Council,
    a_council,
    a_join_request,
    an_invitation,
    composite,
    ed25519,
    party_keys,
    transport_ca,
)

XA, XV = party_id("XA"), party_id("XV")
PASSPHRASE = b"six random words are better"


def a_relay(council: Council | None = None) -> RelayInfo:
    genesis = (council or a_council()).genesis()
    return RelayInfo(
        exchange=EXCHANGE,
        address="relay.example:7001",
        join_address="relay.example:7002",
        join_ca_pem=x509.pem_of(transport_ca("relay")[0]).decode(),
        genesis_hash=sha256(genesis.payload).digest(),
        genesis=encode_signed(genesis),
    )


def a_root(name: str = "XA") -> Root:
    return Root(party_id(name), composite(f"{name}/root"))


def an_invitation_file(home: Path, relay: RelayInfo | None = None) -> ceremony.InvitationFile:
    return root.invite(
        a_root(),
        home,
        relay or a_relay(),
        party=XV,
        country="XV",
        display_name="Velkar Citizens Abroad Office",
        ceiling=Tlp.RED,
        days=14,
        now_ms=NOON,
    )


def a_node_request(invitation: ceremony.InvitationFile) -> ceremony.NodeRequest:
    keys = party_keys("XV")
    return ceremony.NodeRequest(EXCHANGE, XV, invitation.sha256, keys.statement.public, keys.envelope.public, 365)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return private_dir(tmp_path / "xa-root")


# The home


def test_a_root_opens_with_its_passphrase_only(tmp_path: Path) -> None:
    home = tmp_path / "root"
    public = root_home.init_root(home, XA, PASSPHRASE, memory_mib=64)
    opened = root_home.open_root(home, PASSPHRASE)
    assert (opened.party, opened.key.public) == (XA, public.root)
    assert root_home.public_root(home) == public
    assert public.fingerprint == fingerprint("XA", public.root.raw)
    assert "seed" not in repr(opened) and opened.key.seed.hex() not in repr(opened)
    with pytest.raises(WrongPassphrase):
        root_home.open_root(home, b"another")
    with pytest.raises(Conflict):
        root_home.init_root(home, XA, PASSPHRASE, memory_mib=64)
    assert root_home.open_root(home, PASSPHRASE).key.public == public.root
    assert (home / "root.keys").stat().st_mode & 0o077 == 0
    (home / "root.keys").chmod(0o644)
    with pytest.raises(ConfigurationError):
        root_home.open_root(home, PASSPHRASE)


def test_nothing_that_was_handed_out_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "x.invitation"
    root_home.write_file(path, "first", secret=True)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict):
        root_home.write_file(path, "second", secret=True)
    assert path.read_text() == "first"


def test_files_of_other_kinds_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        root_home.read_text(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    with pytest.raises(MalformedInput):
        root_home.read_text(tmp_path / "binary")


# Files


def test_every_file_of_the_ceremony_survives_its_text(home: Path) -> None:
    invitation = an_invitation_file(home)
    assert ceremony.read_invitation(ceremony.write_invitation(invitation)) == invitation
    request = a_node_request(invitation)
    text = ceremony.write_node_request(request)
    assert ceremony.node_request_from(read_armour(text, {"NODE REQUEST"})[1]) == request
    credentials = root.certify(request, a_root("XV"), NOON)
    assert ceremony.read_node_credentials(ceremony.write_node_credentials(credentials)) == credentials
    join = a_join_request(party_keys("XV"), invitation.invitation)
    assert ceremony.read_join_request(ceremony.write_join_request(join)) == join
    genesis = a_council().genesis()
    assert ceremony.read_genesis(ceremony.write_genesis(genesis)) == genesis


def test_the_seed_of_an_invitation_is_in_its_file_and_nowhere_else(home: Path) -> None:
    invitation = an_invitation_file(home)
    assert repr(invitation.one_time_seed) not in repr(invitation)
    assert invitation.one_time_seed not in encode_signed(invitation.invitation)
    assert not any(invitation.one_time_seed.hex() in path.read_text() for path in home.rglob("*.info"))


def test_a_seed_of_another_invitation_is_refused(home: Path) -> None:
    invitation = replace(an_invitation_file(home), one_time_seed=bytes(32))
    with pytest.raises(MalformedInput):
        ceremony.read_invitation(ceremony.write_invitation(invitation))


@pytest.mark.parametrize(
    "old, new", [(b'"days": 365', b'"days": 0'), (b'"days": 365', b'"days": true'), (b"XV", b"xv")]
)
def test_an_edited_request_is_refused(home: Path, old: bytes, new: bytes) -> None:
    data = read_armour(ceremony.write_node_request(a_node_request(an_invitation_file(home))), {"NODE REQUEST"})[1]
    assert old in data
    with pytest.raises(ExchangeError):
        ceremony.node_request_from(data.replace(old, new))


# Signing


def test_council_roots_sign_a_genesis_one_after_the_other() -> None:
    council = a_council(("XA", "XV"), threshold=2)
    text = ceremony.write_genesis_request(council.genesis().payload)
    for name, signatures in (("XA", 0), ("XV", 1)):
        task = root.read_task(text)
        assert f"  signatures    {signatures} so far" in task.words()
        assert any(fingerprint("XV", composite("XV/root").public.raw) in line for line in task.words())
        text = task.sign(a_root(name), NOON)
    entry = encode_signed(ceremony.read_genesis(text))
    assert Directory.found(entry, expected_hash=None).genesis.threshold == 2


def test_a_root_signs_no_genesis_of_others_and_none_with_a_false_signature() -> None:
    genesis = a_council().genesis()
    with pytest.raises(NotAllowed):
        root.read_task(ceremony.write_genesis_request(genesis.payload)).sign(a_root("XV"), NOON)
    other = a_council().genesis()
    with pytest.raises(BadSignature):
        root.read_task(ceremony.write_genesis(replace(genesis, signatures=other.signatures)))
    with pytest.raises(MalformedInput):
        root.read_task(write_armour("JOIN REQUEST", b""))


def test_a_root_certifies_the_node_of_its_own_party_only(home: Path) -> None:
    request = a_node_request(an_invitation_file(home))
    task = root.read_task(ceremony.write_node_request(request))
    assert any(request.statement_key.key_id.hex() in line for line in task.words())
    with pytest.raises(NotAllowed):
        task.sign(a_root("XA"), NOON)
    credentials = ceremony.read_node_credentials(task.sign(a_root("XV"), NOON))
    assert decode_as(NodeCert, credentials.node_cert.payload).common.not_after_ms == NOON + 365 * DAY_MS


# Inviting


def test_an_invitation_is_one_that_the_directory_takes(home: Path) -> None:
    relay = a_relay()
    invitation = an_invitation_file(home, relay)
    directory = relay.directory()
    assert directory.check(encode_signed(invitation.invitation), NOON).kind == "invitation"
    content = decode_as(Invitation, invitation.invitation.payload)
    assert (content.party, content.ceiling, content.common.not_after_ms) == (XV, 5, NOON + 14 * DAY_MS)


def test_only_a_council_root_invites(home: Path) -> None:
    with pytest.raises(NotAllowed):
        root.invite(
            a_root("XV"),
            home,
            a_relay(),
            party=XV,
            country="XV",
            display_name="Velkar",
            ceiling=Tlp.RED,
            days=14,
            now_ms=NOON,
        )


def test_a_relay_info_whose_genesis_is_not_its_hash_is_refused(home: Path) -> None:
    with pytest.raises(BadStatement):
        an_invitation_file(home, replace(a_relay(), genesis_hash=bytes(32)))


def test_a_root_notices_a_second_genesis_of_an_exchange_that_it_knows(home: Path) -> None:
    an_invitation_file(home, a_relay())
    with pytest.raises(Conflict):
        an_invitation_file(home, a_relay())  # the same names and keys, founded anew


# Admitting


def a_request(home: Path, relay: RelayInfo | None = None) -> str:
    """The text of XV's join request, made with the files that go back and forth."""
    invitation = an_invitation_file(home, relay)
    credentials = root.certify(a_node_request(invitation), a_root("XV"), NOON)
    keys = party_keys("XV")
    behind_root = statements.place_after(credentials.party_root, statements.FIRST_PLACE)
    transport = statements.make_transport_key(
        exchange=EXCHANGE,
        party=XV,
        place=statements.place_after(credentials.node_cert, behind_root),
        ca_certificate=keys.ca,
        now_ms=NOON,
        statement_key=keys.statement,
    )
    request = statements.make_join_request(
        invitation=invitation.invitation,
        party_root=statements.prove_invitation(credentials.party_root, invitation.one_time_key),
        node_cert=credentials.node_cert,
        transport_key=transport,
    )
    return ceremony.write_join_request(request)


def test_the_whole_ceremony_ends_with_an_admitted_party(home: Path) -> None:
    relay = a_relay()
    text = a_request(home, relay)
    applicant = root.judge_request(text, home, None)
    root.compare_fingerprint(applicant, read_out=fingerprint("XV", composite("XV/root").public.raw))
    admission = ceremony.read_admission(ceremony.write_admission(root.admit(a_root(), home, applicant, NOON)))
    directory = relay.directory()
    for entry in (*applicant.claims.entries, encode_signed(admission)):
        directory.check(entry, NOON)
        directory.apply(entry, directory.size)
    assert directory.current_statement_key(XV) == party_keys("XV").statement.public


def test_admitting_again_gives_the_same_admission(home: Path) -> None:
    applicant = root.judge_request(a_request(home), home, None)
    first = root.admit(a_root(), home, applicant, NOON)
    assert root.admit(a_root(), home, applicant, NOON + DAY_MS) == first


def test_what_must_be_typed_of_a_fingerprint_is_not_shown(home: Path) -> None:
    applicant = root.judge_request(a_request(home), home, None)
    groups = applicant.claims.fingerprint.split()
    shown = "\n".join(applicant.words())
    assert " ".join(groups[1:-1]) in shown
    assert groups[0] not in shown.split() and groups[-1] not in shown.split()


def test_a_fingerprint_is_compared_as_people_read_it(home: Path) -> None:
    applicant = root.judge_request(a_request(home), home, None)
    groups = applicant.claims.fingerprint.split()
    ends = f"{groups[0]} {groups[-1]}"
    lookalikes = ends.replace("0", "o").replace("1", "l").lower()
    for right in (ends, lookalikes, applicant.claims.fingerprint, "-".join(groups)):
        root.compare_fingerprint(applicant, read_out=right)
    wrong_letter = ("Z" if ends[0] != "Z" else "Y") + ends[1:]
    for wrong in ("", groups[0], groups[-1], wrong_letter, f"{groups[-1]} {groups[0]}", " ".join(groups[1:-1])):
        with pytest.raises(VerificationFailed):
            root.compare_fingerprint(applicant, read_out=wrong)


def test_a_request_under_another_genesis_is_refused(home: Path) -> None:
    text = a_request(home)
    with pytest.raises(Conflict):
        root.judge_request(text, home, a_relay(a_council(("XA", "XV"))))
    with pytest.raises(NotFound):
        root.judge_request(text, home / "elsewhere", None)


def test_a_request_that_does_not_hold_is_never_shown(home: Path) -> None:
    invitation = an_invitation_file(home)
    forged = a_join_request(replace(party_keys("XV"), one_time=ed25519("guess")), invitation.invitation)
    with pytest.raises(BadStatement):
        root.judge_request(ceremony.write_join_request(forged), home, None)
    uninvited = a_join_request(party_keys("XV"), an_invitation("XV", composite("XV/root")))
    with pytest.raises(BadStatement):
        root.judge_request(ceremony.write_join_request(uninvited), home, None)


def test_only_the_council_admits(home: Path) -> None:
    applicant = root.judge_request(a_request(home), home, None)
    with pytest.raises(NotAllowed):
        root.admit(a_root("XV"), home, applicant, NOON)
