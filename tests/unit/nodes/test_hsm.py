"""Keys in a device: real PKCS#11 against SoftHSM where it is installed."""

import importlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from exchange.crypto.codec import encode_signed
from exchange.crypto.signing import CompositeKey, Ed25519Key, sign_bytes, verify_bytes
from exchange.errors import BadSignature, ConfigurationError
from exchange.runtime.armour import read_armour
from exchange.runtime.relay_info import RelayInfo
from exchange.runtime.secrets import open_keystore_file
from nodes.admin.exit_codes import OK, USAGE
from nodes.admin.main import run
from nodes.ceremony import InvitationFile, node_request_from, write_invitation
from nodes.hsm import Device, Place
from nodes.keystore import FILE, create_keys, load_keys, save_keys
from tests.support.directory_builders import EXCHANGE, NOON, a_council, an_invitation, composite, ed25519
from tests.support.soft_device import PIN, TOKEN, a_token, soft_module

MODULE = soft_module()
CONTEXT = b"test.concord.example"

needs_device = pytest.mark.skipif(MODULE is None, reason="SoftHSM is not installed (Debian: apt install softhsm2)")


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    assert MODULE is not None
    with a_token(tmp_path_factory.mktemp("device")):
        yield Device(MODULE, TOKEN, PIN)


@needs_device
def test_a_key_is_made_in_the_device_and_signs_there(device: Device) -> None:
    made, other = device.make_key("statement"), device.make_key("envelope")
    assert made != other
    key = CompositeKey.in_device(os.urandom(32), made, device.signer(made))
    alone = Ed25519Key.in_device(other, device.signer(other))
    for each in (key, alone):
        verify_bytes(each.public, sign_bytes(each, b"message", CONTEXT), b"message", CONTEXT)


@needs_device
def test_many_threads_sign_at_once(device: Device) -> None:
    made = device.make_key("statement")
    key = Ed25519Key.in_device(made, device.signer(made))
    messages = [str(number).encode() for number in range(200)]
    with ThreadPoolExecutor(8) as threads:
        signatures = list(threads.map(lambda message: sign_bytes(key, message, CONTEXT), messages))
    for message, signature in zip(messages, signatures, strict=True):
        verify_bytes(key.public, signature, message, CONTEXT)


@needs_device
def test_a_second_session_signs_beside_the_first(device: Device) -> None:
    assert MODULE is not None
    made = device.make_key("statement")
    beside = Device(MODULE, TOKEN, PIN)
    for sign in (device.signer(made), beside.signer(made)):
        assert len(sign(b"message")) == 64


@needs_device
def test_the_key_never_leaves_the_device(device: Device) -> None:
    made = device.make_key("statement")
    pkcs11 = importlib.import_module("pkcs11")
    with pytest.raises(pkcs11.exceptions.AttributeSensitive):
        device._private(made)[pkcs11.Attribute.VALUE]


@needs_device
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the package ends its lost search
def test_a_device_that_was_away_signs_again(device: Device) -> None:
    made = device.make_key("statement")
    sign = device.signer(made)
    device._session.close()
    assert len(sign(b"message")) == 64


@needs_device
def test_mistakes_are_named(device: Device) -> None:
    assert MODULE is not None
    with pytest.raises(ConfigurationError, match="no device has the label 'other'"):
        Device(MODULE, "other", PIN)
    with pytest.raises(ConfigurationError, match="does not hold the key"):
        device.signer(Ed25519Key.generate().public)


@needs_device
def test_another_pin_is_refused(device: Device) -> None:
    assert MODULE is not None
    device._session.close()
    with pytest.raises(ConfigurationError, match="does not take the PIN"):
        Device(MODULE, TOKEN, "000000")


@needs_device
def test_a_node_whose_keys_lie_in_a_device_needs_it_to_sign(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MODULE is not None
    monkeypatch.setattr("nodes.hsm.Place.open", lambda _: device)  # one process logs in to a token once
    place = Place(str(MODULE), TOKEN, PIN)
    made = create_keys(now_ms=NOON, place=place)
    save_keys(tmp_path, made, b"open sesame", memory_kib=64 * 1024)
    found = load_keys(tmp_path, b"open sesame")
    assert (found.statement.public, found.envelope.public) == (made.statement.public, made.envelope.public)
    assert found.device == place and PIN not in repr(found)
    for key in (found.statement, found.envelope):
        verify_bytes(key.public, sign_bytes(key, b"message", CONTEXT), b"message", CONTEXT)


@needs_device
def test_a_thief_of_keystore_and_passphrase_signs_nothing_without_the_device(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as at_home:
        at_home.setattr("nodes.hsm.Place.open", lambda _: device)
        keys = create_keys(now_ms=NOON, place=Place(str(MODULE), TOKEN, PIN))
        save_keys(tmp_path, keys, b"open sesame", memory_kib=64 * 1024)
    entries = open_keystore_file(tmp_path / FILE, b"open sesame")
    public = keys.statement.public.raw[-32:]
    assert entries["statement"] == b"\x01" + keys.statement.seed + public and len(keys.statement.seed) == 32
    assert entries["envelope"] == b"\x01" + keys.envelope.public.raw
    half = CompositeKey.in_device(keys.statement.seed, keys.envelope.public, Ed25519Key.generate().sign)
    with pytest.raises(BadSignature):
        sign_bytes(half, b"message", CONTEXT)
    monkeypatch.setattr("nodes.hsm.Place.open", lambda place: Device(Path(place.module), "elsewhere", place.pin))
    with pytest.raises(ConfigurationError, match="no device has the label"):
        load_keys(tmp_path, b"open sesame")


@needs_device
def test_node_init_makes_its_keys_in_the_device(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nodes.hsm.Place.open", lambda _: device)
    monkeypatch.chdir(tmp_path)
    for name, text in (
        ("pass", "open sesame"),
        ("pin", PIN),
        ("xv.invitation", write_invitation(an_invitation_file())),
    ):
        Path(name).write_text(text)
        Path(name).chmod(0o600)
    words = ["--home", "xv", "--invitation", "xv.invitation", "--memory-mib", "64", "--passphrase-file", "pass"]
    where = ["--device-module", str(MODULE), "--device-token", TOKEN, "--device-pin-file", "pin"]
    assert run(["node", "init", *words, *where[:2]]) == USAGE
    assert run(["node", "init", *words, *where]) == OK
    keys = load_keys(Path("xv"), b"open sesame")
    request = node_request_from(read_armour(Path("xv/node.request").read_text(), {"NODE REQUEST"})[1])
    assert (request.statement_key, request.envelope_key) == (keys.statement.public, keys.envelope.public)
    assert PIN not in Path("xv/node.toml").read_text() + capsys.readouterr().err


def an_invitation_file() -> InvitationFile:
    genesis = a_council().genesis()
    relay = RelayInfo(
        exchange=EXCHANGE,
        address="relay.example:7001",
        join_address="relay.example:7002",
        join_ca_pem="PEM",
        genesis_hash=sha256(genesis.payload).digest(),
        genesis=encode_signed(genesis),
    )
    return InvitationFile(an_invitation("XV", composite("XA/root")), ed25519("XV/one-time").seed, relay)


def test_what_is_no_module_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no PKCS#11 module"):
        Device(tmp_path / "missing.so", TOKEN, PIN)
