"""What people and machines do at one node: operators, approvals, sensors, the spool, comparisons, and commands."""

from collections.abc import Mapping, Sequence
from functools import partial

from exchange.errors import Conflict, NotAllowed, NotFound
from exchange.names import party_id
from exchange.policy.model import Category, Tlp
from exchange.runtime.clock import now_ms
from nodes.caller import the_owner
from nodes.door_service import push_from_spool
from nodes.login import answer
from nodes.operators import Profile
from nodes.partner_service import PartnerMethods
from nodes.parts import Node
from nodes.roles import Role
from nodes.sensors import DAY_MS, Scope
from nodes.spool import SENSOR, Spool
from nodes.store import approvals
from nodes.store.rows import ItemState
from nodes.v1 import node_service_pb2 as pb
from tests.crash.judge import happened, maybe, quiet
from tests.integration.test_node_four_eyes import approve, as_caller, push, waits_for_approval
from tests.support.crash_room import Room, Story
from tests.support.node_world import a_label, count_reports, receipted, stored, until
from tests.support.operators import key_of
from tests.support.reports import a_report

DONE = b"done"
PASSPHRASE = b"correct horse battery staple"
PEOPLE = {
    "ada": Role.ADMINISTRATOR,
    "clara": Role.AUTHOR,
    "rana": Role.RELEASER,
    "sami": Role.RELEASER,
    "gone": Role.AUTHOR,
}


# -- operators ---------------------------------------------------------------------------------------------------------


async def operators_release_together(room: Room) -> None:
    """Operators are admitted, log in and out, approve one report, reject another; one leaves."""
    async with room.on("XA", "XV") as running:
        node, recipient = running["XA"], running["XV"]
        for name, role in PEOPLE.items():
            await room.once(name, partial(added, node, name, role))
        token = await room.once("login", lambda: session_of(node, "rana"))
        item = await room.once("pushed", lambda: waiting(node, "first"))
        other = await room.once("pushed another", lambda: waiting(node, "second"))
        await waits_or_went(node, item)
        assert await approve(node, item, "rana") <= 1
        await room.once("rejected", lambda: rejected(node, other))
        assert await approve(node, item, "sami") == 0
        await receipted(node, item, "XV")
        await happened(node, item, "approved", times=2)
        await happened(node, other, "rejected")
        kept = await node.core.database.read(partial(approvals.approvals_of, item=item))
        assert [row.name for row in kept] == ["rana", "sami"]
        report = await stored(node, other)
        assert report is not None and report.state is ItemState.REJECTED
        assert await stored(recipient, other) is None
        await node.operators.note_refusal("clara", "AddOperator", "x", NotAllowed("she may not"))
        await node.operators.logout(token.decode(), by="rana")
        await maybe(node.operators.revoke("gone", by="ada"), NotFound, Conflict)
        actions = [line.action for line in await node.operators.audit(limit=99)]
        assert actions.count("operator.add") == len(PEOPLE), actions
        assert actions.count("operator.revoke") == 1, actions
        await quiet(node, recipient)


def a_profile(name: str, role: Role) -> Profile:
    return Profile(name, key_of(name).public, frozenset({role}), Tlp.AMBER, now_ms() + DAY_MS)


async def added(node: Node, name: str, role: Role) -> bytes:
    await maybe(node.operators.add(a_profile(name, role), by="ada"), Conflict)
    return DONE


async def session_of(node: Node, name: str) -> bytes:
    made, key = node.operators.challenge(), key_of(name)
    return (await node.operators.login(key.public.key_id, made.nonce, answer(made, key))).token.encode()


async def waiting(node: Node, name: str) -> bytes:
    return (await push(node, "XV", approvals_=2, name=name)).item


async def waits_or_went(node: Node, item: bytes) -> None:
    if len(await node.core.database.read(partial(approvals.approvals_of, item=item))) < 2:
        await waits_for_approval(node, item, "XV")


