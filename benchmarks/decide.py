"""Who gets one report: the sender's decision for 140 partners under 200 agreements, and what it takes to load them.

`python -m benchmarks.decide` prints the median of many runs for each shape of rules, beside the time that one
composite signature takes in the same run (every report needs one): a figure that holds on any machine is their ratio.
Must 4 ms, goal 2 ms; what is decided is then written down (nodes/decisions.py), which is measured too.

star       one multilateral agreement with all partners, 199 more that do not reach the recipients
bilateral  139 agreements of the sender, one with each partner, each a little different, and 61 between others
crowded    every pair lies under 200 agreements of all partners, of which only the last permits
named      the same, and every term names its recipients
few        the same as crowded, and the release is for three partners: why the others do not get it is found too
community  a release to a community of all partners, which rests on the last of 200 agreements of all of them
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.table import Line, at_most, show
from exchange.crypto.random import random_bytes
from exchange.crypto.signing import CompositeKey, sign_bytes
from exchange.names import ExchangeName, PartyId
from exchange.policy.agreement import AgreementStatus, EnforcementView, Term, ref_of
from exchange.policy.communities.model import (
    CommunityHead,
    CommunityMember,
    CommunityTerms,
    EpochInForce,
    HeldEpoch,
    MemberRole,
    community_id,
)
from exchange.policy.decide import AgreementInForce, Item, Membership, Role, Rules, Standing, who_gets
from exchange.policy.model import (
    Category,
    CommunityTarget,
    Label,
    LegalBasis,
    OnwardRule,
    PersonalData,
    Purpose,
    Release,
    Target,
    Tlp,
)
from exchange.policy.question import Question
from nodes.decisions import Stage, by_sender, seal_decisions

EXCHANGE = ExchangeName("bench.concord.example")
PARTNERS = 140
AGREEMENTS = 200
NOW_MS = 1_700_000_000_000
PARTIES = tuple(PartyId(chr(65 + number // 26) + chr(65 + number % 26)) for number in range(PARTNERS))
SENDER = PARTIES[0]
COMMUNITY = community_id(bytes(16), SENDER)

TERM = Term(
    purposes=(Purpose.PROTECT_LIFE, Purpose.CONSULAR),
    categories=(Category.TERROR_ATTACK, Category.TRAVEL, Category.ALERT),
    ceiling=Tlp.AMBER_STRICT,
    clause="1",
    about=("ML", "PK"),
)
DENYING = replace(TERM, ceiling=Tlp.CLEAR, purposes=(Purpose.TRAINING,))

LABEL = Label(
    originators=(SENDER,),
    tlp=Tlp.AMBER,
    categories=(Category.TERROR_ATTACK, Category.TRAVEL),
    purposes=(Purpose.PROTECT_LIFE,),
    basis=LegalBasis("mou", "Memorandum"),
    personal_data=PersonalData(present=False),
    onward=OnwardRule.CONSENT,
    max_hops=1,
    release_sha256=bytes(32),
    salt=bytes(16),
    about=("PK",),
)


def agreement(number: int, parties: Sequence[PartyId], *terms: Term) -> AgreementInForce:
    """Return an agreement in force."""
    view = EnforcementView(
        exchange=EXCHANGE,
        agreement_id=number.to_bytes(16, "big"),
        version=1,
        parties=tuple(sorted(parties)),
        terms=terms,
        valid_from_ms=0,
        valid_until_ms=0,
        text_sha256=bytes(32),
        salt=bytes(16),
    )
    return AgreementInForce(ref_of(view), view, AgreementStatus.ACTIVE)


def star() -> list[AgreementInForce]:
    """One agreement of all, and 199 of a few."""
    others = [agreement(2 + n, PARTIES[1 + n % 100 : 4 + n % 100], TERM) for n in range(AGREEMENTS - 1)]
    return [agreement(1, PARTIES, TERM), *others]


def bilateral() -> list[AgreementInForce]:
    """One agreement with each partner, of a dozen kinds, and 61 between others."""
    kinds = [replace(TERM, retention_max_days=30 * (1 + kind)) for kind in range(12)]
    mine = [agreement(n, (SENDER, party), replace(kinds[n % 12], clause=str(n))) for n, party in enumerate(PARTIES[1:])]
    others = [agreement(1_000 + n, PARTIES[1 + n : 3 + n], TERM) for n in range(AGREEMENTS - len(mine))]
    return mine + others


def crowded() -> list[AgreementInForce]:
    """200 agreements of all, of which only the last permits."""
    denying = [agreement(n, PARTIES, DENYING) for n in range(1, AGREEMENTS)]
    return [*denying, agreement(AGREEMENTS, PARTIES, TERM)]


def named() -> list[AgreementInForce]:
    """The same, and every term names its recipients."""
    denying = [agreement(n, PARTIES, replace(DENYING, recipients=PARTIES[1:])) for n in range(1, AGREEMENTS)]
    return [*denying, agreement(AGREEMENTS, PARTIES, replace(TERM, recipients=PARTIES[1:]))]


def few() -> list[AgreementInForce]:
    """The same as crowded; the release says the rest."""
    return crowded()


def community() -> list[AgreementInForce]:
    """The same; who is reached by way of the community gets it under the last."""
    return crowded()


def rules_of(agreements: Sequence[AgreementInForce]) -> Rules:
    """Return rules in which every partner is admitted, and a member of a community that rests on the last agreement."""
    epoch = an_epoch(agreements[-1].ref.id)
    standings = dict.fromkeys(PARTIES, Standing(Membership.ADMITTED, Tlp.RED))
    return Rules.of(EXCHANGE, agreements, standings, communities={COMMUNITY: [epoch]})


def an_epoch(agreement_id: bytes) -> EpochInForce:
    """Return the first epoch of a community of all, as its owner holds it."""
    head = CommunityHead(
        exchange=EXCHANGE,
        origin=bytes(16),
        owner=SENDER,
        epoch=1,
        previous_sha256=b"",
        terms=CommunityTerms("All", agreement_id),
        publishers=(SENDER,),
        members_root=bytes(32),
        members=0,
        at_ms=NOW_MS,
        salt=bytes(16),
    )
    members = {party: CommunityMember(party, MemberRole.MEMBER, 1, bytes(16)) for party in PARTIES}
    held = HeldEpoch(head, bytes(32), bytes(32), members, whole=True)
    return EpochInForce(1, AgreementStatus.ACTIVE, SENDER, held)


def median_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the median of so many calls, in milliseconds of this process: others do not count."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append((time.process_time() - start) * 1000)
    return statistics.median(times)


def decisions_ms(agreements: Sequence[AgreementInForce], to: Sequence[Target], rounds: int) -> float:
    """Return the time of one report's decisions, each round with a label of its own so that nothing is remembered."""
    rules = rules_of(agreements)
    release = Release(to=tuple(to), salt=bytes(16))
    reached, expected = [], PARTNERS - 1 if len(to) == 1 else len(to)

    def work() -> None:
        item = Item.to_send(replace(LABEL, salt=random_bytes(16)), release)
        decisions = who_gets(item, sender=SENDER, rules=rules, now_ms=NOW_MS)
        reached.append(sum(decision.permit for _, decision in decisions))

    took = median_ms(work, rounds)
    if set(reached) != {expected}:
        raise SystemExit(f"a report for {expected} partners reached {set(reached)}")
    return took


