"""Read a report and its label from disk, for the command line and the spool alike.

The label is the file that is named, else NAME.label.yaml beside NAME.json, else none: the bundle's own handling or a
sensor's default then has to serve (nodes/author.py).
"""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exchange.errors import BadInput, BadLabel, ConfigurationError, NotFound, TooLarge, Unavailable
from exchange.limits import LABEL_BYTES, REPORT_BYTES

STDIN = Path("-")


def read_report_file(path: Path, label: Path | None = None, *, follow: bool = True) -> tuple[bytes, bytes]:
    """Return the bytes of the report and of its label; the label is empty when there is none.

    Without `follow` no symbolic link is opened: who may write into a directory must not choose what we read.

    Raises:
        NotFound: no such file, or not a regular one.
        ConfigurationError: it may not be read.
        TooLarge: over the limit; nothing more than that was read.
        BadLabel: the label file is empty: taking that for "no label" would put a laxer default in its place.
    """
    content = _stdin() if path == STDIN else read_bounded(path, REPORT_BYTES, "report", follow=follow)
    beside = label_beside(path)
    if label is None and path != STDIN and os.path.lexists(beside):
        label = beside
    if label is None:
        return content, b""
    rules = read_bounded(label, LABEL_BYTES, "label", follow=follow)
    if not rules:
        raise BadLabel("the label file is empty", place=str(label), hint="fill it in, or remove it")
    return content, rules


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in what is found wrong with its content."""
    try:
        yield
    except BadInput as error:
        error.place = f"{path}, {error.place}" if error.place else str(path)
        raise


def label_beside(path: Path) -> Path:
    """Return where the label of a report file is looked for."""
    return path.with_name(path.name.removesuffix(".json").removesuffix(".stix") + ".label.yaml")


def read_bounded(path: Path, limit: int, what: str, *, follow: bool = True) -> bytes:
    """Return a regular file's bytes if they are within `limit`."""
    # Without O_NONBLOCK opening a pipe would wait for its writer for ever.
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise NotFound(f"{path} is not a regular file", hint=f"name a file that holds the {what}")
            data = file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"no {what} at {path}", hint="check the path") from error
    except IsADirectoryError as error:
        raise NotFound(f"{path} is a directory", hint=f"name a file that holds the {what}") from error
    except PermissionError as error:
        raise ConfigurationError(f"{path} may not be read", hint="check who owns it, and its mode") from error
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise NotFound(f"{path}: {error.strerror}", hint="check the path") from error
        raise Unavailable(f"cannot read {path}: {error.strerror}", hint="check the disk") from error
    return _within(data, limit, what, str(path))


def _stdin() -> bytes:
    return _within(sys.stdin.buffer.read(REPORT_BYTES + 1), REPORT_BYTES, "report", "stdin")


def _within(data: bytes, limit: int, what: str, where: str) -> bytes:
    if len(data) > limit:
        raise TooLarge(f"the {what} in {where} is over {limit:,} bytes", hint="split it")
    return data
