"""The envelopes that passed last, bounded by bytes: all recipients of an envelope ask for it at about the same time."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from exchange.relay.mailbox import Sealed


class SealedCache:
    """Least recently used goes first. Readers' threads and the event loop share it."""

    def __init__(self, capacity_bytes: int) -> None:
        """Hold at most `capacity_bytes`; one that alone is larger is not kept."""
        self._capacity = capacity_bytes
        self._bytes = 0
        self._entries: OrderedDict[int, Sealed] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, keys: Sequence[int]) -> dict[int, Sealed]:
        """Return those that are here."""
        with self._lock:
            found = {number: self._entries[number] for number in keys if number in self._entries}
            for number in found:
                self._entries.move_to_end(number)
        return found

    def put(self, envelopes: Iterable[Sealed]) -> None:
        """Keep what is durably stored."""
        with self._lock:
            for each in envelopes:
                before = self._entries.pop(each.key, None)
                self._bytes += each.size - (before.size if before else 0)
                self._entries[each.key] = each
            while self._bytes > self._capacity:
                _, gone = self._entries.popitem(last=False)
                self._bytes -= gone.size