def written_ms(agreements: Sequence[AgreementInForce], rounds: int) -> float:
    """Return the time that it takes to put one report's decisions into the row that is stored."""
    rules = rules_of(agreements)
    item = Item.to_send(LABEL, Release(to=(Target(everyone=True),), salt=bytes(16)))
    decisions = who_gets(item, sender=SENDER, rules=rules, now_ms=NOW_MS)
    question = Question(Role.SENDER, SENDER, PARTIES[1], NOW_MS, item, rules)
    key, name = random_bytes(32), random_bytes(32)
    return median_ms(lambda: seal_decisions(key, name, by_sender(Stage.PUSHED, question, 1, decisions)), rounds)


def lines(*, rounds: int) -> list[Line]:
    """Return the figures."""
    key = CompositeKey.generate()
    signature = median_ms(lambda: sign_bytes(key, random_bytes(4096), EXCHANGE.encode()), rounds)
    made = []
    targets = {
        community: [Target(community=CommunityTarget(COMMUNITY, 1))],
        few: [Target(partner=party) for party in PARTIES[1:4]],
    }
    for make in (star, bilateral, crowded, named, few, community):
        to = targets.get(make, [Target(everyone=True)])
        took = decisions_ms(make(), to, rounds)
        what = f"decide, {PARTNERS} partners, {AGREEMENTS} agreements, {make.__name__}"
        beside = f"{took / signature:.1f} composite signatures"
        made.append(Line(what, f"{took:.2f} ms", "4 ms", "2 ms", beside, at_most(took, 4, 2)))
    for make in (star, bilateral):
        took = written_ms(make(), rounds)
        beside = f"{took / signature:.1f} composite signatures"
        what = f"write its decisions down, {make.__name__}"
        made.append(Line(what, f"{took:.2f} ms", "0.5 ms", "", beside, at_most(took, 0.5)))
    return made


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=101, help="calls of each; the median counts")
    show(lines(rounds=parser.parse_args().rounds))


if __name__ == "__main__":
    main()
