"""Which gRPC status an error has (docs/reference/errors.md), and which error a bare status means.

Every reason of exchange/errors.py has its row; a test says so. The reason itself travels beside the status.
"""

import grpc

from exchange.errors import (
    BadInput,
    Conflict,
    ExchangeError,
    InternalError,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RateLimited,
    Unavailable,
)

Code = grpc.StatusCode

STATUS = {
    "BAD_INPUT": Code.INVALID_ARGUMENT,
    "MALFORMED_INPUT": Code.INVALID_ARGUMENT,
    "TOO_LARGE": Code.INVALID_ARGUMENT,
    "BAD_NAME": Code.INVALID_ARGUMENT,
    "BAD_REPORT": Code.INVALID_ARGUMENT,
    "BAD_LABEL": Code.INVALID_ARGUMENT,
    "BAD_AGREEMENT": Code.INVALID_ARGUMENT,
    "VERIFICATION_FAILED": Code.INVALID_ARGUMENT,
    "BAD_SIGNATURE": Code.INVALID_ARGUMENT,
    "BAD_PROOF": Code.INVALID_ARGUMENT,
    "BAD_ENVELOPE": Code.INVALID_ARGUMENT,
    "BAD_STATEMENT": Code.INVALID_ARGUMENT,
    "POLICY_DENIED": Code.PERMISSION_DENIED,
    "MARK_NOT_CARRIED": Code.PERMISSION_DENIED,
    "NEEDS_CONFIRMATION": Code.FAILED_PRECONDITION,
    "NOT_AUTHENTICATED": Code.UNAUTHENTICATED,
    "NOT_ALLOWED": Code.PERMISSION_DENIED,
    "NOT_FOUND": Code.NOT_FOUND,
    "CONFLICT": Code.ALREADY_EXISTS,
    "RATE_LIMITED": Code.RESOURCE_EXHAUSTED,
    "UNAVAILABLE": Code.UNAVAILABLE,
    "STORAGE_FULL": Code.UNAVAILABLE,
    "CONFIGURATION": Code.FAILED_PRECONDITION,
    "WRONG_PASSPHRASE": Code.FAILED_PRECONDITION,
    "STORE_TOO_NEW": Code.FAILED_PRECONDITION,
    "INTERNAL": Code.INTERNAL,
}
"""Reason to status."""

BARE: dict[grpc.StatusCode, type[ExchangeError]] = {
    Code.INVALID_ARGUMENT: BadInput,
    Code.OUT_OF_RANGE: BadInput,
    Code.UNAUTHENTICATED: NotAuthenticated,
    Code.PERMISSION_DENIED: NotAllowed,
    Code.NOT_FOUND: NotFound,
    Code.ALREADY_EXISTS: Conflict,
    Code.RESOURCE_EXHAUSTED: RateLimited,
    Code.UNAVAILABLE: Unavailable,
    Code.DEADLINE_EXCEEDED: Unavailable,
    Code.CANCELLED: Unavailable,
    Code.ABORTED: Unavailable,
}
"""What a status without a reason means: gRPC itself answered, or something between us. Others are bugs."""


def status_of(error: ExchangeError) -> grpc.StatusCode:
    """Return the status of an error; a reason that is not in the table is our bug."""
    return STATUS.get(error.reason, Code.INTERNAL)


def error_class(reason: str | None, code: grpc.StatusCode) -> type[ExchangeError]:
    """Return the class with this reason, or what the bare status means when we do not know the reason."""
    waiting: list[type[ExchangeError]] = [ExchangeError]
    while waiting:
        kind = waiting.pop()
        if kind is not ExchangeError and kind.reason == reason:
            return kind
        waiting.extend(kind.__subclasses__())
    return BARE.get(code, InternalError)
