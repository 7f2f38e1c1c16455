"""The relay's directory and keys."""

from dataclasses import replace
from pathlib import Path

import pytest

from exchange.crypto.keystore import open_keystore, seal_keystore
from exchange.errors import ConfigurationError, WrongPassphrase
from exchange.relay.home import KEY_NAMES, KeySet, RelayHome, RelaySecrets, new_home
from exchange.runtime.secrets import write_private

NOW = 1_795_000_000_000
MEMORY_KIB = 64 * 1024


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RelaySecrets]:
    path = tmp_path_factory.mktemp("relay") / "relay.keys"
    secrets = RelaySecrets.new(NOW)
    secrets.save(path, b"open sesame", memory_kib=MEMORY_KIB)
    return path, secrets


def test_keys_come_back_from_the_keystore(keystore: tuple[Path, RelaySecrets]) -> None:
    path, secrets = keystore
    loaded = RelaySecrets.load(path, b"open sesame")
    assert [each.public for each in loaded.sets] == [secrets.sets[0].public]
    assert loaded.join == secrets.join
    assert path.stat().st_mode & 0o077 == 0


def test_keys_that_are_to_follow_lie_in_the_same_keystore(tmp_path: Path) -> None:
    path, first = tmp_path / "relay.keys", RelaySecrets.new(NOW)
    first.save(path, b"open sesame", memory_kib=MEMORY_KIB)
    both = replace(first, sets=(*first.sets, KeySet.new(NOW)))
    both.save(path, b"open sesame", memory_kib=MEMORY_KIB)
    loaded = RelaySecrets.load(path, b"open sesame")
    assert [each.public for each in loaded.sets] == [each.public for each in both.sets]
    assert loaded.join == first.join


def test_the_relay_holds_signing_and_tls_keys_and_none_that_opens_anything(
    keystore: tuple[Path, RelaySecrets],
) -> None:
    path, _ = keystore
    names = open_keystore(path.read_bytes(), b"open sesame").keys()
    signing, tls = {"promise", "log", "log-mldsa"}, {"transport-ca", "transport-ca-key", "join-ca", "join-ca-key"}
    assert names == signing | tls == KEY_NAMES


def test_another_passphrase_opens_nothing(keystore: tuple[Path, RelaySecrets]) -> None:
    with pytest.raises(WrongPassphrase):
        RelaySecrets.load(keystore[0], b"open barley")


def test_a_keystore_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "relay.keys"
    write_private(path, seal_keystore({"statement": b"x"}, b"p", memory_kib=MEMORY_KIB))
    with pytest.raises(ConfigurationError, match="not the keystore of a relay"):
        RelaySecrets.load(path, b"p")


def test_secrets_do_not_show_in_a_repr(keystore: tuple[Path, RelaySecrets]) -> None:
    _, secrets = keystore
    shown = repr(secrets)
    (keys,) = secrets.sets
    assert repr(keys.transport.key) not in shown
    assert keys.promise.seed.hex() not in shown


def test_a_home_holds_one_relay(tmp_path: Path) -> None:
    home = new_home(tmp_path / "relay")
    home.config.write_text("")
    assert new_home(tmp_path / "relay").config == home.config, "its keys come last: without them it is not finished"
    home.keys.write_text("")
    with pytest.raises(ConfigurationError) as caught:
        new_home(tmp_path / "relay")
    assert "--home" in caught.value.hint


def test_a_relay_without_a_genesis_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RelayHome(tmp_path).read_genesis()
    assert "concord root sign" in caught.value.hint
