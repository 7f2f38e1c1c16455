"""Communities at the relay: what its directory shows of them, on whose word, and which slots it lets through."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from exchange.crypto.codec import encode_signed
from exchange.crypto.signed import Signed, sign
from exchange.directory.statements import AgreementStatus
from exchange.errors import BadSignature, Conflict, ExchangeError, MalformedInput, NotAllowed, VerificationFailed
from exchange.names import ID_BYTES, PartyId, party_id
from exchange.policy.communities.codec import encode_notice
from exchange.policy.communities.model import CommunityNotice, shown_commitment, via_text
from exchange.policy.communities.verify import NOTICE
from exchange.relay.app import running
from exchange.runtime.clock import now_ms
from exchange.runtime.lifecycle import Drain
from exchange.v1 import relay_service_pb2 as pb
from tests.integration.test_relay_service import a_suspension, publish_by_council, reason_of
from tests.support.directory_builders import EXCHANGE, PartyKeys, an_exchange, party_keys
from tests.support.relay_world import (
    CALL_S,
    World,
    a_home,
    a_sealed,
    a_world,
    head_of,
    promise_of,
    refusal_of,
    secrets,
    settings,
)

XA, XV = party_id("XA"), party_id("XV")
ORIGIN = bytes([5]) * ID_BYTES


def a_notice(epoch: int = 1, *, owner: PartyId = XA, **differs: Any) -> CommunityNotice:
    """A notice of an epoch, with a commitment that nobody can look into."""
    usual = CommunityNotice(EXCHANGE, ORIGIN, owner, epoch, bytes([epoch]) * 32, now_ms(), bytes(ID_BYTES))
    return replace(usual, **differs)


def signed(notice: CommunityNotice, keys: PartyKeys) -> Signed:
    """A notice that a node signed."""
    return sign(keys.statement, NOTICE, encode_notice(notice), context=EXCHANGE)


async def announce(world: World, notice: CommunityNotice, *, by: str = "XA") -> int:
    """Announce an epoch and return the index of its entry; every partner's replay follows."""
    partner = world.partners[by]
    request = pb.PublishCommunityRequest(notice=encode_signed(signed(notice, partner.keys)))
    index = (await partner.stub.PublishCommunity(request, timeout=CALL_S)).index
    await world.mirror()
    return int(index)


async def refused(world: World, statement: Signed, *, by: str = "XA") -> type[ExchangeError]:
    """Return the error with which the relay refuses a notice."""
    request = pb.PublishCommunityRequest(notice=encode_signed(statement))
    size = world.exchange.directory.size
    error = await reason_of(world.partners[by].stub.PublishCommunity(request, timeout=CALL_S))
    await world.mirror()
    assert world.exchange.directory.size == size, "a refusal has changed the directory"
    return error


def statuses(world: World, *epochs: int) -> list[AgreementStatus | None]:
    """Return what the directory says of epochs of the community."""
    directory, usual = world.exchange.directory, a_notice()
    return [
        directory.agreement_status(
            shown_commitment(usual.community_id, epoch, bytes([epoch]) * 32), at_size=directory.size
        )
        for epoch in epochs
    ]


ACTIVE, TERMINATED = AgreementStatus.ACTIVE, AgreementStatus.TERMINATED


async def test_a_new_epoch_ends_the_one_before_in_the_same_append_and_a_repeat_changes_nothing() -> None:
    async with a_world("XA", "XV") as world:
        first = await announce(world, a_notice(1))
        assert statuses(world, 1) == [ACTIVE]
        second = await announce(world, a_notice(2))
        assert statuses(world, 1, 2) == [TERMINATED, ACTIVE]
        assert world.exchange.directory.size == second + 2
        assert await announce(world, a_notice(2)) == second
        assert await announce(world, a_notice(1)) == first
        assert statuses(world, 1, 2) == [TERMINATED, ACTIVE]
        assert world.exchange.directory.size == second + 2


async def test_a_community_that_has_ended_stays_so() -> None:
    async with a_world("XA") as world:
        await announce(world, a_notice(1))
        keys = world.partners["XA"].keys
        assert await refused(world, signed(a_notice(2, commitment=b""), keys)) is Conflict
        end = await announce(world, a_notice(1, commitment=b""))
        assert statuses(world, 1) == [TERMINATED]
        assert await announce(world, a_notice(1, commitment=b"")) == end
        assert await refused(world, signed(a_notice(2), keys)) is Conflict


