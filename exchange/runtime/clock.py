"""The one place that reads the clock. Everything below the edges takes `now_ms` as an argument."""

import time


def now_ms() -> int:
    """Return milliseconds since 1970 UTC by this machine's clock, which an operator keeps right (NTP)."""
    return time.time_ns() // 1_000_000
