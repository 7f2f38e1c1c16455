"""Keys in a device: real PKCS#11 against SoftHSM where it is installed."""

import importlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exchange.crypto.signing import CompositeKey, Ed25519Key, sign_bytes, verify_bytes
from exchange.errors import ConfigurationError
from nodes.hsm import Device
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
    key = CompositeKey.in_device(os.urandom(32), made.public, device.signer(made.key_id))
    alone = Ed25519Key.in_device(other.public, device.signer(other.key_id))
    for each in (key, alone):
        verify_bytes(each.public, sign_bytes(each, b"message", CONTEXT), b"message", CONTEXT)


@needs_device
def test_many_threads_sign_at_once(device: Device) -> None:
    made = device.make_key("statement")
    key = Ed25519Key.in_device(made.public, device.signer(made.key_id))
    messages = [str(number).encode() for number in range(200)]
    with ThreadPoolExecutor(8) as threads:
        signatures = list(threads.map(lambda message: sign_bytes(key, message, CONTEXT), messages))
    for message, signature in zip(messages, signatures, strict=True):
        verify_bytes(key.public, signature, message, CONTEXT)


@needs_device
def test_the_key_never_leaves_the_device(device: Device) -> None:
    made = device.make_key("statement")
    pkcs11 = importlib.import_module("pkcs11")
    with pytest.raises(pkcs11.exceptions.AttributeSensitive):
        device._private(made.key_id)[pkcs11.Attribute.VALUE]


@needs_device
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the package ends its lost search
def test_a_device_that_was_away_signs_again(device: Device) -> None:
    made = device.make_key("statement")
    sign = device.signer(made.key_id)
    device._session.close()
    assert len(sign(b"message")) == 64


@needs_device
def test_mistakes_are_named(device: Device) -> None:
    assert MODULE is not None
    with pytest.raises(ConfigurationError, match="no device has the label 'other'"):
        Device(MODULE, "other", PIN)
    with pytest.raises(ConfigurationError, match="has no key"):
        device.signer(bytes(16))


@needs_device
def test_another_pin_is_refused(device: Device) -> None:
    assert MODULE is not None
    device._session.close()
    with pytest.raises(ConfigurationError, match="does not take the PIN"):
        Device(MODULE, TOKEN, "000000")


def test_what_is_no_module_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no PKCS#11 module"):
        Device(tmp_path / "missing.so", TOKEN, PIN)
