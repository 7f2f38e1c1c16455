"""The error tree, for tests that every error has its row."""

import inspect

from exchange import errors
from exchange.errors import ExchangeError


def every_error() -> list[type[ExchangeError]]:
    """Every class of exchange/errors.py but the root, which nobody raises."""
    found = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    return [kind for kind in found if issubclass(kind, ExchangeError) and kind is not ExchangeError]
