"""Sessions of an operator, in the operator's own home, one for each node: as secret as the key while they last.

A session is found by the home of the node that gave it, so that its token is shown to no other.
"""

import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from exchange.errors import ConfigurationError, MalformedInput
from exchange.limits import KIB
from exchange.runtime.json_record import decode_record, encode_record
from exchange.runtime.secrets import private_dir, read_private, write_private

HOME_VARIABLE = "CONCORD_OPERATOR_HOME"
DEFAULT_HOME = Path("~/.concord/operator")
SESSIONS = "sessions"

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


def keep_session(own: Path, node: Path, session: Session) -> None:
    """Write the session at the node in `node` into the operator's home `own`, in place of an earlier one."""
    record: dict[str, str | int] = {
        "exchange": session.exchange,
        "party": session.party,
        "operator": session.operator,
        "token": session.token,
        "until_ms": session.until_ms,
    }
    private_dir(own)
    write_private(private_dir(own / SESSIONS) / _name(node), encode_record(record))


def current_session(own: Path, node: Path) -> Session | None:
    """Return the session of the last login at a node, whether it has ended or not; None when there is none.

    Raises:
        ConfigurationError: others may read it, or it is damaged.
    """
    path = own / SESSIONS / _name(node)
    if not path.exists():
        return None
    try:
        fields = decode_record(read_private(path, limit=_SESSION_BYTES), _SESSION_FIELDS, what="the session")
    except MalformedInput as error:
        raise ConfigurationError(f"{path}: {error}", hint="concord operator login") from error
    return Session(**fields)


def forget_session(own: Path, node: Path) -> None:
    """Remove the session at a node, if there is one."""
    (own / SESSIONS / _name(node)).unlink(missing_ok=True)


def session_token(own: Path, node: Path) -> str:
    """Return the token that is presented to the node in `node`; empty when nobody is logged in there from `own`."""
    session = current_session(own, node)
    return session.token if session is not None else ""


def _name(node: Path) -> str:
    return sha256(str(node.resolve()).encode()).hexdigest()[:32]
