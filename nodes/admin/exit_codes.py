"""What the `concord` program returns to the shell, so that scripts can act on it (docs/reference/errors.md).

Every reason of exchange/errors.py has its row; a test says so.
"""

from exchange.errors import ExchangeError

OK = 0
BUG = 1
USAGE = 2
DENIED = 3
VERIFICATION = 4
UNAVAILABLE = 5
NOT_FOUND = 6
CONFIGURATION = 7
INTERRUPTED = 130
"""128 + SIGINT, as shells count."""

EXIT_CODES = {
    "BAD_INPUT": USAGE,
    "MALFORMED_INPUT": USAGE,
    "TOO_LARGE": USAGE,
    "BAD_NAME": USAGE,
    "BAD_REPORT": USAGE,
    "BAD_LABEL": USAGE,
    "BAD_AGREEMENT": USAGE,
    "VERIFICATION_FAILED": VERIFICATION,
    "BAD_SIGNATURE": VERIFICATION,
    "BAD_PROOF": VERIFICATION,
    "BAD_ENVELOPE": VERIFICATION,
    "BAD_STATEMENT": VERIFICATION,
    "POLICY_DENIED": DENIED,
    "MARK_NOT_CARRIED": DENIED,
    "NEEDS_CONFIRMATION": DENIED,
    "NOT_AUTHENTICATED": DENIED,
    "NOT_ALLOWED": DENIED,
    "NOT_FOUND": NOT_FOUND,
    "CONFLICT": DENIED,
    "RATE_LIMITED": UNAVAILABLE,
    "UNAVAILABLE": UNAVAILABLE,
    "STORAGE_FULL": UNAVAILABLE,
    "CONFIGURATION": CONFIGURATION,
    "WRONG_PASSPHRASE": CONFIGURATION,
    "STORE_TOO_NEW": CONFIGURATION,
    "INTERNAL": BUG,
}
"""Reason to exit code."""


def exit_code(error: ExchangeError) -> int:
    """Return the exit code of an error; a reason that is not in the table is our bug."""
    return EXIT_CODES.get(error.reason, BUG)
