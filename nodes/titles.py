"""Titles of this party's agreements, as answers name them: each text is read once, however often it is named."""

from collections.abc import Mapping
from functools import partial

from exchange.policy.agreement_text import parse_agreement_text
from exchange.policy.codec import decode_agreement
from exchange.receipts.codec import decode_agreement_text
from exchange.runtime.database import Database
from nodes.store import agreements as store


class Titles:
    """Titles by agreement, kept in memory. For one event loop."""

    def __init__(self, database: Database) -> None:
        """Read texts from `database`."""
        self._database = database
        self._known: dict[bytes, str] = {}
        """By commitment: under one of these a text never changes."""

    async def all(self) -> Mapping[bytes, str]:
        """Return the titles of the agreements whose text is known here, by id; of several versions the newest's."""
        kept = await self._database.read(store.with_text)
        for commitment in [commitment for _, commitment in kept if commitment not in self._known]:
            found = await self._database.read(partial(store.agreement_of, commitment=commitment))
            if found is not None:
                agreement = decode_agreement(decode_agreement_text(found.text).agreement.payload)
                self._known[commitment] = parse_agreement_text(agreement.text).title
        return {agreement_id: self._known[commitment] for agreement_id, commitment in kept if commitment in self._known}
