import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exchange.errors import ConfigurationError
from exchange.runtime.secrets import (
    PASSPHRASE_BYTES,
    check_private_file,
    private_dir,
    read_passphrase,
    read_private,
    write_private,
)


def private_file(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_private_file_is_written_whole_and_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.keys"
    write_private(path, b"one")
    write_private(path, b"two")
    assert read_private(path) == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["x.keys"]


def test_a_directory_that_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_private(tmp_path / "missing" / "x", b"")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_open_to_others_is_refused_with_the_repair(tmp_path: Path, mode: int) -> None:
    path = private_file(tmp_path / "x", b"secret", mode)
    with pytest.raises(ConfigurationError) as caught:
        check_private_file(path)
    assert caught.value.hint == f"chmod 600 {path}"


def test_what_is_missing_or_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("missing", ".", "fifo"):
        with pytest.raises(ConfigurationError):
            check_private_file(tmp_path / name)


def test_another_users_file_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = private_file(tmp_path / "x", b"secret")
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigurationError, match="another user"):
        check_private_file(path)


def test_a_systemd_credential_may_show_its_acl_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = private_file(tmp_path / "passphrase", b"x\n", 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_passphrase(file=path) == b"x"
    path.chmod(0o444)
    with pytest.raises(ConfigurationError):
        read_passphrase(file=path)


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="longer"):
        read_private(private_file(tmp_path / "x", b"12345"), limit=4)


def test_a_private_directory_is_made_and_checked(tmp_path: Path) -> None:
    made = private_dir(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o750)
    with pytest.raises(ConfigurationError) as caught:
        private_dir(made)
    assert caught.value.hint == f"chmod 700 {made}"


def test_something_else_in_the_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        private_dir(private_file(tmp_path / "x", b""))


@pytest.mark.parametrize(
    "written, passphrase",
    [(b"six words", b"six words"), (b"six words\n", b"six words"), (b"a\r\n", b"a"), (b"a\n\n", b"a\n")],
)
def test_one_line_end_is_not_part_of_a_passphrase(tmp_path: Path, written: bytes, passphrase: bytes) -> None:
    assert read_passphrase(file=private_file(tmp_path / "p", written)) == passphrase
    reading, writing = os.pipe()
    os.write(writing, written)
    os.close(writing)
    assert read_passphrase(fd=reading) == passphrase


def test_an_empty_or_endless_passphrase_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"\n", b"x" * (PASSPHRASE_BYTES + 1)):
        with pytest.raises(ConfigurationError):
            read_passphrase(file=private_file(tmp_path / "p", content))


def test_a_passphrase_given_twice_or_from_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="twice"):
        read_passphrase(fd=0, file=tmp_path / "p")
    with pytest.raises(ConfigurationError, match="descriptor 987"):
        read_passphrase(fd=987)


def on_a_terminal(script: str, answers: list[bytes]) -> bytes:
    """Run `script` on a terminal of its own and return what it showed, answering each prompt when it appears."""
    terminal, inner = pty.openpty()
    take_terminal = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    child = subprocess.Popen(
        [sys.executable, "-c", take_terminal + script], stdin=inner, stdout=inner, stderr=inner, start_new_session=True
    )
    os.close(inner)
    shown = b""
    asked = 0
    while part := read_terminal(terminal):
        shown += part
        if len(PROMPT.findall(shown)) > asked:
            os.write(terminal, answers[asked] + b"\n")
            asked += 1
    os.close(terminal)
    child.wait(timeout=30)
    return shown


def read_terminal(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1024)
    except OSError:  # Linux says EIO when the other side is gone
        return b""


PROMPT = re.compile(rb"First\? |again: ")
ASK = """
from exchange.errors import ConfigurationError
from exchange.runtime import secrets
try:
    print("got", len(secrets.read_passphrase(prompt="First? ", confirm=True)))
except ConfigurationError as error:
    print("refused:", error)
"""


def test_the_terminal_is_asked_without_echo() -> None:
    shown = on_a_terminal(ASK, [b"hunter2", b"hunter2"])
    assert b"got 7" in shown and b"hunter2" not in shown


def test_two_different_answers_are_refused() -> None:
    shown = on_a_terminal(ASK, [b"hunter2", b"hunter3"])
    assert b"refused: the two passphrases differ" in shown


def test_without_a_terminal_the_hint_names_the_other_ways() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert b"refused: a passphrase is needed and there is no terminal" in done.stdout
