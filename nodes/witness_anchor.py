"""What shows, from the genesis on, who the witnesses are: a part of every file that proves something by them. Pure.

The genesis, the entries by which seats of the council went over to other roots (exchange/directory/seats.py), and the
statement that named the witnesses. Whoever knows the genesis hash needs nothing else to count a quorum. What no file
shows is that nothing later stands in the directory: that no root was revoked and no others were named since.
"""

from dataclasses import dataclass

from exchange.directory.fold import Directory
from exchange.directory.seats import SEAT_ENTRIES, named_witnesses, with_seats
from exchange.directory.statements import Witnesses
from exchange.errors import BadStatement
from exchange.names import ExchangeName
from exchange.policy.strict_json import Entry, Plain

FIELDS = ("genesis", "seats", "witness_set")


@dataclass(frozen=True, slots=True)
class Anchor:
    """Entries of the directory; nothing of them is verified."""

    genesis: bytes
    """First entry."""
    seats: tuple[bytes, ...] = ()
    """Entries that show who sat in the council when the witnesses were named; none while it was that of the genesis."""
    witness_set: bytes = b""
    """Entry that named the witnesses; empty when the genesis did, or nobody."""

    def directory(self, exchange: ExchangeName) -> Directory:
        """Return the directory that holds the genesis alone.

        Raises:
            BadStatement: its council did not sign it, or it is of another exchange.
        """
        directory = Directory.found(self.genesis, expected_hash=None)
        if directory.exchange != exchange:
            raise BadStatement(f"the genesis is of {directory.exchange}")
        return directory

    def witnesses(self, genesis: Directory) -> Witnesses:
        """Return who the witnesses are, by the word of the council as these entries show it.

        Raises:
            BadStatement: an entry does not hold behind those before it, or the council did not name them.
        """
        council = with_seats(genesis, self.seats)
        return named_witnesses(self.witness_set, council) if self.witness_set else genesis.genesis.witnesses


def plain_anchor(anchor: Anchor) -> Plain:
    """Return it as plain data: its fields."""
    return {
        "genesis": anchor.genesis.hex(),
        "seats": [entry.hex() for entry in anchor.seats],
        "witness_set": anchor.witness_set.hex(),
    }


def read_anchor(found: dict[str, Entry]) -> Anchor:
    """Return what plain_anchor wrote."""
    seats = tuple(each.data() for each in found["seats"].items(most=SEAT_ENTRIES))
    return Anchor(found["genesis"].data(), seats, found["witness_set"].data())
