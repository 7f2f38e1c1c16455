"""The relay's keys as an evidence file shows them: those of the genesis, then each entry by which others were named.

Pure. The council counts these statements, so their order needs no log; that the file leaves none out, a node says.
Entries that roots of the genesis did not sign show keys all the same, and the file is then no proof that they are the
relay's: whoever checks it compares them with a node.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed
from exchange.directory.fold import Directory
from exchange.directory.rules import Refused, read
from exchange.directory.seats import named_keys
from exchange.directory.statements import RelayKeys, RelayKeySet
from exchange.errors import BadProof, BadSignature, BadStatement
from exchange.limits import STATEMENT_BYTES
from exchange.policy.fields import instant_text
from exchange.policy.strict_json import Entry
from exchange.tlog.checkpoint import Checkpoint
from exchange.tlog.signing import open_checkpoint
from nodes.evidence_check import Check, Result

ENTRIES_MOST = 32
"""Of one file; a relay's keys change every few years."""


@dataclass(frozen=True, slots=True)
class ShownSet:
    """Keys, and what is said of them."""

    keys: RelayKeys
    statement: RelayKeySet | None
    """None for those of the genesis."""
    doubt: str
    """Why the file does not prove that the council named them; empty when it does."""
    stolen_since_ms: int
    """Since when they may have been in other hands, by the statement that ended them; 0 when none says so."""


@dataclass(frozen=True, slots=True)
class ShownKeys:
    """All keys of the relay that a file shows, in order."""

    sets: tuple[ShownSet, ...]

    def promised_by(self, signed: Signed) -> ShownSet:
        """Return the set whose promise key claims to have signed; BadSignature when none does."""
        claimed = {signature.key_id for signature in signed.signatures}
        for each in self.sets:
            if each.keys.promise.key_id in claimed:
                return each
        raise BadSignature("not signed with a promise key that the file shows")

    def promise_key(self, signed: Signed) -> PublicKey:
        """Return the promise key that claims to have signed; as above."""
        return self.promised_by(signed).keys.promise

    def opened(self, note: str, origin: str) -> tuple[Checkpoint, ShownSet]:
        """Return a checkpoint that one of the sets signed, and which; BadProof when none did."""
        error = BadProof("the file shows no keys")
        for each in self.sets:
            try:
                return open_checkpoint(note, origin, each.keys.log), each
            except BadProof as found:
                error = found
        raise error

    def checks(self) -> Iterator[Check]:
        """Say of each set behind the genesis whether the council named it."""
        for each in self.sets:
            if each.statement is None:
                continue
            when, key = instant_text(each.statement.common.not_before_ms), each.keys.promise.key_id.hex()[:16]
            if each.doubt:
                yield Check("relay's keys", Result.NOT_CHECKED, f"promise key {key}: {each.doubt}; compare with a node")
            else:
                detail = f"the council named promise key {key}, with those of the logs, on {when}"
                yield Check("relay's keys", Result.HOLDS, detail)


def shown_keys(genesis: Directory, entries: Sequence[bytes]) -> ShownKeys:
    """Return the keys of a genesis and of entries that name others.

    Raises:
        BadStatement: an entry names no keys of a relay of this exchange.
    """
    found = sorted((_named(entry, genesis) for entry in entries), key=lambda each: each[0].common.seq)
    ended = [*(statement.stolen_since_ms for statement, _ in found), 0]
    first = ShownSet(genesis.relay_keys, None, "", ended[0])
    sets = (
        ShownSet(statement.keys, statement, doubt, stolen)
        for (statement, doubt), stolen in zip(found, ended[1:], strict=True)
    )
    return ShownKeys((first, *sets))


def shown_at(keys: ShownKeys, entry: bytes) -> int:
    """Return the place, among the sets of a file, of the one that an entry names; those before it end there."""
    statement = _read(entry)
    return next(place for place, each in enumerate(keys.sets) if each.statement == statement)


def known_keys(directory: Directory) -> ShownKeys:
    """Return the relay's keys as a replayed directory shows them."""
    history = directory.relay_key_history
    stolen = [*(each.stolen_since_ms for each in history[1:]), 0]
    return ShownKeys(tuple(ShownSet(each.keys, None, "", since) for each, since in zip(history, stolen, strict=True)))


def suspect(shown: ShownSet, at_ms: int, what: str) -> Iterator[Check]:
    """Say that what was signed at a moment may be a thief's word, when the council says so of the keys."""
    if shown.stolen_since_ms and at_ms >= shown.stolen_since_ms:
        since = instant_text(shown.stolen_since_ms)
        yield Check("theft", Result.NOT_CHECKED, f"{what}: these keys may have been in other hands since {since}")


def plain_entries(entries: Sequence[bytes]) -> list[str]:
    """Return entries as a file holds them."""
    return [entry.hex() for entry in entries]


def read_entries(entry: Entry) -> tuple[bytes, ...]:
    """Return the entries of a file; nothing of them is verified."""
    found = tuple(each.data() for each in entry.items(most=ENTRIES_MOST))
    if any(len(each) > STATEMENT_BYTES for each in found):
        raise entry.wrong("an entry is too long")
    return found


def _named(entry: bytes, genesis: Directory) -> tuple[RelayKeySet, str]:
    try:
        return named_keys(entry, genesis), ""
    except BadStatement as error:
        statement = _read(entry)
        if statement.common.exchange != genesis.exchange:
            raise BadStatement(f"the entry is of {statement.common.exchange}") from error
        return statement, str(error)


def _read(entry: bytes) -> RelayKeySet:
    try:
        _, name, statement = read(entry)
    except Refused as error:
        raise BadStatement(str(error)) from error
    if not isinstance(statement, RelayKeySet):
        raise BadStatement(f"a {name} statement names no keys of the relay")
    return statement
