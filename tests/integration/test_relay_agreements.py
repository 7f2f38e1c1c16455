"""Accessions and notices at a real relay: who may hand over what, what the directory then shows, and to whom."""

import shutil
from dataclasses import dataclass, replace

import grpc.aio
import pytest

from exchange.crypto.codec import encode_signed
from exchange.directory import issue
from exchange.directory.statements import AgreementStatus
from exchange.errors import BadInput, BadSignature, Conflict, ExchangeError, NotAllowed, NotFound
from exchange.limits import FRAME_BYTES, MIB
from exchange.names import party_id
from exchange.policy.agreement import AgreementRef
from exchange.policy.changes.codec import CHANGE_BYTES, encode_change
from exchange.policy.changes.course import Course, after, begin
from exchange.policy.changes.model import Change, NoticeAction
from exchange.policy.codec import encode_view
from exchange.relay.agreement_state import VIEW_BYTES
from exchange.relay.app import running
from exchange.runtime.clock import now_ms
from exchange.runtime.interceptors import from_rpc_error
from exchange.runtime.lifecycle import Drain
from exchange.v1 import relay_service_pb2 as pb
from tests.support.agreement_changes import a_notice, an_accession, change_bytes
from tests.support.directory_builders import EXCHANGE, an_exchange, composite, party_keys
from tests.support.relay_world import (
    CALL_S,
    World,
    a_home,
    a_sealed,
    a_view,
    a_world,
    head_of,
    promise_of,
    refusal_of,
    secrets,
    settings,
    signed_view,
)

SUSPEND, RESUME, TERMINATE = NoticeAction.SUSPEND, NoticeAction.RESUME, NoticeAction.TERMINATE


@dataclass(slots=True)
class Played:
    """An agreement at the relay, and what this side makes of it."""

    world: World
    course: Course

    @property
    def ref(self) -> AgreementRef:
        """Return how changes name it."""
        return self.course.ref

    async def hand_over(self, name: str, change: Change, *, by: str = "") -> int:
        """Let a partner hand over a change; return its index."""
        return await hand_over(self.world, by or name, change_bytes(change))

    async def apply(self, name: str, action: NoticeAction | None) -> int:
        """Let a partner accede (None) or give notice, and follow it here."""
        at_ms = max([now_ms(), *(last + 1 for last in self.course.last_ms.values())])
        made: Change = (
            an_accession(self.ref, name, at_ms=at_ms)
            if action is None
            else a_notice(self.ref, name, action, at_ms=at_ms)
        )
        index = await self.hand_over(name, made)
        self.course = after(self.course, made, encode_change(made))
        await self.world.mirror()
        return index

    async def delivers(self, sender: str, recipient: str, basis: AgreementRef | None = None) -> str:
        """Submit a report under the agreement as it stands; return the reason of its refusal, or nothing."""
        self.world.partners[sender].sequence += 1
        sealed = a_sealed(
            party_keys(sender),
            [recipient],
            basis or self.course.now_ref,
            head_of(self.world.exchange),
            seq=self.world.partners[sender].sequence,
        )
        (outcome,) = await self.world.partners[sender].submit(sealed.submission_bytes)
        try:
            promise_of(outcome)
        except ExchangeError:
            return refusal_of(outcome).reason
        return ""

    def shown(self, ref: AgreementRef) -> AgreementStatus | None:
        """Return what the directory says of a commitment."""
        directory = self.world.exchange.directory
        return directory.agreement_status(ref.commitment, at_size=directory.size)


async def hand_over(world: World, name: str, data: bytes) -> int:
    """Hand over bytes as a change; return their index or raise what the relay says."""
    try:
        answer = await world.partners[name].stub.ChangeAgreement(pb.ChangeAgreementRequest(change=data), timeout=CALL_S)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None
    return answer.index


