"""The relay answers alike of a recipient that does not exist and of one that is not cleared, in the same time."""

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

from exchange.crypto.signed import VerifiedRoots
from exchange.directory import issue
from exchange.directory.prekeys import day_of
from exchange.directory.statements import AgreementStatus
from exchange.envelope.seal import Sealed
from exchange.names import PartyId
from exchange.policy.agreement import AgreementRef, commitment
from exchange.policy.changes.course import begin
from exchange.policy.codec import encode_view
from exchange.relay.accept import Frame, Refused
from exchange.relay.agreement_state import AgreementState
from exchange.relay.directory import Snapshot, rules_of
from exchange.relay.submit import NOT_DELIVERABLE, STEP_DECIDE, Judge
from tests.support.directory_builders import EXCHANGE, NOON, an_exchange, party_keys
from tests.support.relay_world import a_sealed, a_view, head_of

NOW = NOON + 60_000
PAIRS = 1_000
TOLERANCE = 0.10
MEMBERS = ("XA", "XV", "XO")


class Bench:
    """A directory of three partners, of whom XV and XO have an agreement, and a judge of what XA submits."""

    def __init__(self) -> None:
        exchange = an_exchange(MEMBERS, prekeys_from=day_of(NOON))
        view = a_view(("XV", "XO"), valid_from_ms=NOON, valid_until_ms=0)
        shown = commitment(encode_view(view), view.salt)
        exchange.add(
            issue.make_agreement_commit(
                exchange=EXCHANGE,
                place=exchange.directory.next_seq_prev("relay"),
                commitment=shown,
                status=AgreementStatus.ACTIVE,
                now_ms=NOON,
                promise_key=exchange.promise,
            )
        )
        self.head = head_of(exchange)
        self.basis = AgreementRef(view.agreement_id, view.version, shown)
        agreements = AgreementState({shown: begin(view)}, {shown: view})
        rules = rules_of(exchange.directory, agreements, {})
        self.snapshot = Snapshot(exchange.directory, rules, agreements, {})
        published = {name: party_keys(name).prekey(day_of(NOW)).public.key_id for name in MEMBERS}
        self.judge = Judge(_known(published), VerifiedRoots())

    def sealed(self, recipient: str, *, cited: AgreementRef | None = None) -> bytes:
        made: Sealed = a_sealed(party_keys("XA"), [recipient], cited or self.basis, self.head, at_ms=NOW - 1_000)
        return made.submission_bytes

    def judged(self, submission: bytes) -> Frame:
        return self.judge.frame([submission], sender=party_keys("XA").party, snapshot=self.snapshot, now_ms=NOW)


def _known(published: dict[str, bytes]) -> Callable[[Snapshot, PartyId, int], bytes | None]:
    return lambda _, party, __: published.get(party)


def test_unknown_and_not_cleared_are_one_refusal() -> None:
    bench = Bench()
    unknown_agreement = replace(bench.basis, commitment=b"x" * 32)
    answers = set()
    for submission in (
        bench.sealed("XX"),
        bench.sealed("XO"),
        bench.sealed("XO", cited=unknown_agreement),
        bench.sealed("XX", cited=unknown_agreement),
    ):
        (refused,) = bench.judged(submission).judged
        assert isinstance(refused, Refused)
        answers.add((refused.reason, refused.step, refused.clause, refused.recipient, refused.final))
    assert answers == {(NOT_DELIVERABLE, STEP_DECIDE, "", "", True)}


def test_unknown_and_not_cleared_take_the_same_time() -> None:
    bench = Bench()
    pair = (bench.sealed("XX"), bench.sealed("XO"))
    apart = [_measure(bench, pair)]
    if apart[0] >= TOLERANCE:
        # Once more: the machine does other work, too.
        apart.append(_measure(bench, pair))
    assert min(apart) < TOLERANCE, apart


def _measure(bench: Bench, pair: tuple[bytes, bytes]) -> float:
    """Return how far the medians of both lie apart, over interleaved pairs."""
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(PAIRS):
        for which in (0, 1) if number % 2 else (1, 0):
            start = time.perf_counter()
            bench.judged(pair[which])
            took[which].append(time.perf_counter() - start)
    one, other = median(took[0]), median(took[1])
    return abs(one - other) / max(one, other)
