"""The bearer token of a call: how sensors and operators prove themselves (metadata `authorization: Bearer TOKEN`)."""

from exchange.errors import NotAuthenticated
from exchange.runtime.interceptors import Context

HEADER = "authorization"
PREFIX = "Bearer "
TOKEN_CHARS = 128


def bearer_token(context: Context, *, hint: str = "") -> str:
    """Return the one token that a call presents, or raise NotAuthenticated with `hint`."""
    values = [str(value) for name, value in context.invocation_metadata() or () if name == HEADER]
    if len(values) != 1 or not values[0].startswith(PREFIX) or len(values[0]) > TOKEN_CHARS:
        raise NotAuthenticated("this call presents no bearer token", hint=hint)
    return values[0].removeprefix(PREFIX)