async def agreed(world: World, *founders: str, **differs: object) -> Played:
    """Let founders agree at the relay."""
    view = a_view(founders, **differs)
    signed = signed_view(view, [world.partners[name].keys for name in founders])
    request = pb.PublishAgreementRequest(view=encode_signed(signed))
    await world.partners[founders[0]].stub.PublishAgreement(request, timeout=CALL_S)
    await world.mirror()
    return Played(world, begin(view))


async def parts(world: World, name: str, **known: int) -> list[pb.AgreementPart]:
    """Return what a partner is told of agreements; `known` by commitment in hexadecimal."""
    have = [pb.KnownAgreement(commitment=bytes.fromhex(each), changes=count) for each, count in known.items()]
    answer = await world.partners[name].stub.FetchAgreements(pb.FetchAgreementsRequest(known=have), timeout=CALL_S)
    return list(answer.parts)


async def test_an_accession_lets_reports_flow_and_the_view_before_it_ends() -> None:
    async with a_world("XA", "XV", "XO") as world:
        played = await agreed(world, "XA", "XV", anyone_may_accede=True)
        before = played.ref
        assert await played.delivers("XA", "XO") == "NOT_A_PARTY"
        await played.apply("XO", None)
        assert played.shown(before) is AgreementStatus.TERMINATED
        assert played.shown(played.course.now_ref) is AgreementStatus.ACTIVE
        assert await played.delivers("XA", "XO") == ""
        assert await played.delivers("XO", "XV") == ""
        assert await played.delivers("XA", "XV", before) == "AGREEMENT_TERMINATED"


async def test_one_founder_and_a_list_of_who_may_accede_are_enough() -> None:
    async with a_world("XA", "XV", "XO") as world:
        played = await agreed(world, "XA", may_accede=(party_id("XV"),))
        assert played.shown(played.ref) is AgreementStatus.SUSPENDED
        with pytest.raises(NotFound):
            await played.apply("XO", None)
        await played.apply("XV", None)
        assert played.shown(played.course.now_ref) is AgreementStatus.ACTIVE
        assert await played.delivers("XA", "XV") == ""


async def test_a_suspension_stops_release_at_once_and_its_end_lets_it_flow() -> None:
    async with a_world("XA", "XV", "XO") as world:
        played = await agreed(world, "XA", "XV", "XO")
        first = played.ref
        await played.apply("XV", SUSPEND)
        for sender, recipient in (("XA", "XV"), ("XV", "XA")):
            assert await played.delivers(sender, recipient, first) == "AGREEMENT_TERMINATED"
            assert await played.delivers(sender, recipient) in {"AGREEMENT_SUSPENDED", "NOT_DELIVERABLE"}
        assert await played.delivers("XA", "XO") == ""
        suspended = played.course.now_ref
        await played.apply("XV", RESUME)
        assert await played.delivers("XA", "XV") == ""
        assert await played.delivers("XA", "XO", suspended) == "AGREEMENT_TERMINATED"


async def test_of_two_parties_one_suspends_or_ends_it_for_both() -> None:
    async with a_world("XA", "XV") as world:
        played = await agreed(world, "XA", "XV")
        await played.apply("XA", SUSPEND)
        assert played.shown(played.course.now_ref) is AgreementStatus.SUSPENDED
        await played.apply("XV", SUSPEND)
        await played.apply("XA", RESUME)
        assert played.shown(played.course.now_ref) is AgreementStatus.SUSPENDED
        assert await played.delivers("XA", "XV") != ""
        await played.apply("XV", RESUME)
        assert await played.delivers("XA", "XV") == ""
        await played.apply("XV", TERMINATE)
        assert played.shown(played.course.now_ref) is AgreementStatus.TERMINATED
        with pytest.raises(Conflict):
            await played.apply("XA", SUSPEND)


