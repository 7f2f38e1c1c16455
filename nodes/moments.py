"""Moments as people read them."""

from datetime import UTC, datetime


def moment(at_ms: int) -> str:
    """Return a moment in UTC, to the minute."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
