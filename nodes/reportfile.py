"""Read a report and its label from disk, for the command line and the spool alike.

The label is the file that is named, else NAME.label.yaml beside NAME.json, else none: the bundle's own handling or a
sensor's default then has to serve (nodes/author.py).
"""

import os
import stat
import sys
from pathlib import Path

from exchange.errors import NotFound, TooLarge, Unavailable
from exchange.limits import LABEL_BYTES, REPORT_BYTES

STDIN = Path("-")


def read_report_file(path: Path, label: Path | None = None) -> tuple[bytes, bytes]:
    """Return the bytes of the report and of its label; the label is empty when there is none.

    Raises:
        NotFound: no such file, or not a regular one.
        TooLarge: over the limit; nothing more than that was read.
    """
    content = _stdin() if path == STDIN else read_bounded(path, REPORT_BYTES, "report")
    beside = label_beside(path)
    if label is None and path != STDIN and beside.exists():
        label = beside
    return content, b"" if label is None else read_bounded(label, LABEL_BYTES, "label")


def label_beside(path: Path) -> Path:
    """Return where the label of a report file is looked for."""
    return path.with_name(path.name.removesuffix(".json").removesuffix(".stix") + ".label.yaml")


def read_bounded(path: Path, limit: int, what: str) -> bytes:
    """Return a regular file's bytes if they are within `limit`."""
    try:
        # Without O_NONBLOCK opening a pipe would wait for its writer for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise NotFound(f"{path} is not a regular file", hint=f"name a {what} file")
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise NotFound(f"no {what} at {path}", hint="check the path") from error
    except IsADirectoryError as error:
        raise NotFound(f"{path} is a directory", hint=f"name a {what} file") from error
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}", hint="check the file's permissions") from error
    return _within(data, limit, what, str(path))


def _stdin() -> bytes:
    return _within(sys.stdin.buffer.read(REPORT_BYTES + 1), REPORT_BYTES, "report", "stdin")


def _within(data: bytes, limit: int, what: str, where: str) -> bytes:
    if len(data) > limit:
        raise TooLarge(f"the {what} in {where} is over {limit:,} bytes", hint="split it")
    return data
