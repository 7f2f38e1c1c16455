"""The node's own leaf follows the clock, and a clock that is wrong is held against nobody."""

import pytest

from exchange.crypto.x509 import validity
from exchange.errors import Unavailable
from exchange.names import party_id
from nodes.keyring import Keyring, KeysInUse
from nodes.relay_client import RelayClient
from nodes.relay_port import Log
from tests.support.directory_builders import EXCHANGE, an_exchange
from tests.support.loopback import authority
from tests.support.node_world import node_keys

HOUR_MS = 60 * 60 * 1000
XA = party_id("XA")
KEYS = node_keys("XA")
BEGINS_MS, ENDS_MS = validity(KEYS.transport_ca)
NOBODY = "127.0.0.1:1"


class Clock:
    """A clock that can be set."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def a_client(clock: Clock) -> RelayClient:
    """A client whose relay is away."""
    directory, relay_ca = an_exchange(("XA",)).directory, authority("relay").der
    keys = KeysInUse(Keyring(KEYS, XA), lambda: directory, clock)
    return RelayClient(
        NOBODY, server_name="", relay_cas=lambda: (relay_ca,), exchange=EXCHANGE, party=XA, keys=keys, clock=clock
    )


@pytest.mark.parametrize("wrong_ms", [BEGINS_MS - HOUR_MS, ENDS_MS + HOUR_MS])
async def test_a_clock_outside_of_the_own_ca_is_named_as_what_is_wrong_and_no_failed_check_of_the_relay(
    wrong_ms: int,
) -> None:
    client = a_client(Clock(wrong_ms))
    with pytest.raises(Unavailable, match="our own transport CA is not valid by this machine's clock"):
        await client.checkpoint(Log.TRAFFIC)
    await client.close()


async def test_a_leaf_that_was_issued_by_a_clock_that_was_ahead_is_replaced_when_the_clock_is_set_right() -> None:
    clock = Clock(BEGINS_MS + 25 * HOUR_MS)
    client = a_client(clock)
    leaves = []
    for now in (clock.now, clock.now - 24 * HOUR_MS, clock.now - 23 * HOUR_MS):
        clock.now = now
        with pytest.raises(Unavailable, match="failed to connect"):
            await client.checkpoint(Log.TRAFFIC)
        leaves.append(client.leaf)
    assert leaves[0] != leaves[1] == leaves[2]
    assert validity(leaves[1] or b"")[0] <= clock.now
    await client.close()
