"""A relay whose disk falsifies an envelope: the recipient refuses it and says so, and the sender learns of it.

The recipient is stopped, so that its envelope waits at the relay; the relay is stopped, one bit of the stored
ciphertext is flipped, and both are started again.
"""

import sqlite3
from pathlib import Path

from nodes.demo.acts import expect
from nodes.demo.enrol import start_node, start_relay
from nodes.demo.exchange import Exchange
from nodes.demo.proofs import Proven

VICTIM, SENDER, REPORT = "XT", "XA", "radio-check"


def falsified_envelope_is_refused(exchange: Exchange) -> Proven:
    """Play it and return what was shown."""
    stage, home, processes = exchange.stage, exchange.home, exchange.processes
    with stage.step(f"{VICTIM} is offline; an envelope for it waits; the relay's disk flips one bit of it"):
        processes.stop_one(VICTIM)
        exchange.push(SENDER, REPORT)
        exchange.until(lambda: _states(exchange) == {"promised"}, "the relay's promise")
        processes.stop_one("relay")
        flip(home.relay / "relay.db")
        start_relay(home, processes)
        start_node(home, VICTIM, processes)
    with stage.step(f"{VICTIM} comes back, refuses the envelope and tells {SENDER}"):
        exchange.until(lambda: _states(exchange) == {"refused"}, "the refusal")
    (row,) = [r for r in exchange.trace(REPORT).recipients if r.partner == VICTIM]
    shown = exchange.shown(VICTIM, REPORT)
    expect(shown is None, f"{VICTIM} shows nothing of it")
    return Proven("a changed envelope is refused", f"{VICTIM} answers {SENDER}: {row.why}")


def flip(store: Path) -> None:
    """Flip one bit in the newest ciphertext that the relay holds."""
    with sqlite3.connect(store) as connection:
        number, body = connection.execute("SELECT id, body FROM envelope ORDER BY id DESC LIMIT 1").fetchone()
        damaged = bytearray(body)
        damaged[len(damaged) // 2] ^= 1
        connection.execute("UPDATE envelope SET body = ? WHERE id = ?", (bytes(damaged), number))
    connection.close()


def _states(exchange: Exchange) -> set[str]:
    return {r.state for r in exchange.trace(REPORT).recipients if r.partner == VICTIM}
