"""Admit an operator while the node is stopped: the way back when no administrator is left.

It takes what running the node takes: the home, which nobody else holds, and the node's passphrase.
"""

from pathlib import Path

from exchange.runtime.clock import now_ms
from exchange.runtime.database import Database
from exchange.runtime.lifecycle import HomeLock
from exchange.runtime.migrate import upgrade
from nodes.caller import OWNER
from nodes.config import load
from nodes.keystore import load_keys
from nodes.operators import Operator, Profile, admit
from nodes.store import MIGRATIONS


def add_offline(home: Path, passphrase: bytes, profile: Profile) -> Operator:
    """Admit an operator in the store of a node that is stopped.

    Raises:
        ConfigurationError: the node runs, or home, keystore or passphrase is another.
        BadInput, Conflict: as nodes.operators.admit.
    """
    config = load(home)
    with HomeLock(home):
        load_keys(home, passphrase)
        url = config.database_url(home)
        upgrade(url, MIGRATIONS)
        with Database(url) as database:
            return database.write_now(
                lambda c: admit(c, profile, by=OWNER, terms=config.readers.terms(), now_ms=now_ms())
            )
