"""The ways between nodes and relays: one from each node to each relay, and each can be cut by itself."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from tests.chaos import namespaces
from tests.chaos.wires import Wires


class Ways(Protocol):
    """Where relays listen, how nodes reach them, and how that ends for a while."""

    def listen(self, address: str) -> str:
        """Return where a relay listens instead of at this loopback address."""

    def lead(self, party: str, to: Sequence[str]) -> list[str]:
        """Make a way from a party's node to each of these relays, and return the addresses at which it finds them."""

    def around(self, name: str) -> list[str]:
        """Return the words that go before the command of a relay or a node."""

    def cut(self, party: str, ways: Sequence[int]) -> None:
        """Let nothing pass on these ways of a party, by their place in `to`."""

    def mend(self, party: str, ways: Sequence[int]) -> None:
        """Let everything pass again."""


@contextmanager
def made(*, proxies: bool = False) -> Iterator[Ways]:
    """Make them of network namespaces where that is allowed, otherwise, or when it is wanted, of cutting proxies.

    A namespace whose link is down drops everything without a word, as a broken line does; a proxy ends connections.
    """
    if proxies or not namespaces.allowed():
        with Wires() as wires:
            yield wires
    else:
        with namespaces.Namespaces() as spaces:
            yield spaces
