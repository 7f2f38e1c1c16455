"""The newest checkpoint of the traffic log that the relay shows, under keys that it has now (nodes/relay_word.py).

The relay may have changed its keys a moment ago: then the entry that names them is waited for, bounded.
"""

import asyncio

from exchange.errors import BadProof
from exchange.tlog.checkpoint import Checkpoint
from nodes.core import Core
from nodes.relay_port import Log, Relay
from nodes.relay_word import UnknownKeys, opened_since


async def newest_traffic(core: Core, relay: Relay) -> tuple[Checkpoint, str]:
    """Return the newest checkpoint of the traffic log that the relay shows this node, with its note.

    Raises:
        BadProof: keys that the relay had when it was asked, or has since, did not sign it.
    """
    since = core.trust.now.size
    note = await relay.checkpoint(Log.TRAFFIC)
    return await live_traffic(core, note, since), note


async def live_traffic(core: Core, note: str, since: int) -> Checkpoint:
    """Return the checkpoint of a note that the relay handed out when this node had `since` entries; as above."""
    try:
        async with asyncio.timeout(core.timing.directory_wait_s):
            while True:
                snapshot = core.trust.now
                try:
                    return opened_since(note, snapshot.directory, since)
                except UnknownKeys:
                    if core.trust.broken:
                        raise
                while core.trust.now.size == snapshot.size:
                    await core.trust.changed()
    except TimeoutError as error:
        raise BadProof("keys signed the checkpoint that the directory does not name") from error
