"""The session of an operator's last login, in the operator's own home: as secret as the key while it lasts."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from exchange.errors import ConfigurationError, MalformedInput
from exchange.limits import KIB
from exchange.runtime.json_record import decode_record, encode_record
from exchange.runtime.secrets import private_dir, read_private, write_private

HOME_VARIABLE = "CONCORD_OPERATOR_HOME"
DEFAULT_HOME = Path("~/.concord/operator")
SESSION = "session"

_SESSION_BYTES = 4 * KIB
_SESSION_FIELDS: dict[str, type] = {"exchange": str, "party": str, "operator": str, "token": str, "until_ms": int}


@dataclass(frozen=True, slots=True)
class Session:
    """A login at one node."""

    exchange: str
    party: str
    operator: str
    token: str = field(repr=False)
    until_ms: int


def operator_home() -> Path:
    """Return the home that the environment names, else the usual one."""
    return Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).expanduser()


def keep_session(home: Path, session: Session) -> None:
    """Write the session of a login, in place of an earlier one."""
    record: dict[str, str | int] = {
        "exchange": session.exchange,
        "party": session.party,
        "operator": session.operator,
        "token": session.token,
        "until_ms": session.until_ms,
    }
    write_private(private_dir(home) / SESSION, encode_record(record))


def current_session(home: Path) -> Session | None:
    """Return the session of the last login, whether it has ended or not; None when there is none.

    Raises:
        ConfigurationError: others may read it, or it is damaged.
    """
    path = home / SESSION
    if not path.exists():
        return None
    try:
        fields = decode_record(read_private(path, limit=_SESSION_BYTES), _SESSION_FIELDS, what="the session")
    except MalformedInput as error:
        raise ConfigurationError(f"{path}: {error}", hint="concord operator login") from error
    return Session(**fields)


def forget_session(home: Path) -> None:
    """Remove the session, if there is one."""
    (home / SESSION).unlink(missing_ok=True)


def session_token(home: Path) -> str:
    """Return the token that the commands present; empty when nobody is logged in from this home."""
    session = current_session(home)
    return session.token if session is not None else ""
