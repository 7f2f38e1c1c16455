"""Replay what this node sent against a draft of an agreement: what would newly flow, and what would stop.

Reads some reports at a time and keeps none, so that years of them need no more memory than a page. Stores and sends
nothing. A report whose content is destroyed cannot be replayed, and is counted.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from exchange.crypto.random import random_bytes
from exchange.errors import BadInput
from exchange.names import HASH_BYTES, ID_BYTES
from exchange.policy.agreement import Agreement, EnforcementView, view_of
from exchange.policy.agreement_text import parse_agreement_text
from exchange.policy.decision import Rules
from exchange.policy.simulate import Flow, changes, draft_view, with_draft
from nodes import vault
from nodes.agreements import Agreements
from nodes.core import Core
from nodes.store import reports
from nodes.store.rows import Direction, Report

PAGE = 100
"""Reports that are opened at once."""

DAYS_MOST = 3_650
DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Batch:
    """What a page of reports came to."""

    replayed: int
    destroyed: int
    flows: Sequence[tuple[bytes, Flow]]
    """By item."""


class Simulation:
    """Replays reports of one node. For one event loop."""

    def __init__(self, core: Core, agreements: Agreements) -> None:
        """Read from the node's store."""
        self._core = core
        self._agreements = agreements

    async def run(
        self,
        text: bytes,
        *,
        replaces: bytes | None,
        days: int,
        among: Callable[[Collection[bytes]], Awaitable[set[bytes]]],
    ) -> AsyncIterator[Batch]:
        """Yield what a draft would change for the reports of so many days, newest first, a page at a time.

        `among` sifts items: what it leaves out is neither replayed nor counted, and a page of nothing else is not told.

        Raises:
            BadAgreement: the text does not parse.
            BadInput: days out of range, or a draft in which this party has no part.
        """
        if not 1 <= days <= DAYS_MOST:
            raise BadInput(f"{days} days; 1 to {DAYS_MOST} can be replayed")
        core, now_ms = self._core, self._core.clock()
        draft = self._draft(text, replaces)
        if core.me not in draft.parties:
            raise BadInput(f"{core.me} is no party of the draft: nothing of ours would flow under it")
        rules = replace(core.trust.rules_now(), as_of_ms=now_ms)
        drafted, before, since_ms = with_draft(rules, draft), 0, now_ms - days * DAY_MS
        while True:
            page = await core.database.read(
                partial(reports.list_reports, direction=Direction.SENT, limit=PAGE, before=before)
            )
            recent = [each for each in page if each.stored_ms >= since_ms]
            readable = await among([each.item for each in recent])
            wanted = [each for each in recent if each.item in readable]
            if wanted:
                keys = await core.keybox.keys([each.item for each in wanted])
                work = partial(self._replay, wanted, keys, rules, drafted)
                yield await asyncio.get_running_loop().run_in_executor(core.executor, work)
            if len(recent) < PAGE:
                return
            before = page[-1].number

    def _draft(self, text: bytes, replaces: bytes | None) -> EnforcementView:
        terms = parse_agreement_text(text)
        agreement = Agreement(
            exchange=self._core.exchange,
            agreement_id=replaces or random_bytes(ID_BYTES),
            version=terms.version,
            previous_sha256=bytes(HASH_BYTES) if terms.version > 1 else b"",
            parties=terms.parties,
            text=text,
            salt=random_bytes(ID_BYTES),
        )
        old = [each.now for each in self._agreements.courses.values() if each.ref.id == replaces]
        return draft_view(view_of(agreement), old)

    def _replay(self, page: Sequence[Report], keys: Mapping[bytes, bytes], now: Rules, draft: Rules) -> Batch:
        flows: list[tuple[bytes, Flow]] = []
        destroyed = 0
        for report in page:
            key = keys.get(report.item)
            if key is None or not report.record:
                destroyed += 1
                continue
            opened = vault.open_report(key, report.item, report.record)
            if opened.release is not None:
                found = changes(
                    opened.label,
                    opened.release,
                    sender=self._core.me,
                    now=now,
                    draft=draft,
                    authored_ms=report.authored_ms,
                )
                flows += [(report.item, flow) for flow in found]
        return Batch(len(page) - destroyed, destroyed, flows)