WRONG: list[tuple[str, Callable[[World], Signed], type[ExchangeError]]] = [
    ("a gap", lambda w: signed(a_notice(2), w.partners["XA"].keys), Conflict),
    ("the end of nothing", lambda w: signed(a_notice(1, commitment=b""), w.partners["XA"].keys), Conflict),
    ("another's", lambda w: signed(a_notice(1, owner=XV), w.partners["XA"].keys), VerificationFailed),
    ("signed by another", lambda w: signed(a_notice(1), w.partners["XV"].keys), BadSignature),
    (
        "of another exchange",
        lambda w: signed(a_notice(1, exchange="other.example"), w.partners["XA"].keys),
        VerificationFailed,
    ),
    (
        "no notice at all",
        lambda w: sign(w.partners["XA"].keys.statement, NOTICE, b"\xff", context=EXCHANGE),
        MalformedInput,
    ),
]


@pytest.mark.parametrize("make, error", [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
async def test_a_notice_that_does_not_hold_changes_nothing(
    make: Callable[[World], Signed], error: type[ExchangeError]
) -> None:
    async with a_world("XA", "XV") as world:
        assert issubclass(await refused(world, make(world)), error)


async def test_another_commitment_under_an_epoch_that_is_shown_is_refused() -> None:
    async with a_world("XA") as world:
        await announce(world, a_notice(1))
        again = signed(a_notice(1, commitment=bytes(32)), world.partners["XA"].keys)
        assert await refused(world, again) is Conflict


async def test_one_origin_is_another_community_under_another_owner_and_touches_no_agreement() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        await announce(world, a_notice(1))
        # XV copies origin and commitment, and then an agreement's commitment, and ends both.
        await announce(world, a_notice(1, owner=XV), by="XV")
        await announce(world, a_notice(1, owner=XV, commitment=b""), by="XV")
        other = replace(a_notice(1, owner=XV, commitment=basis.commitment), origin=bytes([6]) * ID_BYTES)
        await announce(world, other, by="XV")
        await announce(world, replace(other, commitment=b""), by="XV")
        assert statuses(world, 1) == [ACTIVE]
        directory = world.exchange.directory
        assert directory.agreement_status(basis.commitment, at_size=directory.size) is ACTIVE


async def test_a_suspended_partner_changes_no_community() -> None:
    async with a_world("XA", "XV") as world:
        await announce(world, a_notice(1, owner=XV), by="XV")
        await world.mirror()
        await publish_by_council(world, "XA", a_suspension(world, "XV"))
        keys = world.partners["XV"].keys
        assert await refused(world, signed(a_notice(2, owner=XV), keys), by="XV") is NotAllowed


async def test_only_slots_by_way_of_the_epoch_in_force_are_let_through() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        await announce(world, a_notice(1))
        sender, community = world.partners["XA"], a_notice().community_id

        async def outcome(epoch: int, seq: int) -> pb.Outcome:
            head = head_of(world.exchange)
            sealed = a_sealed(sender.keys, ["XV"], basis, head, seq=seq, via=via_text(community, epoch))
            return (await sender.submit(sealed.submission_bytes))[0]

        assert promise_of(await outcome(1, 1)).log_index
        assert refusal_of(await outcome(2, 2)).reason == "COMMUNITY_ENDED"
        await announce(world, a_notice(2))
        stale = refusal_of(await outcome(1, 2))
        assert (stale.reason, stale.step, stale.recipient) == ("COMMUNITY_ENDED", 12, "XV")
        assert promise_of(await outcome(2, 2)).log_index


async def test_what_was_announced_is_known_after_a_restart() -> None:
    exchange = an_exchange(())
    home = a_home(exchange)
    try:
        async with running(home, settings(), secrets(), Drain()) as listening:
            world = World(home, exchange, listening)
            await world.join("XA")
            await announce(world, a_notice(1))
            index = await announce(world, a_notice(2))
            await world.partners["XA"].channel.close()
        async with running(home, settings(), secrets(), Drain()) as listening:
            world = World(home, exchange, listening)
            world.partners["XA"] = world.connect(party_keys("XA"))
            assert await announce(world, a_notice(2)) == index
            assert await refused(world, signed(a_notice(4), party_keys("XA"))) is Conflict
            assert await announce(world, a_notice(3)) > index
            assert statuses(world, 1, 2, 3) == [TERMINATED, TERMINATED, ACTIVE]
            await world.partners["XA"].channel.close()
    finally:
        shutil.rmtree(home.root)
