"""Agreements as operators name them: by id, by the beginning of it, or by title."""

from collections.abc import Sequence
from pathlib import Path

from exchange.errors import Conflict, NotFound
from nodes.node_client import connect
from nodes.v1 import agreements_pb2 as pb

ID_LEAST = 6
"""So many digits of an id name an agreement."""


def known_agreements(home: Path) -> list[pb.AgreementSummary]:
    """Return the agreements that the running node knows."""
    with connect(home) as node:
        return list(node.ListAgreements(pb.ListAgreementsRequest()).agreements)


def named(known: Sequence[pb.AgreementSummary], name: str) -> list[pb.AgreementSummary]:
    """Return the versions of the one agreement that `name` names.

    Raises:
        NotFound: none.
        Conflict: several.
    """
    begins = name.lower() if len(name) >= ID_LEAST else None
    found = [each for each in known if each.title == name or (begins and each.id.startswith(begins))]
    if len({each.id for each in found}) > 1:
        raise Conflict(f"{name[:80]!r} names several agreements", hint="give more of the id")
    if not found:
        raise NotFound(f"no agreement {name[:80]!r}", hint="concord agreement list")
    return found
