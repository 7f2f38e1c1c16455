"""The few entries that show who sits in the council, for machines that hold no log: offline roots, newcomers, proofs.

While every council party has the root that the genesis names, the genesis alone shows it. After a root was followed by
another, or ended, these entries behind the genesis bring a Directory to the same council; then it is known whether that
council named a set of witnesses, or keys of the relay. That no later entry changed any of it, only the whole log shows.
Pure.
"""

from collections.abc import Iterable, Sequence

from exchange.crypto.codec import decode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import payload_type, verified_signers
from exchange.directory.fold import Directory
from exchange.directory.rules import Refused, read
from exchange.directory.statements import (
    Admission,
    Genesis,
    Invitation,
    PartyRoot,
    RelayKeySet,
    Revocation,
    RootRollover,
    Statement,
    Witnesses,
    WitnessSet,
)
from exchange.errors import BadSignature, BadStatement, ExchangeError
from exchange.limits import STATEMENT_BYTES
from exchange.names import COUNCIL, PartyId

SEAT_ENTRIES = 64
"""Most that are taken in; a council's roots change every few years."""

_TYPES = frozenset(map(payload_type, ("invitation", "party-root", "admission", "root-rollover", "revocation")))


def seat_entries(entries: Iterable[bytes], directory: Directory) -> tuple[bytes, ...]:
    """Return what of a log, or of its beginning, must follow the genesis; nothing while no council root has changed.

    `directory` is what the whole log comes to.
    """
    if set(directory.council_roots()) == {member.root.key_id for member in directory.genesis.council}:
        return ()
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


def named_witnesses(entry: bytes, council: Directory) -> Witnesses:
    """Return the witnesses that an entry names, by the word of the council as it sits in `council`.

    That their parties are members, and nobody was named since, these few entries do not show.

    Raises:
        BadStatement: it names no witnesses, too few parties of the council signed it, or its quorum is below the
            genesis's.
    """
    try:
        signed, name, statement = read(entry)
        if not isinstance(statement, WitnessSet) or statement.common.issuer != COUNCIL:
            raise BadStatement(f"a {name} statement names no witnesses")
        begins_ms, seats = statement.common.not_before_ms, council.council_roots()

        def lookup(key_id: bytes) -> PublicKey | None:
            record = council.key_record(key_id)
            early = record is None or begins_ms < record.counts_from_ms
            return None if early or key_id not in seats else seats[key_id][1]

        signers = verified_signers(signed, lookup, expected_type=name, context=council.exchange)
    except (Refused, BadSignature) as error:
        raise BadStatement(f"the council did not name these witnesses: {error}") from error
    parties, needed = {seats[key_id][0] for key_id in signers}, council.genesis.threshold
    if len(parties) < needed:
        raise BadStatement(f"{len(parties)} council parties named these witnesses; {needed} must")
    least = council.genesis.witnesses.quorum
    if statement.witnesses.quorum < least:
        raise BadStatement(f"a quorum of {statement.witnesses.quorum}; the genesis asks for {least}")
    return statement.witnesses


def named_keys(entry: bytes, directory: Directory) -> RelayKeySet:
    """Return the keys of the relay that an entry names, if as many parties of the council signed it as must.

    `directory` shows the council. At which place the entry stands, and whether a later one took its place, only the
    whole log says.

    Raises:
        BadStatement: another statement, of another exchange, or too few roots signed it.
    """
    try:
        signed, name, statement = read(entry)
    except Refused as error:
        raise BadStatement(str(error)) from error
    if not isinstance(statement, RelayKeySet):
        raise BadStatement(f"a {name} statement names no keys of the relay")
    seats = directory.council_roots(ever=True)
    roots = {key_id: public for key_id, (_, public) in seats.items()}
    try:
        signers = verified_signers(signed, roots.get, expected_type=name, context=directory.exchange)
    except BadSignature as error:
        raise BadStatement(f"roots of this council did not name the relay's keys: {error}") from error
    parties = {seats[key_id][0] for key_id in signers}
    if len(parties) < directory.genesis.threshold:
        raise BadStatement(f"{len(parties)} council parties named the relay's keys; {directory.genesis.threshold} must")
    return statement


def _valid(entry: bytes, index: int, directory: Directory) -> tuple[bytes, Statement] | None:
    try:
        if decode_signed(entry, limit=STATEMENT_BYTES, what="a directory entry").payload_type not in _TYPES:
            return None
        signed, _, statement = read(entry)
    except (Refused, ExchangeError):
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
