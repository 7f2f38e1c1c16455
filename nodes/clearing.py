"""Which reports a caller may read: the one place that applies reader rules to people.

A rule is that of the label, kept beside each version. Who pushed a version may always read it: a person who wrote
something does not learn from it. The owner of an open node is nobody in particular, so any condition denies. A version
whose rule is not known is read by nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from exchange.crypto.random import random_bytes
from exchange.names import HASH_BYTES
from exchange.policy.model import ReaderRule, Tlp
from exchange.policy.readers import Reader, ReaderTerms, may_read
from nodes import vault
from nodes.caller import Caller
from nodes.store import approvals, readers

NOBODY = ReaderRule(named=("(nobody)",))
"""No operator can have this name."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version that somebody asked for, and what decides whether it is shown."""

    item: bytes
    tlp: int
    rule: bytes | None
    """Sealed; None when it is not known."""
    author: str


class Clearing:
    """Reader rules of one node."""

    def __init__(self, master: bytes, terms: ReaderTerms) -> None:
        """`terms` are the words with which this party describes its readers."""
        self._master = master
        self._terms = terms
        self.decoy = self._decoy()

    def _decoy(self) -> Candidate:
        """Return a version that is not here and that nobody may read: what is asked about when there is nothing."""
        item = random_bytes(HASH_BYTES)
        return Candidate(item, int(Tlp.RED), vault.seal_readers(self._master, item, NOBODY), "")

    def permits(self, caller: Caller, candidate: Candidate) -> bool:
        """Whether this caller may read this version."""
        if candidate.rule is None:
            return False
        rule = vault.open_readers(self._master, candidate.item, candidate.rule)
        permit = self.reads(caller, Tlp(candidate.tlp), rule)
        return permit or candidate.author == caller.name != ""

    def reads(self, caller: Caller, tlp: Tlp, rule: ReaderRule | None) -> bool:
        """Whether this caller may read what bears this light and this rule."""
        return may_read(rule, tlp=tlp, reader=_reader(caller), terms=self._terms).permit


def candidates(connection: Connection, found: Mapping[bytes, int]) -> Sequence[Candidate]:
    """Return what decides on each of these versions, of which the TLP is given."""
    rules, authors = readers.rules_of(connection, list(found)), approvals.authors_of(connection, list(found))
    return [Candidate(item, tlp, rules.get(item), authors.get(item, "")) for item, tlp in found.items()]


def _reader(caller: Caller) -> Reader:
    return Reader("" if caller.is_owner else caller.name, caller.clearances, caller.attributes)