async def test_repeating_a_change_gives_the_same_index_and_an_old_one_lifts_nothing() -> None:
    async with a_world("XA", "XV", "XO") as world:
        played = await agreed(world, "XA", "XV", "XO")
        await played.apply("XA", SUSPEND)
        resume = a_notice(played.ref, "XA", RESUME, at_ms=now_ms())
        index = await played.hand_over("XA", resume)
        played.course = after(played.course, resume, encode_change(resume))
        await played.apply("XA", SUSPEND)
        size = world.exchange.directory.size
        assert await played.hand_over("XA", resume) == index
        await world.mirror()
        assert world.exchange.directory.size == size, "the repeat changed nothing"
        older = a_notice(played.ref, "XA", RESUME, at_ms=resume.at_ms)
        with pytest.raises(Conflict):
            await played.hand_over("XA", older)


async def test_what_is_forged_or_spoken_for_others_is_refused() -> None:
    async with a_world("XA", "XV", "XO") as world:
        played = await agreed(world, "XA", "XV", anyone_may_accede=True)
        size, now = world.exchange.directory.size, now_ms()
        forged = a_notice(played.ref, "XA", TERMINATE, at_ms=now)
        with pytest.raises(BadSignature):
            await hand_over(world, "XA", change_bytes(forged, composite("nobody/root")))
        with pytest.raises(BadSignature):
            await hand_over(world, "XA", change_bytes(forged, party_keys("XA").statement))
        with pytest.raises(ExchangeError):
            await hand_over(world, "XV", change_bytes(forged, party_keys("XV").root))
        with pytest.raises(NotAllowed):
            await played.hand_over("XA", forged, by="XV")
        with pytest.raises(BadInput):
            await played.hand_over("XA", a_notice(played.ref, "XA", TERMINATE, at_ms=now + 3_600_000))
        with pytest.raises(BadInput):
            await hand_over(world, "XA", bytes(CHANGE_BYTES + 1))
        await world.mirror()
        assert world.exchange.directory.size == size


async def test_an_agreement_that_does_not_concern_the_caller_is_one_that_does_not_exist() -> None:
    async with a_world("XA", "XV", "XO") as world:
        closed = await agreed(world, "XA", "XV")
        nowhere = AgreementRef(bytes(16), 1, bytes(32))
        guessed = AgreementRef(bytes(16), 1, closed.ref.commitment)
        said = set()
        for ref in (closed.ref, nowhere, guessed):
            for change in (an_accession(ref, "XO", at_ms=now_ms()), a_notice(ref, "XO", SUSPEND, at_ms=now_ms())):
                with pytest.raises(NotFound) as error:
                    await closed.hand_over("XO", change)
                said.add(str(error.value))
        assert len(said) == 1
        await closed.apply("XA", TERMINATE)
        with pytest.raises(NotFound):
            await closed.hand_over("XO", an_accession(closed.ref, "XO", at_ms=now_ms()))
        assert await parts(world, "XO") == []


async def test_parties_are_told_what_is_new_and_who_left_no_more() -> None:
    async with a_world("XA", "XV", "XO", "XH") as world:
        played = await agreed(world, "XA", "XV", "XO", anyone_may_accede=True)
        name = played.ref.commitment.hex()
        (whole,) = await parts(world, "XA")
        assert (whole.commitment.hex(), whole.first, list(whole.changes)) == (name, 0, [])
        assert whole.view
        assert await parts(world, "XA", **{name: 0}) == []
        await played.apply("XO", TERMINATE)
        await played.apply("XH", None)
        (news,) = await parts(world, "XA", **{name: 1})
        assert (news.view, news.first, len(news.changes)) == (b"", 1, 1)
        (for_new,) = await parts(world, "XH")
        assert len(for_new.changes) == 2
        (for_gone,) = await parts(world, "XO", **{name: 0})
        assert len(for_gone.changes) == 1
        assert await parts(world, "XO", **{name: 1}) == []


