"""Fingerprints as people read them to each other: all of it, or only the first and the last group. Pure.

What must be typed is never shown, so that nobody confirms what was not read out by the other side.
"""

from exchange.errors import VerificationFailed

_TYPED = (0, -1)


def without_ends(fingerprint: str) -> str:
    """Return a fingerprint as it is shown to whoever must hear its first and last group from the other side."""
    groups = fingerprint.split()
    return " ".join(["____", *groups[1:-1], "____"])


def check_spoken(fingerprint: str, *, read_out: str, hint: str) -> None:
    """Return when what the other side read out is this fingerprint: all of it, or first and last group.

    Raises:
        VerificationFailed: it differs, or less was typed.
    """
    groups = fingerprint.split()
    whole, ends = "".join(groups), "".join(groups[at] for at in _TYPED)
    if _letters(read_out) not in (whole, ends):
        raise VerificationFailed("the fingerprints differ: this is not the root that the other side has", hint=hint)


def _letters(text: str) -> str:
    """Return typed letters as Crockford's base 32 reads them: case and the look-alikes of 0 and 1 do not matter."""
    joined = "".join(text.split()).replace("-", "").upper()
    return joined.translate(str.maketrans("OIL", "011"))
