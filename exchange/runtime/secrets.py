"""Files that only we may read, and passphrases.

A passphrase comes from a file descriptor, a private file (a systemd credential is one) or the terminal; never from the
environment or the command line, where other programs see it. What is read here never reaches an error or a log.
"""

import getpass
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exchange.crypto.keystore import check_keystore, open_keystore
from exchange.errors import BadInput, ConfigurationError
from exchange.limits import MIB

PASSPHRASE_BYTES = 4096
PRIVATE_FILE_BYTES = 64 * MIB


def check_private_file(path: Path) -> None:
    """Return when `path` is a regular file of ours (or root's) that nobody else can open.

    Raises:
        ConfigurationError: it is missing, or it is not private; the hint says how to repair it.
    """
    os.close(_open_private(path))


def read_private(path: Path, *, limit: int = PRIVATE_FILE_BYTES) -> bytes:
    """Return the content of a private file; what is checked is what is read.

    Raises:
        ConfigurationError: as check_private_file, or more than `limit` bytes.
    """
    with os.fdopen(_open_private(path), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ConfigurationError(f"{path} is longer than {limit} bytes")
    return data


def open_keystore_file(path: Path, passphrase: bytes) -> dict[str, bytes]:
    """Return all entries of a private keystore file.

    Raises:
        ConfigurationError: it is missing, not private, damaged, or the passphrase is another (WrongPassphrase).
    """
    with _damage_named(path):
        return open_keystore(read_private(path), passphrase)


def check_keystore_file(path: Path) -> None:
    """Return when `path` is a private file with the outer form of a keystore; ConfigurationError as when opening."""
    with _damage_named(path):
        check_keystore(read_private(path))


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except BadInput as error:
        raise ConfigurationError(f"{path}: {error}", hint="restore it from the backup") from error


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, readable by us alone: wholly and durably, or not at all.

    Raises:
        ConfigurationError: the directory cannot be written.
    """
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        with suppress(OSError):
            made.unlink(missing_ok=True)
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


def private_dir(path: Path) -> Path:
    """Return `path` as a directory that only we may enter; it is made when missing.

    Raises:
        ConfigurationError: it cannot be made, is no directory, or is open to others.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be made: {error.strerror}") from error
    if found.st_uid != os.geteuid():
        raise ConfigurationError(f"{path} belongs to another user", hint="run as its owner")
    if found.st_mode & 0o077:
        raise ConfigurationError(f"others may enter {path}", hint=f"chmod 700 {path}")
    return path


def read_passphrase(
    *, fd: int | None = None, file: Path | None = None, prompt: str = "Passphrase: ", confirm: bool = False
) -> bytes:
    """Return a passphrase, from `fd`, else from the private `file`, else asked for on the terminal.

    One line end at its end is not part of it. `confirm` asks twice on the terminal.

    Raises:
        ConfigurationError: none of the three works, it is empty, too long, or the two answers differ.
    """
    if fd is not None and file is not None:
        raise ConfigurationError("a passphrase is given twice", hint="give a file descriptor or a file, not both")
    if fd is not None:
        given = _read_fd(fd)
    elif file is not None:
        given = read_private(file, limit=PASSPHRASE_BYTES)
    else:
        given = _ask(prompt, confirm=confirm)
    passphrase = given.removesuffix(b"\n").removesuffix(b"\r")
    if not passphrase:
        raise ConfigurationError("the passphrase is empty", hint="give at least one character, better six random words")
    return passphrase


def _read_fd(fd: int) -> bytes:
    try:
        with os.fdopen(fd, "rb") as file:
            data = file.read(PASSPHRASE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"no passphrase can be read from file descriptor {fd}: {error.strerror}") from error
    if len(data) > PASSPHRASE_BYTES:
        raise ConfigurationError(f"the passphrase is longer than {PASSPHRASE_BYTES} bytes")
    return data


def _ask(prompt: str, *, confirm: bool) -> bytes:
    # Without a terminal getpass would read stdin and echo; a service that waits for a person there hangs for ever.
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        raise ConfigurationError(
            "a passphrase is needed and there is no terminal to ask on",
            hint="give --passphrase-file FILE (mode 600, or a systemd credential) or --passphrase-fd N",
        ) from error
    try:
        given = getpass.getpass(prompt)
        if confirm and given != getpass.getpass("The same again: "):
            raise ConfigurationError("the two passphrases differ", hint="try again")
    except EOFError as error:
        raise ConfigurationError("no passphrase was given", hint="try again") from error
    return given.encode()


def _open_private(path: Path) -> int:
    try:
        # O_NONBLOCK: opening a FIFO that somebody put there must not hang.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be opened: {error.strerror}", hint="check the path") from error
    try:
        _check_private(path, os.fstat(handle))
    except BaseException:
        os.close(handle)
        raise
    return handle


def _check_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"{path} is not a regular file")
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigurationError(f"{path} belongs to another user", hint="make it yours: chown and chmod 600")
    # systemd grants a credential to the service's user by an ACL, whose mask shows as the group's read bit.
    others = 0o037 if _is_credential(path) else 0o077
    if found.st_mode & others:
        raise ConfigurationError(f"others may open {path}", hint=f"chmod 600 {path}")


def _is_credential(path: Path) -> bool:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(directory) and path.resolve().parent == Path(directory or "/").resolve()


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
