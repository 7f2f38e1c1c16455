"""A question to the sharing rules: every input of one call of decide(), and as much of it as the answer depends on.

Pure. What is left out shows nobody more of an alliance than the decision took. record.py writes questions down.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from exchange.names import PartyId
from exchange.policy.communities.model import EpochInForce, parse_via
from exchange.policy.consent import Consent
from exchange.policy.decide import decide
from exchange.policy.decision import AgreementInForce, Decision, Item, Role, Rules
from exchange.policy.terms import AgreementStatus


@dataclass(frozen=True, slots=True)
class Question:
    """One call of decide()."""

    role: Role
    sender: PartyId
    recipient: PartyId
    now_ms: int
    item: Item
    rules: Rules

    def answer(self) -> Decision:
        """Decide."""
        return decide(
            self.item,
            sender=self.sender,
            recipient=self.recipient,
            rules=self.rules,
            now_ms=self.now_ms,
            role=self.role,
        )


def relevant(question: Question) -> Question:
    """Return the question with as much of the rules as its answer depends on; the answer is the same."""
    item, rules, pair = question.item, question.rules, {question.sender, question.recipient}
    targets = item.release.to if item.release is not None else ()
    named = {target.community.id for target in targets if target.community is not None}
    via = parse_via(item.slot.via) if item.slot is not None else None
    if via is not None:
        named.add(via[0])
    communities = {name: [_for(pair, each) for each in rules.communities.get(name, ())] for name in sorted(named)}
    owners = {each.owner for epochs in communities.values() for each in epochs}
    if question.role is Role.SENDER:
        cited = _candidates(rules, pair, {target.agreement for target in targets if target.agreement is not None})
    else:
        basis = item.slot.basis if item.slot is not None else None
        found = rules.agreements.get(basis.commitment) if basis is not None else None
        cited = [] if found is None else [found]
    newer = [each for found in cited for each in rules.versions.get(found.ref.id, ()) if _know(each, pair)]
    return replace(
        question,
        item=replace(item, consents=_about(item), uncompared=item.uncompared & {question.recipient}),
        rules=Rules.of(
            rules.exchange,
            {each.ref.commitment: each for each in (*cited, *newer)}.values(),
            {party: standing for party, standing in rules.standings.items() if party in pair | owners},
            as_of_ms=rules.as_of_ms,
            communities={name: epochs for name, epochs in communities.items() if epochs},
        ),
    )


def _candidates(rules: Rules, pair: set[PartyId], ids: set[bytes]) -> list[AgreementInForce]:
    """Return the agreements that a sender may try for this recipient, and those that the release addresses by id."""
    held = [each for party in sorted(pair) for by in (rules.by_party, rules.former) for each in by.get(party, ())]
    addressed = [each for each in rules.agreements.values() if each.ref.id in ids]
    return [
        *(each for each in held if _know(each, pair)),
        *(each for each in addressed if each.status is not AgreementStatus.TERMINATED),
    ]


def _know(agreement: AgreementInForce, pair: set[PartyId]) -> bool:
    return all(agreement.view.knows(party) for party in pair)


def _about(item: Item) -> tuple[Consent, ...]:
    """Return the consents that are about the item or what it is derived from."""
    items = {item.item_hash, *(item.label.derived_from if item.label is not None else ())}
    return tuple(consent for consent in item.consents if consent.item in items)


def together(parts: Sequence[Rules]) -> Rules:
    """Return the rules that several parts of the same rules hold; there is at least one."""
    epochs: dict[bytes, dict[int, EpochInForce]] = {}
    for part in parts:
        for name, known in part.communities.items():
            for each in known:
                epochs.setdefault(name, {}).setdefault(each.epoch, each)
    return Rules.of(
        parts[0].exchange,
        {each.ref.commitment: each for part in parts for each in part.agreements.values()}.values(),
        {party: standing for part in parts for party, standing in part.standings.items()},
        as_of_ms=parts[0].as_of_ms,
        communities={name: known.values() for name, known in epochs.items()},
    )


def _for(pair: set[PartyId], known: EpochInForce) -> EpochInForce:
    """Return an epoch without the members that are not asked about."""
    if known.held is None:
        return known
    members = {party: member for party, member in known.held.members.items() if party in pair}
    return replace(known, held=replace(known.held, members=members, whole=False))
