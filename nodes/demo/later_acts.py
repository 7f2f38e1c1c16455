"""The demo's scenarios s05, s06 and s12: a protected source, an embargo, and a member that is stopped.

An act returns what it has shown, as in nodes/demo/acts.py.
"""

from functools import partial

from nodes.demo import enrol
from nodes.demo.acts import all_receipted, expect
from nodes.demo.exchange import Exchange
from nodes.demo.stage import Proven
from nodes.node_client import connect
from nodes.v1 import node_service_pb2 as pb

EMBARGO_S = 24
"""A day: hours play as seconds."""

MOMENT_S = 0.5

STOPPED = "XT"


def source_is_protected(exchange: Exchange) -> Proven:
    """s05: XA gets the assessment with the detail of its source, XO a variant without; XV signs both."""
    whole, variant = "s05-quetta-assessment", "s05-quetta-assessment-xo"
    with exchange.stage.step("XV pushes its assessment to XA, and a variant without the source to XO"):
        for name, party in ((whole, "XA"), (variant, "XO")):
            exchange.push("XV", name)
            all_receipted(exchange, name, {party})
    expect(exchange.holders(whole) == ["XA"], "XA alone holds the detail of the source")
    given, cut = exchange.shown("XA", whole), exchange.shown("XO", variant)
    expect(given is not None and b"source_detail" in given.content, "XA has the detail")
    expect(cut is not None and b"source_detail" not in cut.content, "XO's bytes do not hold it")
    size = len(cut.content) if cut is not None else 0
    return Proven("a source stays protected", f"the detail is not hidden in XO's {size:,} bytes: it is not in them")


def embargo_begins(exchange: Exchange) -> Proven:
    """s06: a kidnapping is told to the host-country cell at once; two more partners must wait a day."""
    at_once, later = "s06-mali-kidnapping", "s06-mali-kidnapping-later"
    with exchange.stage.step(
        "XA tells XM of a kidnapping (TLP:RED); the later form for XV and XO is signed, and waits"
    ):
        exchange.push("XA", at_once)
        exchange.push("XA", later)
        all_receipted(exchange, at_once, {"XM"})
    rows = {row.partner: row.state for row in exchange.trace(later).recipients if row.state != "denied"}
    expect(rows == {"XV": "waiting", "XO": "waiting"}, "nothing has left for XV and XO")
    expect(exchange.holders(at_once) == ["XM"], "XM alone holds it")
    return Proven("named recipients first", "XM holds it at once; for XV and XO it waits at XA's node")


def embargo_ends(exchange: Exchange) -> Proven:
    """s06: a day later, which plays as 24 seconds, the later form goes by itself."""
    later = "s06-mali-kidnapping-later"
    with exchange.stage.step("the embargo ends; the later form goes to XV and XO by itself"):
        all_receipted(exchange, later, {"XV", "XO"})
    trace = exchange.trace(later)
    sealed_ms = min(event.at_ms for event in trace.events if event.event == "sealed")
    waited_s = (sealed_ms - trace.summary.authored_ms) / 1000
    # Its time was set a moment before it was signed.
    expect(waited_s > EMBARGO_S - MOMENT_S, f"it was sealed after {EMBARGO_S} seconds, not after {waited_s:.1f}")
    return Proven("an embargo is kept by software", f"sealed for XV and XO {waited_s:.1f} s after it was signed")


def member_is_stopped(exchange: Exchange) -> Proven:
    """s12: XT is suspended and gets a retraction, and nothing else; then its key is revoked, and it gets nothing."""
    stage, home, known, queued = exchange.stage, exchange.home, "s04-gwadar-alert", "s12-queued"
    content, label = exchange.report(known)
    exchange.written[queued] = content, b"# Once more.\n" + label
    with stage.step(f"the council suspends {STOPPED} while a report waits for it at the relay"):
        exchange.processes.stop_one(STOPPED)
        exchange.push("XA", queued)
        exchange.until(partial(_stands, exchange, queued, "promised"), "the relay's promise")
        enrol.by_council(home, "partner", "suspend", STOPPED)
        exchange.until(partial(_everybody_knows, exchange), "everybody knows it")
        enrol.start_node(home, STOPPED, exchange.processes)
    with stage.step(f"XA withdraws an alert; {STOPPED} confirms, though it is suspended"):
        exchange.retract("XA", known, "For the members of then.")
        exchange.until(partial(_stands, exchange, known, "retracted"), "the confirmation")
    expect(exchange.shown(STOPPED, queued) is None, f"the report that waits is not delivered to {STOPPED}")
    with stage.step(f"its key is revoked; the relay drops what waits for {STOPPED}"):
        enrol.by_council(home, "key", "revoke", "statement", "--party", STOPPED, "--reason", "compromised")
        exchange.until(lambda: "copies dropped" in (home.relay / "log").read_text(), "the copies to be dropped")
    return Proven("a member can be stopped", f"{STOPPED} got the retraction and nothing else; what waited was dropped")


def _stands(exchange: Exchange, name: str, state: str) -> bool:
    return any(row.partner == STOPPED and row.state == state for row in exchange.trace(name).recipients)


def _everybody_knows(exchange: Exchange) -> bool:
    for party in exchange.others(STOPPED):
        with connect(exchange.home.node(party)) as node:
            partners = node.ListPartners(pb.ListPartnersRequest()).partners
        if any(partner.party == STOPPED and partner.status != "suspended" for partner in partners):
            return False
    return True
