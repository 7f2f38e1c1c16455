"""Reader policies: tell partners by which words this node keeps reader rules, and know what they told.

A party without scales and attributes, that never had any, says nothing. Otherwise every partner with which an agreement
is in force is told once, and again when node.toml says something else. What partners told was verified on arrival
(nodes/controls.py); the newest of each counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.envelope.model import Lane
from exchange.limits import STATEMENT_BYTES
from exchange.names import ID_BYTES, PartyId
from exchange.policy.decision import Rules
from exchange.policy.model import ReaderRule
from exchange.policy.readers import ReaderTerms, reader_sentence, unknown_words
from exchange.policy.steps import in_force
from exchange.reader_policy.codec import decode_reader_policy, encode_reader_policy
from exchange.reader_policy.model import ReaderPolicy
from exchange.reader_policy.verify import READER_POLICY
from exchange.runtime.logs import get_logger
from nodes.core import Core
from nodes.receipts import add_control
from nodes.rounds import Rounds
from nodes.store import readers as store
from nodes.store.readers import KeptPolicy


class ReaderPolicies:
    """Reader policies at one node. For one event loop."""

    def __init__(self, core: Core, terms: ReaderTerms, *, max_age_days: int, wake: Callable[[], None]) -> None:
        """`terms` and `max_age_days` are what this node says; `wake` tells the sender that there is work."""
        self._core = core
        self._terms = terms
        self._max_age_days = max_age_days
        self._wake = wake
        # At once when the directory has grown: an agreement may have come into force.
        failed = partial(get_logger(__name__).info, "reader-policy.tell-later")
        self.rounds = Rounds(self.tell, every_s=core.timing.obligations_s, failed=failed)

    async def tell(self) -> int:
        """Place what partners have not been told in the outbox; return how many of them there are."""
        core = self._core
        own = (await self.known()).get(core.me)
        if own is None and not (self._terms.scales or self._terms.attributes):
            return 0
        if own is None or (own.terms, own.max_age_days) != (self._terms, self._max_age_days):
            at_ms = max(core.clock(), own.at_ms + 1 if own else 0)
            own = ReaderPolicy(core.exchange, core.me, self._terms, self._max_age_days, at_ms, random_bytes(ID_BYTES))
        told = await core.database.read(store.told)
        partners = agreement_partners(core.trust.rules_now(), core.me, core.clock())
        due = sorted(party for party in partners if told.get(party, 0) < own.at_ms)
        if due:
            # Signed anew each time: a control statement that waits for somebody takes no further recipients.
            fresh = replace(own, salt=random_bytes(ID_BYTES))
            signed = await core.signer.sign(READER_POLICY, encode_reader_policy(fresh))
            await core.database.write(partial(_store, policy=fresh, signed=signed, due=due, now_ms=core.clock()))
            self._wake()
        return len(due)

    async def known(self) -> dict[str, ReaderPolicy]:
        """Return the newest policy of each party that has told one, this one included."""
        kept = await self._core.database.read(store.policies)
        return {party: _policy(each) for party, each in kept.items()}


def agreement_partners(rules: Rules, me: PartyId, now_ms: int) -> set[PartyId]:
    """Return the parties with which an agreement is in force."""
    return {
        party
        for found in rules.agreements.values()
        if me in found.view.parties and not in_force(found, rules.exchange, now_ms)
        for party in found.view.parties
        if party != me
    }


def warnings(rule: ReaderRule | None, party: PartyId, known: Mapping[str, ReaderPolicy]) -> list[str]:
    """Return why perhaps nobody at this partner may read a report under this rule; empty when nothing speaks for it."""
    if rule is None or not (rule.clearance_scale or rule.all_of or rule.any_of):
        return []
    policy = known.get(party)
    if policy is None:
        return [f"{party} has not said which clearances and attributes its readers have: perhaps nobody may read it"]
    found = unknown_words(rule, policy.terms)
    return [f"nobody at {party} may be able to read it: {reader_sentence(each)}" for each in found]


def _policy(kept: KeptPolicy) -> ReaderPolicy:
    return decode_reader_policy(decode_signed(kept.statement, limit=STATEMENT_BYTES, what="a stored policy").payload)


def _store(connection: Connection, policy: ReaderPolicy, signed: Signed, due: Sequence[str], now_ms: int) -> None:
    store.keep_policy(connection, KeptPolicy(policy.party, policy.at_ms, encode_signed(signed)))
    store.set_told(connection, due, policy.at_ms)
    add_control(connection, signed, due, lane=Lane.ROUTINE, now_ms=now_ms)
