"""Who plays in the demo, and where the scenario files are."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SCENARIOS = HERE / "scenarios"
PROPS = HERE / "props"
AGREEMENTS = tuple(
    HERE / "agreements" / f"{name}.yaml" for name in ("indus-corridor", "dasu-road", "niger-river", "regional-lessons")
)

EXCHANGE = "demo.concord.example"
COUNCIL = "XA"
"""The party whose root founds the exchange: one council member suffices for a demonstration."""

PLAYERS = ("XA", "XV", "XO", "XH", "XM", "XN", "XQ", "XT")


@dataclass(frozen=True, slots=True)
class Player:
    """One partner of the demo."""

    party: str
    name: str
    role: str
    ceiling: str
    """Strictest TLP that it may ever receive."""


@cache
def scenarios() -> dict[str, Any]:
    """Return scenarios.json: who gets what, and what to expect."""
    loaded: dict[str, Any] = json.loads((SCENARIOS / "scenarios.json").read_text(encoding="utf-8"))
    return loaded


def players() -> tuple[Player, ...]:
    """Return the eight partners, as the scenarios describe them."""
    told = scenarios()
    return tuple(
        Player(party, told["partners"][party]["agency"], told["partners"][party]["role"], told["ceilings"][party])
        for party in PLAYERS
    )


def report(name: str) -> tuple[bytes, bytes]:
    """Return the bytes of a scenario's report and of its label."""
    folder = PROPS if (PROPS / f"{name}.stix.json").exists() else SCENARIOS
    return (folder / f"{name}.stix.json").read_bytes(), (folder / f"{name}.label.yaml").read_bytes()