async def test_a_newer_version_ends_the_older_one_when_its_last_party_has_joined() -> None:
    async with a_world("XA", "XV", "XO", "XH") as world:
        first = await agreed(world, "XA", "XV", anyone_may_accede=True)
        await first.apply("XO", None)
        second = await agreed(world, "XA", "XV", agreement_id=first.ref.id, version=2, anyone_may_accede=True)
        assert first.shown(first.course.now_ref) is AgreementStatus.ACTIVE, "XO has not joined the newer one"
        assert await first.delivers("XA", "XV") == "AGREEMENT_REPLACED"
        assert await first.delivers("XA", "XO") == ""
        with pytest.raises(Conflict):
            await first.apply("XH", None)
        await first.apply("XV", SUSPEND)
        with pytest.raises(Conflict):
            await first.apply("XV", RESUME)
        await second.apply("XO", None)
        assert first.shown(first.course.now_ref) is AgreementStatus.TERMINATED
        assert await second.delivers("XA", "XO") == ""


async def test_a_suspended_partner_may_narrow_and_not_widen() -> None:
    async with a_world("XA", "XV", "XO") as world:
        played = await agreed(world, "XA", "XV", "XO", anyone_may_accede=True)
        await played.apply("XO", SUSPEND)
        suspension = issue.make_suspension(
            exchange=EXCHANGE,
            place=world.exchange.directory.next_seq_prev("council"),
            party=party_id("XO"),
            suspended=True,
            now_ms=now_ms(),
            council_key=world.exchange.council_key,
        )
        request = pb.PublishStatementRequest(statement=encode_signed(suspension))
        await world.partners["XA"].stub.PublishStatement(request, timeout=CALL_S)
        with pytest.raises(NotAllowed):
            await played.apply("XO", RESUME)
        await played.apply("XO", TERMINATE)
        with pytest.raises(NotAllowed):
            await played.apply("XO", None)


async def test_what_changed_survives_a_restart_of_the_relay() -> None:
    exchange = an_exchange(())
    home = a_home(exchange)
    try:
        async with running(home, settings(), secrets(), Drain()) as listening:
            world = World(home, exchange, listening)
            for name in ("XA", "XV", "XO"):
                await world.join(name)
            played = await agreed(world, "XA", "XV", anyone_may_accede=True)
            await played.apply("XO", None)
            await played.apply("XV", SUSPEND)
            before = await parts(world, "XA")
            await close(world)
        async with running(home, settings(), secrets(), Drain()) as listening:
            world = played.world = World(home, exchange, listening)
            world.partners = {name: world.connect(party_keys(name)) for name in ("XA", "XV", "XO")}
            assert await parts(world, "XA") == before
            assert len(before[0].changes) == 2
            assert await played.delivers("XA", "XO") == ""
            assert await played.delivers("XA", "XV") != ""
            await played.apply("XV", RESUME)
            await close(world)
    finally:
        shutil.rmtree(home.root)


async def close(world: World) -> None:
    """Let the partners hang up."""
    for partner in world.partners.values():
        await partner.channel.close()


async def test_140_parties_have_one_text_and_140_signatures() -> None:
    names = [f"{one}{other}" for one in "ABCDEFGHIJKL" for other in "ABCDEFGHIJKL"][:140]
    async with a_world() as world:
        for name in names:
            await world.join(name, days=2 if name in names[:2] or name == names[-1] else 0)
        (term,) = a_view(("XA", "XV")).terms
        terms = tuple(replace(term, clause=f"art-{number}") for number in range(4, 14))
        played = await agreed(world, *names[:3], anyone_may_accede=True, terms=terms)
        for name in names[3:]:
            made = an_accession(played.ref, name, at_ms=now_ms())
            await played.hand_over(name, made)
            played.course = after(played.course, made, encode_change(made))
        await world.mirror()
        assert len(played.course.now.parties) == 140
        assert played.shown(played.course.now_ref) is AgreementStatus.ACTIVE
        assert await played.delivers(names[0], names[-1]) == ""
        (part,) = await parts(world, names[1])
        statements = sum(map(len, part.changes))
        assert len(part.changes) == 137
        assert statements < 137 * 3_700, "an accession is a signature and little more"
        assert len(part.view) < 16_000 < VIEW_BYTES
        assert len(part.view) + statements < MIB // 2 < FRAME_BYTES
        assert len(encode_view(played.course.now)) < 4_000, "what is committed to is the names, not the signatures"
