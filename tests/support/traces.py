"""Search every byte of every file below a directory."""

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path


def files_below(home: Path) -> list[Path]:
    """Return every file, databases' logs included; sockets hold nothing."""
    return sorted(path for path in home.rglob("*") if path.is_file())


def traces(home: Path, secrets: Iterable[bytes]) -> Iterator[str]:
    """Yield where one of these secrets stands in a file below `home`, also in hexadecimal or base64."""
    wanted = list(secrets)
    for path in files_below(home):
        data = path.read_bytes()
        for secret in wanted:
            if any(form in data for form in (secret, secret.hex().encode(), base64.b64encode(secret))):
                yield f"{path.relative_to(home)}: {secret[:40]!r}"
