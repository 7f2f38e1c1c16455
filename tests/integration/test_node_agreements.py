"""Agreements between nodes: each party's root signs, the text travels sealed, whoever has all signatures publishes."""

from dataclasses import replace
from functools import partial

import pytest

from exchange.errors import BadAgreement, ExchangeError, NotAllowed, VerificationFailed
from exchange.names import party_id
from exchange.policy.agreement_text import draft_agreement_text
from exchange.receipts.codec import encode_agreement_text
from exchange.receipts.model import AgreementText
from exchange.runtime.clock import now_ms
from nodes.agreement_file import AgreementFile, first_signature, next_signature
from nodes.agreement_service import AgreementMethods
from nodes.agreements import Agreements
from nodes.parts import Node
from nodes.simulation import Simulation
from nodes.v1 import agreements_pb2 as pb
from tests.support.directory_builders import EXCHANGE, composite, party_keys
from tests.support.node_world import nodes, open_alarms, until


def a_text(*names: str) -> bytes:
    """Return the text of an agreement between these parties."""
    parties = [party_id(name) for name in names]
    return draft_agreement_text(parties, "Road", valid_from_ms=now_ms(), valid_until_ms=0).encode()


def signed_by(first: str, *names: str, parties: tuple[str, ...]) -> AgreementFile:
    """Return an agreement between `parties` with the signatures of these roots."""
    file = first_signature(a_text(*parties), party_keys(first).root, exchange=EXCHANGE)
    for name in names:
        file = next_signature(file, party_keys(name).root)
    return file


def _signed_by_a_stranger() -> AgreementFile:
    return first_signature(a_text("XA", "XV"), composite("nobody/root"), exchange=EXCHANGE)


def _other_view() -> AgreementFile:
    one, other = (signed_by("XA", parties=("XA", "XV")) for _ in range(2))
    return replace(one, signed=AgreementText(one.signed.agreement, other.signed.view))


def methods(node: Node) -> AgreementMethods:
    """Return what the operators' socket calls."""
    simulation = Simulation(node.core, node.agreements)
    return AgreementMethods(node.core, node.agreements, node.publishing, node.notices, simulation, node.shelf)


async def import_(node: Node, file: AgreementFile) -> pb.AgreementSummary:
    """Take in a file as the operator does."""
    request = pb.ImportAgreementRequest(agreement=encode_agreement_text(file.signed))
    return (await methods(node).import_(request)).agreement


async def status_at(node: Node) -> list[tuple[str, tuple[str, ...]]]:
    """Return status and missing parties of the agreements that a node knows."""
    found = (await methods(node).list_()).agreements
    return [(each.status, tuple(each.missing)) for each in found]


async def test_signatures_travel_between_the_nodes_until_the_agreement_is_in_force_everywhere() -> None:
    async with nodes("XA", "XV", agree=False) as (_, running):
        first = signed_by("XA", parties=("XA", "XV"))
        told = await import_(running["XA"], first)
        assert (told.status, list(told.missing), told.title) == ("collecting", ["XV"], "Road")

        async def arrived() -> bool:
            return await status_at(running["XV"]) == [("collecting", ("XV",))]

        await until(arrived, "the text did not travel")
        await import_(running["XV"], next_signature(first, party_keys("XV").root))

        async def in_force(node: Node) -> bool:
            return await status_at(node) == [("active", ())] and bool(node.core.trust.now.views)

        for node in running.values():
            await until(partial(in_force, node), "the agreement is not in force")
            assert await open_alarms(node) == []


async def test_a_title_is_known_as_soon_as_the_text_is_here() -> None:
    async with nodes("XA", "XV", agree=False) as (_, running):
        titles, file = running["XA"].titles, signed_by("XA", parties=("XA", "XV"))
        name = file.view.agreement_id
        assert await titles.of([name]) == {}
        await running["XA"].agreements.take(file.signed)
        assert await titles.of([name]) == {name: "Road"}


async def test_importing_the_same_file_again_changes_nothing_and_passes_it_on_again() -> None:
    async with nodes("XA", "XV", agree=False) as (_, running):
        file = signed_by("XA", parties=("XA", "XV"))
        await import_(running["XA"], file)
        (before,) = await running["XA"].agreements.all()
        taken = await running["XA"].agreements.take(file.signed)
        assert await running["XA"].agreements.all() == [before]
        assert await running["XA"].publishing.pass_on(taken) == ("XV",), "the first time the node may have died before"


@pytest.mark.parametrize(
    "wrong, error",
    [
        (lambda: signed_by("XO", parties=("XO", "XV")), NotAllowed),
        (_signed_by_a_stranger, VerificationFailed),
        (_other_view, BadAgreement),
    ],
    ids=["not a party", "stranger", "other view"],
)
async def test_an_agreement_that_does_not_hold_is_not_taken_in(wrong: object, error: type[ExchangeError]) -> None:
    async with nodes("XA", "XV", agree=False) as (_, running):
        agreements: Agreements = running["XA"].agreements
        with pytest.raises(error):
            await agreements.take(wrong().signed)  # type: ignore[operator]
        assert await agreements.all() == []
