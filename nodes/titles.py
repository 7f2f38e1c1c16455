"""Titles of this party's agreements, as answers name them.

Each text is read once, however often it is named, and the store is asked only once it may know another one.
"""

from collections.abc import Iterable, Mapping
from functools import partial

from exchange.policy.agreement_text import parse_agreement_text
from exchange.policy.codec import decode_agreement
from exchange.policy.terms import EnforcementView
from exchange.receipts.codec import decode_agreement_text
from nodes.core import Core
from nodes.store import agreements as store


class Titles:
    """Titles by agreement, kept in memory. For one event loop."""

    def __init__(self, core: Core) -> None:
        """Read the texts that this node keeps."""
        self._core = core
        self._known: dict[bytes, str] = {}
        """By commitment: under one of these a text never changes."""
        self._titles: Mapping[bytes, str] = {}
        self._texts = 0
        """Texts that were taken in since the start."""
        self._as_of: tuple[Mapping[bytes, EnforcementView] | None, int] = (None, 0)

    def forget(self) -> None:
        """Look again at the next call: a text was taken in."""
        self._texts += 1

    async def of(self, ids: Iterable[bytes]) -> Mapping[bytes, str]:
        """Return the titles of those of these agreements whose text is known here; of several versions the newest's."""
        views, texts = self._core.trust.now.views, self._texts
        if self._as_of[0] is not views or self._as_of[1] != texts:
            self._titles = await self._read()
            self._as_of = (views, texts)
        return {each: self._titles[each] for each in ids if each in self._titles}

    async def _read(self) -> Mapping[bytes, str]:
        database = self._core.database
        kept = await database.read(store.with_text)
        for commitment in [commitment for _, commitment in kept if commitment not in self._known]:
            found = await database.read(partial(store.agreement_of, commitment=commitment))
            if found is not None:
                agreement = decode_agreement(decode_agreement_text(found.text).agreement.payload)
                self._known[commitment] = parse_agreement_text(agreement.text).title
        return {agreement_id: self._known[commitment] for agreement_id, commitment in kept if commitment in self._known}
