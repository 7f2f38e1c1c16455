"""A relay that is killed, and one whose disk falsifies an envelope.

A recipient is stopped, so that two envelopes wait for it at the relay. The relay is killed, not stopped; one bit of the
second ciphertext is flipped on its disk; both are started again. The first arrives, the second is refused by its
recipient, and its sender learns of it.
"""

import sqlite3
from functools import partial
from pathlib import Path

from nodes.demo.acts import expect
from nodes.demo.enrol import start_node, start_relay
from nodes.demo.exchange import Exchange
from nodes.demo.stage import Proven

VICTIM, SENDER = "XT", "XA"
HONEST, FALSIFIED = "radio-check", "radio-check-2"


def play(exchange: Exchange) -> list[Proven]:
    """Play it and return what was shown."""
    stage, home, processes = exchange.stage, exchange.home, exchange.processes
    with stage.step(f"{VICTIM} is offline, two envelopes wait for it; the relay is killed, its disk flips one bit"):
        processes.stop_one(VICTIM)
        for name in (HONEST, FALSIFIED):
            exchange.push(SENDER, name)
            exchange.until(partial(_promised, exchange, name), "the relay's promise")
        processes.kill_one("relay")
        flip(home.relay / "relay.db")
        start_relay(home, processes)
        start_node(home, VICTIM, processes)
    with stage.step(f"{VICTIM} comes back, takes the first, refuses the second and tells {SENDER}"):
        exchange.until(lambda: _states(exchange, HONEST) == {"receipted"}, "the receipt")
        exchange.until(lambda: _states(exchange, FALSIFIED) == {"refused"}, "the refusal")
    expect(exchange.shown(VICTIM, HONEST) is not None, f"{VICTIM} holds the first")
    expect(exchange.shown(VICTIM, FALSIFIED) is None, f"{VICTIM} shows nothing of the second")
    (row,) = [r for r in exchange.trace(FALSIFIED).recipients if r.partner == VICTIM]
    return [
        Proven(
            "nothing is lost", f"the relay was killed with envelopes waiting; {VICTIM} got its own after the restart"
        ),
        Proven("a changed envelope is refused", f"{VICTIM} answers {SENDER}: {row.why}"),
    ]


def flip(store: Path) -> None:
    """Flip one bit in the newest ciphertext that the relay holds."""
    with sqlite3.connect(store) as connection:
        number, body = connection.execute("SELECT id, body FROM envelope ORDER BY id DESC LIMIT 1").fetchone()
        damaged = bytearray(body)
        damaged[len(damaged) // 2] ^= 1
        connection.execute("UPDATE envelope SET body = ? WHERE id = ?", (bytes(damaged), number))
    connection.close()


def _promised(exchange: Exchange, name: str) -> bool:
    return _states(exchange, name) == {"promised"}


def _states(exchange: Exchange, name: str) -> set[str]:
    return {r.state for r in exchange.trace(name).recipients if r.partner == VICTIM}
