"""Partners whose fingerprint nobody has compared, and from which traffic light on they get nothing (crypto.md 3.2).

`release.verified_from` in node.toml names the light. A comparison (`concord partner verify`) is of one root: when the
party has another, it counts no more. Whoever cannot be shown to be compared is not: fails closed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from exchange.directory.fold import Directory
from exchange.names import PartyId
from exchange.policy.model import Tlp
from exchange.runtime.database import Database
from nodes.store.partners import Verified, all_verified


@dataclass(frozen=True, slots=True)
class Uncompared:
    """Whom nobody has compared at one moment; a value, for any thread."""

    verified_from: Tlp | None
    """Nobody is asked to compare when it is None."""
    parties: frozenset[PartyId]

    def at(self, tlp: Tlp) -> frozenset[PartyId]:
        """Return the partners that get no report of this light."""
        return self.parties if self.verified_from is not None and tlp >= self.verified_from else frozenset()


class Comparisons:
    """What people have compared, in memory as it is stored. For one event loop."""

    def __init__(self, verified_from: Tlp | None, directory: Callable[[], Directory]) -> None:
        """Nothing is compared before `load`; `directory` is asked at each call."""
        self._from = verified_from
        self._directory = directory
        self._roots: dict[str, bytes] = {}

    async def load(self, database: Database) -> None:
        """Take up what is stored."""
        self._roots = {row.party: row.root_key_id for row in (await database.read(all_verified)).values()}

    def note(self, row: Verified) -> None:
        """Take in a comparison that is stored."""
        self._roots[row.party] = row.root_key_id

    def now(self) -> Uncompared:
        """Return whom nobody has compared, as the directory shows their roots."""
        if self._from is None:
            return Uncompared(None, frozenset())
        parties = self._directory().parties()
        missing = (each.party for each in parties if self._roots.get(each.party) != each.root.key_id)
        return Uncompared(self._from, frozenset(missing))

    def at(self, tlp: Tlp) -> frozenset[PartyId]:
        """Return the partners that get no report of this light now."""
        return self.now().at(tlp)
