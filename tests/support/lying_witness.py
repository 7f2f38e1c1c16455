"""A node whose witness vouches for what it was not shown: `python -m tests.support.lying_witness node serve`."""

import sys
from dataclasses import replace
from hashlib import sha256

from exchange.crypto.signing import Mldsa44Key
from exchange.tlog.checkpoint import Checkpoint
from exchange.tlog.cosignature import cosign
from nodes import witness
from nodes.admin.main import run


def lie(checkpoint: Checkpoint, name: str, key: Mldsa44Key, at_s: int) -> str:
    """Cosign a checkpoint of the same size with another root."""
    return cosign(replace(checkpoint, root=sha256(checkpoint.root).digest()), name, key, at_s)


if __name__ == "__main__":
    setattr(witness, cosign.__name__, lie)
    sys.exit(run(sys.argv[1:]))