async def rejected(node: Node, item: bytes) -> bytes:
    await maybe(node.approving.reject(item, "not so", caller=as_caller("rana")), Conflict, NotFound, NotAllowed)
    return DONE


async def partners_are_compared(room: Room) -> None:
    """An operator hears a fingerprint read out."""
    async with room.on("XA", "XV") as running:
        node = running["XA"]
        record = node.core.trust.now.directory.party(party_id("XV"))
        assert record is not None
        methods = PartnerMethods(node.core, node.reader_policies, wake=node.outbox.wake)
        spoken = next(each.fingerprint for each in (await methods.list_partners()).partners if each.party == "XV")
        request = pb.VerifyPartnerRequest(party="XV", read_out=spoken)
        await methods.verify_partner(request, caller=the_owner())
        (after,) = [each for each in (await methods.list_partners()).partners if each.party == "XV"]
        assert after.verified_ms and after.verified_by == the_owner().name


# -- sensors -----------------------------------------------------------------------------------------------------------


async def machines_push(room: Room) -> None:
    """A sensor is added and revoked; files in the spool are pushed or refused, each once."""
    async with room.on("XA", "XV") as running:
        node, recipient = running["XA"], running["XV"]
        for name in (SENSOR, "camera"):
            await maybe(node.sensors.add(a_scope(name)), Conflict)
        await node.sensors.note_ca(a_scope("camera"))
        await maybe(node.sensors.revoke("camera"), NotFound)
        spool = Spool(node.home / "spool", node.sensors, partial(push_from_spool, node.authoring))
        spool.prepare()
        await room.once("dropped", lambda: dropped(spool))

        async def empty() -> bool:
            await spool.run_once()
            return not [path for path in spool.directory.iterdir() if path.is_file()]

        await until(empty, "files stay in the spool")
        assert len(list(spool.sent.glob("*.json"))) == 1 and len(list(spool.sent.glob("*.label.yaml"))) == 1
        reports = [path for path in spool.rejected.glob("*.json") if not path.name.endswith(".reason.json")]
        assert len(reports) == 1
        assert await count_reports(node) == 1
        await until(partial(has_one, recipient), "it has not come")
        assert [(each.scope.name, each.status) for each in await node.sensors.list()] == [
            ("camera", "revoked"),
            (SENSOR, "active"),
        ]
        await quiet(node, recipient)


def a_scope(name: str) -> Scope:
    return Scope(name, (Category.ALERT,), Tlp.AMBER, 100, b"", now_ms() + DAY_MS)


async def dropped(spool: Spool) -> bytes:
    for name, content in (("good", a_report()), ("bad", b"{}")):
        (spool.directory / f"{name}.label.yaml").write_bytes(a_label("XV"))
        (spool.directory / f"{name}.json").write_bytes(content)
    return DONE


async def has_one(node: Node) -> bool:
    return await count_reports(node) == 1


STORIES: Mapping[str, tuple[Story, Sequence[str]]] = {
    "operators": (
        operators_release_together,
        (
            "nodes.approving:Approving.approve",
            "nodes.approving:Approving.reject",
            "nodes.operators:Operators.add",
            "nodes.operators:Operators.login",
            "nodes.operators:Operators.logout",
            "nodes.operators:Operators.note_refusal",
            "nodes.operators:Operators.revoke",
        ),
    ),
    "partner": (partners_are_compared, ("nodes.partner_service:PartnerMethods.verify_partner",)),
    "sensors": (
        machines_push,
        (
            "nodes.sensors:Sensors.add",
            "nodes.sensors:Sensors.count",
            "nodes.sensors:Sensors.note_ca",
            "nodes.sensors:Sensors.revoke",
            "nodes.spool:Spool._move",
            "nodes.spool:Spool._move#2",
            "nodes.spool:Spool._move#3",
            "nodes.spool:Spool._move#4",
            "nodes.spool:Spool._move#5",
            "nodes.spool:Spool.prepare",
        ),
    ),
}
