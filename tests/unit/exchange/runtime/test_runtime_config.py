from pathlib import Path

import pytest

from exchange.errors import ConfigurationError
from exchange.runtime.config import Section, Settings, load_config

PREFIX = "CONCORD_TEST_"


class Listen(Section):
    port: int = 7443
    hosts: tuple[str, ...] = ()


class Example(Settings):
    name: str
    passphrase_file: Path | None = None
    listen: Listen = Listen()
    peers: tuple[Listen, ...] = ()


@pytest.fixture
def write(tmp_path: Path) -> Path:
    return tmp_path / "example.toml"


def load(path: Path, text: str, **overrides: object) -> Example:
    path.write_text(text)
    return load_config(Example, path, env_prefix=PREFIX, overrides=overrides)


def refused(path: Path, text: str, **overrides: object) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load(path, text, **overrides)
    return caught.value


def test_the_environment_changes_the_file_and_overrides_change_both(
    write: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'name = "file"\n[listen]\nport = 1\nhosts = ["a"]\n'
    assert load(write, text).listen == Listen(port=1, hosts=("a",))
    monkeypatch.setenv("CONCORD_TEST_LISTEN__PORT", "2")
    assert load(write, text).listen == Listen(port=2, hosts=("a",))
    monkeypatch.setenv("CONCORD_TEST_LISTEN__HOSTS", '["b", "c"]')
    assert load(write, text, listen={"port": 3}).listen == Listen(port=3, hosts=("b", "c"))


def test_an_override_of_none_changes_nothing(write: Path) -> None:
    assert load(write, 'name = "file"\n', name=None, listen={"port": None}).name == "file"


def test_a_model_built_in_a_test_ignores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", "from outside")
    assert Example(name="x").name == "x"


@pytest.mark.parametrize(
    "text, key, hint, line",
    [
        ('name = "x"\n[listen]\nprt = 1\n', "listen.prt", "did you mean port?", 3),
        ('nam = "x"\n', "nam", "did you mean name?", 1),
        ('name = "x"\n[[peers]]\nport = 1\n[[peers]]\nhost = []\n', "peers.host", "did you mean hosts?", 5),
        ('name = "x"\n\nzzz = 1\n', "zzz", "known here: listen, name, passphrase_file, peers", 3),
        ('name = "x"\nlisten.prt = 1\n', "listen.prt", "did you mean port?", 2),
    ],
)
def test_an_unknown_key_stops_the_start_and_names_the_nearest(
    write: Path, text: str, key: str, hint: str, line: int
) -> None:
    error = refused(write, text)
    assert (str(error), error.hint, error.place) == (f"unknown setting {key}", hint, f"{write} line {line}")


def test_an_unknown_environment_variable_stops_the_start(write: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORD_TEST_LISTEN__PROT", "1")
    error = refused(write, 'name = "x"\n')
    assert (error.place, error.hint) == ("environment variable CONCORD_TEST_LISTEN__PROT", "did you mean port?")


@pytest.mark.parametrize("key", ["passphrase", "admin_password", "api_token", "SECRET"])
def test_a_secret_is_refused_in_file_and_environment_and_not_repeated(
    write: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    error = refused(write, f'name = "x"\n{key} = "hunter2"\n')
    assert "secret" in str(error) and "private file" in error.hint
    assert "hunter2" not in f"{error} {error.hint} {error.place}"
    monkeypatch.setenv(PREFIX + key.upper(), "hunter2")
    error = refused(write, 'name = "x"\n')
    assert "secret" in str(error) and "hunter2" not in f"{error} {error.hint} {error.place}"


def test_the_path_of_a_passphrase_file_is_no_secret(write: Path) -> None:
    assert load(write, 'name = "x"\npassphrase_file = "/run/p"\n').passphrase_file == Path("/run/p")


def test_a_wrong_value_is_placed_and_not_repeated(write: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refused(write, 'name = "x"\n[listen]\nport = "hunter2"\n')
    assert error.place == f"{write} line 3"
    assert "listen.port" in str(error) and "integer" in str(error) and "hunter2" not in str(error)
    monkeypatch.setenv("CONCORD_TEST_LISTEN__PORT", "hunter2")
    error = refused(write, 'name = "x"\n')
    assert error.place == "environment variable CONCORD_TEST_LISTEN__PORT" and "hunter2" not in str(error)


def test_a_missing_setting_is_named_with_its_variable(write: Path) -> None:
    error = refused(write, "")
    assert str(error) == "name is missing" and "CONCORD_TEST_NAME" in error.hint


def test_an_unknown_override_is_refused(write: Path) -> None:
    assert "listen.prot" in str(refused(write, 'name = "x"\n', listen={"prot": 1}))


def test_a_file_that_is_not_there_or_not_toml_is_refused(write: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_config(Example, write, env_prefix=PREFIX)
    assert "not TOML" in str(refused(write, "name = "))
    write.write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigurationError, match="not TOML"):
        load_config(Example, write, env_prefix=PREFIX)


def test_the_configuration_cannot_be_changed_after_the_start(write: Path) -> None:
    loaded = load(write, 'name = "x"\n')
    with pytest.raises(ValueError, match="frozen"):
        loaded.name = "y"
