"""The few entries that show who sits in the council, for machines that hold no log: offline roots, newcomers.

While every council party has the root that the genesis names, the genesis alone shows it. After a root was followed by
another, or ended, these entries behind the genesis bring a Directory to the same council. Pure.
"""

from collections.abc import Sequence

from exchange.directory.fold import Directory
from exchange.directory.rules import Refused, read
from exchange.directory.statements import Admission, Genesis, Invitation, PartyRoot, Revocation, RootRollover, Statement
from exchange.errors import BadStatement
from exchange.names import COUNCIL, PartyId

SEAT_ENTRIES = 64
"""Most that are taken in; a council's roots change every few years."""


def seat_entries(entries: Sequence[bytes], directory: Directory) -> tuple[bytes, ...]:
    """Return what of a whole log must follow the genesis; nothing while no council root has changed.

    `directory` is what the log comes to.
    """
    valid = [found for index, entry in enumerate(entries) if (found := _valid(entry, index, directory)) is not None]
    seats = directory.council_roots(ever=True)
    changed = {
        statement.party
        for _, statement in valid
        if isinstance(statement, RootRollover | Revocation) and _ends(statement) in seats
    }
    return tuple(entry for entry, statement in valid if _shows(statement, changed, frozenset(seats)))


def with_seats(genesis: Directory, entries: Sequence[bytes]) -> Directory:
    """Return a directory of the genesis and these entries.

    Raises:
        BadStatement: too many, or one that does not hold behind those before it.
    """
    if len(entries) > SEAT_ENTRIES:
        raise BadStatement(f"{len(entries)} entries on the council's seats; {SEAT_ENTRIES} are the most")
    directory = genesis.fork()
    directory.check_all(entries, None)
    for entry in entries:
        directory.apply(entry, directory.size)
    return directory


def _valid(entry: bytes, index: int, directory: Directory) -> tuple[bytes, Statement] | None:
    try:
        signed, _, statement = read(entry)
    except Refused:
        return None
    return (entry, statement) if directory.index_of_payload(signed.payload) == index else None


def _ends(statement: RootRollover | Revocation) -> bytes:
    return statement.old_root_key_id if isinstance(statement, RootRollover) else statement.key_id


def _shows(statement: Statement, changed: set[PartyId], seats: frozenset[bytes]) -> bool:
    match statement:
        case Genesis():
            return False
        case Invitation() | Admission() | RootRollover():
            return statement.party in changed
        case PartyRoot():
            return statement.common.issuer in changed
        case Revocation():
            return statement.common.issuer in (COUNCIL, statement.party) and statement.key_id in seats
        case _:
            return False
