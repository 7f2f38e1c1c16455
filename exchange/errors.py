"""Every error that Concord raises on purpose.

ExchangeError
├── BadInput                  the caller's bytes are wrong; nothing was changed
│   ├── MalformedInput        not the format that it claims to be
│   ├── TooLarge              over a named limit
│   ├── BadName               not a valid identifier
│   ├── BadReport             not a report that may be sent
│   ├── BadLabel              a label or release that cannot be used
│   └── BadAgreement          an agreement text that cannot be used
├── VerificationFailed        a signature, proof, hash or check does not hold
│   ├── BadSignature
│   ├── BadProof              an inclusion or consistency proof, or a checkpoint
│   ├── BadEnvelope           carries the number of the check that failed
│   └── BadStatement          a directory statement that does not hold where it stands
├── PolicyDenied              the sharing rules refuse
│   ├── MarkNotCarried        a marking that another scheme cannot say without widening it
│   └── NeedsConfirmation     a person must confirm first what is unusual
├── NotAuthenticated          nobody we know, or not over a channel that we accept
├── NotAllowed                known, but not for this
├── NotFound
├── Conflict                  contradicts what is stored
├── RateLimited
├── Unavailable               try again later
│   └── StorageFull
├── ConfigurationError        configuration, key file, store or environment
│   ├── WrongPassphrase
│   └── StoreTooNew
└── InternalError             our bug

`reason` is stable and may be shown to a peer together with `public`; the detail (the exception's own text) is for the
operator on this side alone. `hint` says what to do next. `retryable` is what a sending loop obeys.
Tables that map `reason` at the edges: exchange/runtime/status.py (gRPC), nodes/admin/exit_codes.py (exit codes).
"""

from typing import ClassVar


class ExchangeError(Exception):
    """Base of all errors that Concord raises on purpose."""

    reason: ClassVar[str] = "INTERNAL"
    public: ClassVar[str] = "Something went wrong."
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "", *, hint: str = "", place: str = "") -> None:
        """`detail` and `hint` are for this side's operator; `place` says where in the input (a path or a line)."""
        super().__init__(detail or self.public)
        self.hint = hint
        self.place = place


class BadInput(ExchangeError):
    """The caller's input is wrong; nothing was changed."""

    reason = "BAD_INPUT"
    public = "The input is not acceptable."


class MalformedInput(BadInput):
    """The input is not of the format that it claims to be."""

    reason = "MALFORMED_INPUT"
    public = "The input is not of the expected format."


class TooLarge(BadInput):
    """The input is over a named limit (exchange/limits.py)."""

    reason = "TOO_LARGE"
    public = "The input is over a limit."


class BadName(BadInput):
    """An identifier is not valid."""

    reason = "BAD_NAME"
    public = "An identifier is not valid."


class BadReport(BadInput):
    """The file is not a report that may be sent."""

    reason = "BAD_REPORT"
    public = "The report is not acceptable."


class BadLabel(BadInput):
    """The label or release cannot be used."""

    reason = "BAD_LABEL"
    public = "The label is not acceptable."


class BadAgreement(BadInput):
    """The agreement text cannot be used."""

    reason = "BAD_AGREEMENT"
    public = "The agreement is not acceptable."


class VerificationFailed(ExchangeError):
    """A signature, proof, hash or check does not hold."""

    reason = "VERIFICATION_FAILED"
    public = "Verification failed."


class BadSignature(VerificationFailed):
    """A signature does not hold."""

    reason = "BAD_SIGNATURE"
    public = "A signature does not hold."


class BadProof(VerificationFailed):
    """An inclusion proof, consistency proof or checkpoint does not hold."""

    reason = "BAD_PROOF"
    public = "A log proof does not hold."


class BadEnvelope(VerificationFailed):
    """A submission or delivery fails a numbered check."""

    reason = "BAD_ENVELOPE"
    public = "The envelope does not hold."

    def __init__(self, step: int, detail: str = "", *, hint: str = "") -> None:
        """`step` is the number of the check that failed, as listed in exchange/envelope/verify.py and open.py."""
        super().__init__(f"step {step}: {detail}", hint=hint)
        self.step = step


class BadStatement(VerificationFailed):
    """A directory statement does not hold where it stands in the log."""

    reason = "BAD_STATEMENT"
    public = "The statement is not acceptable."


class PolicyDenied(ExchangeError):
    """The sharing rules refuse this delivery."""

    reason = "POLICY_DENIED"
    public = "The sharing rules do not permit this delivery."


class MarkNotCarried(PolicyDenied):
    """The label says what another scheme cannot say; written there it would be wider."""

    reason = "MARK_NOT_CARRIED"
    public = "A marking cannot be carried over without widening it."


class NeedsConfirmation(PolicyDenied):
    """A person must confirm first what is unusual about a release."""

    reason = "NEEDS_CONFIRMATION"
    public = "A person must confirm this first."


class NotAuthenticated(ExchangeError):
    """The peer is nobody we know, or does not speak over a channel that we accept."""

    reason = "NOT_AUTHENTICATED"
    public = "Not authenticated."


class NotAllowed(ExchangeError):
    """The peer is known but may not do this."""

    reason = "NOT_ALLOWED"
    public = "Not allowed."


class NotFound(ExchangeError):
    """No such thing, or the asker may not know of it: the answer is the same."""

    reason = "NOT_FOUND"
    public = "Not found."


class Conflict(ExchangeError):
    """It contradicts what is stored."""

    reason = "CONFLICT"
    public = "It contradicts what is already there."


class RateLimited(ExchangeError):
    """Too much in too short a time."""

    reason = "RATE_LIMITED"
    public = "Too many requests; try again later."
    retryable = True


class Unavailable(ExchangeError):
    """Cannot be done now; trying later may work."""

    reason = "UNAVAILABLE"
    public = "Not available now; try again later."
    retryable = True


class StorageFull(Unavailable):
    """The disk is full; nothing was lost."""

    reason = "STORAGE_FULL"
    public = "Not available now; try again later."


class ConfigurationError(ExchangeError):
    """Configuration, a key file, a store or the environment is not usable."""

    reason = "CONFIGURATION"
    public = "The service is not configured correctly."


class WrongPassphrase(ConfigurationError):
    """The passphrase does not open the keystore."""

    reason = "WRONG_PASSPHRASE"


class StoreTooNew(ConfigurationError):
    """The store was written by a newer version."""

    reason = "STORE_TOO_NEW"


class InternalError(ExchangeError):
    """Our bug."""

    reason = "INTERNAL"
