"""A node of node_world with its doors open, so that tests ask it as the commands do."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from exchange.runtime.lifecycle import Drain, HomeLock
from nodes.door_service import open_doors
from nodes.parts import Node


@asynccontextmanager
async def open_socket(node: Node, **config: Any) -> AsyncIterator[Node]:
    """Open a node's doors in a home with a path as short as a socket needs; Any: settings of the node.

    Without a spool, unless asked for: it would outlive the home by a moment.
    """
    home = Path(tempfile.mkdtemp(prefix="door-"))
    try:
        moved = replace(node, home=home, config=node.config.model_copy(update={"spool": False, **config}))
        with HomeLock(home) as lock:
            async with open_doors(moved, lock, Drain()):
                yield moved
    finally:
        shutil.rmtree(home)
