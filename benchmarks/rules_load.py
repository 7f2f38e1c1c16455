"""How long a rule set of 10,000 clauses takes to load, as a node loads it at start.

Work: read every stored view, check the signature of each party's root under it, decode it strictly, and put the rules
into the order in which decisions try them. Beside it, in the same run, the floor: the signature checks alone.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from benchmarks.table import Line, at_most, show
from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import add_signature, payload_type, sign, verified_signers
from exchange.crypto.signing import CompositeKey
from exchange.limits import AGREEMENT_TERMS, MIB
from exchange.names import ExchangeName, PartyId
from exchange.policy.agreement import AgreementRef, AgreementStatus, EnforcementView, Term, commitment
from exchange.policy.codec import decode_view, encode_view
from exchange.policy.decision import AgreementInForce, Rules
from exchange.policy.model import Category, Purpose, Tlp

EXCHANGE = ExchangeName("bench.concord.example")
CLAUSES = 10_000
PARTIES = (PartyId("XA"), PartyId("XV"))
VIEW_TYPE = "enforcement-view"


def a_view(number: int) -> EnforcementView:
    """Return a view with as many clauses as one may have."""
    term = Term(
        purposes=(Purpose.PROTECT_LIFE, Purpose.CONSULAR),
        categories=(Category.TERROR_ATTACK, Category.TRAVEL, Category.ALERT),
        ceiling=Tlp.AMBER_STRICT,
        clause="",
        senders=PARTIES[:1],
        recipients=PARTIES[1:],
        about=("ML", "NO", "PK"),
    )
    terms = tuple(replace(term, clause=f"{number}.{at}") for at in range(AGREEMENT_TERMS))
    return EnforcementView(EXCHANGE, number.to_bytes(16, "big"), 1, PARTIES, terms, 1, 0, bytes(32), bytes(16))


def load(stored: list[bytes], keys: dict[bytes, CompositeKey]) -> Rules:
    """Return the rules of what is stored, verified."""
    found = []
    for data in stored:
        signed = decode_signed(data, limit=2 * MIB, what="a stored view")
        verified_signers(signed, lambda key_id: keys[key_id].public, expected_type=VIEW_TYPE, context=EXCHANGE)
        view = decode_view(signed.payload)
        ref = AgreementRef(view.agreement_id, view.version, commitment(signed.payload, view.salt))
        found.append(AgreementInForce(ref, view, AgreementStatus.ACTIVE))
    return Rules.of(EXCHANGE, found, {})


def _check_only(stored: list[bytes], keys: dict[bytes, CompositeKey]) -> None:
    for data in stored:
        signed = decode_signed(data, limit=2 * MIB, what="a stored view")
        verified_signers(signed, lambda key_id: keys[key_id].public, expected_type=VIEW_TYPE, context=EXCHANGE)


def median_s(work: Callable[[], object], rounds: int = 5) -> float:
    """Return the median of several rounds, in seconds of this process: others do not count."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return sorted(taken)[rounds // 2]


def lines() -> list[Line]:
    """Return the figure."""
    roots = [CompositeKey.generate() for _ in PARTIES]
    keys = {key.public.key_id: key for key in roots}
    stored = []
    for number in range(-(-CLAUSES // AGREEMENT_TERMS)):
        signed = sign(roots[0], payload_type(VIEW_TYPE), encode_view(a_view(number)), context=EXCHANGE)
        stored.append(encode_signed(add_signature(signed, roots[1], context=EXCHANGE)))
    clauses = sum(len(found.view.terms) for found in load(stored, keys).agreements.values())
    whole, floor = median_s(lambda: load(stored, keys)), median_s(lambda: _check_only(stored, keys))
    what = f"load {clauses:,} clauses in {len(stored)} agreements"
    beside = f"{whole / floor:.1f} times its signature checks alone"
    return [Line(what, f"{whole:.2f} s", "1 s", "", beside, at_most(whole, 1))]


if __name__ == "__main__":
    show(lines())
