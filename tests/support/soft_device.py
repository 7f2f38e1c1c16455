"""A device in software: SoftHSM, as Debian ships it, with one token in a directory of its own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MODULES = tuple(
    Path(place) / "softhsm/libsofthsm2.so"
    for place in ("/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64")
)
TOKEN = "concord-test"
PIN = "482916"


def soft_module() -> Path | None:
    """Return SoftHSM's module, or None when it, or its tool, is not installed."""
    found = next((path for path in MODULES if path.exists()), None)
    return found if shutil.which("softhsm2-util") else None


@contextmanager
def a_token(place: Path) -> Iterator[None]:
    """Make a token in `place`, for this process and those that it starts. Once a process: the module stays loaded."""
    (place / "tokens").mkdir()
    (place / "softhsm2.conf").write_text(f"directories.tokendir = {place / 'tokens'}\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(place / "softhsm2.conf")
    make = ("softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "73519846")
    try:
        subprocess.run(make, check=True, capture_output=True)
        yield
    finally:
        os.environ.pop("SOFTHSM2_CONF")
        if before is not None:
            os.environ["SOFTHSM2_CONF"] = before
