"""By which CAs this node knows its relay: those that the directory names, and the one in a newer relay.info.

Who was away while the relay changed its CA, or has joined only now, has not replayed the entry that names it, and gets
that entry from the relay alone. The operator then puts the relay.info of today in place of that of before: it carries
the entry, signed by the council.
"""

from collections.abc import Callable

from exchange.directory.statements import RelayKeySet
from exchange.errors import ConfigurationError, VerificationFailed
from exchange.runtime.relay_info import RelayInfo
from nodes.trust import Trust

CLOCKS_MS = 24 * 60 * 60 * 1000
"""A node goes on with a CA that was followed for so long after the relay should have changed over: clocks differ."""


class RelayAuthorities:
    """The relay's CAs. For one event loop."""

    def __init__(self, trust: Trust, info: RelayInfo, clock: Callable[[], int]) -> None:
        """Read `trust` and the entry in `info`.

        Raises:
            ConfigurationError: the council did not sign the entry in relay.info.
        """
        self._trust = trust
        self._clock = clock
        self._named = _named(info)

    def __call__(self) -> tuple[bytes, ...]:
        """Return the CAs (DER) that count now."""
        directory, named = self._trust.now.directory, self._named
        known = directory.relay_cas(at_ms=self._clock() - CLOCKS_MS)
        if named is None or _replayed(named, directory.next_seq_prev(named.common.issuer)[0]):
            return known
        ca = named.keys.transport_ca
        return (ca,) if named.stolen_since_ms else tuple(dict.fromkeys((*known, ca)))


def _replayed(named: RelayKeySet, next_seq: int) -> bool:
    """Say whether the council's statements have come as far as this one: then the directory says what counts."""
    return named.common.seq < next_seq


def _named(info: RelayInfo) -> RelayKeySet | None:
    try:
        return info.named_keys()
    except VerificationFailed as error:
        raise ConfigurationError(
            f"the relay.info of this node does not hold: {error}", hint="fetch the one of today from the relay"
        ) from error
