"""RelayAdminService: what the relay's operator asks, over a Unix socket that only its owner can enter."""

from collections.abc import Mapping

from sqlalchemy import Connection

from exchange.directory.state import MEMBERS, Status
from exchange.envelope.model import Lane
from exchange.names import PartyId
from exchange.relay.counters import Counters
from exchange.relay.deliver import Deliveries
from exchange.relay.directory import LiveDirectory
from exchange.relay.keys import Keystore
from exchange.relay.limits import Limits
from exchange.relay.mailbox import Backlog
from exchange.relay.peers import Context
from exchange.relay.retention import Retention
from exchange.relay.sequencer import Log
from exchange.relay.store.logs import SqlLogs
from exchange.relay.store.mailboxes import SqlMailboxes
from exchange.relay.witnesses import Witnessing
from exchange.runtime.database import Database
from exchange.runtime.lifecycle import Drain
from exchange.v1 import relay_admin_service_pb2 as pb
from exchange.v1.relay_admin_service_pb2_grpc import RelayAdminServiceServicer


class RelayAdminService(RelayAdminServiceServicer):
    """The operator's door."""

    def __init__(
        self,
        database: Database,
        directory: LiveDirectory,
        witnessing: Witnessing,
        deliveries: Deliveries,
        *,
        retention: Retention,
        draining: Drain,
        keystore: Keystore,
        limits: Limits,
        counters: Counters,
        started_ms: int,
    ) -> None:
        """`started_ms` is when the process began."""
        self._database = database
        self._directory = directory
        self._witnessing = witnessing
        self._deliveries = deliveries
        self._retention = retention
        self._draining = draining
        self._keystore = keystore
        self._limits = limits
        self._counters = counters
        self._started_ms = started_ms

    async def GetStatus(  # noqa: N802 - the name in the proto
        self,
        request: pb.GetRelayStatusRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> pb.GetRelayStatusResponse:
        """Say how the relay is."""

        def read(connection: Connection) -> tuple[int, int, int, dict[tuple[PartyId, Lane], Backlog]]:
            mailboxes = SqlMailboxes(connection)
            held_bytes = sum(mailboxes.held_bytes().values())
            return SqlLogs(connection).state(Log.TRAFFIC).size, mailboxes.held(), held_bytes, dict(mailboxes.backlogs())

        traffic_size, held, held_bytes, backlogs = await self._database.read(read)
        file = await self._database.free_pages()
        directory, traffic = (self._witnessing.shown(log) for log in (Log.DIRECTORY, Log.TRAFFIC))
        now, connected = self._directory.now, self._deliveries.connected()
        parties = now.directory.parties()
        return pb.GetRelayStatusResponse(
            exchange=now.directory.exchange,
            started_ms=self._started_ms,
            directory_size=now.size,
            traffic_size=traffic_size,
            directory_checkpoint=directory.newest,
            traffic_checkpoint=traffic.newest,
            directory_cosigned=directory.cosigned,
            traffic_cosigned=traffic.cosigned,
            directory_cosigned_size=self._witnessing.cosigned_size(Log.DIRECTORY),
            traffic_cosigned_size=self._witnessing.cosigned_size(Log.TRAFFIC),
            witnessed=self._witnessing.witnessed,
            envelopes=held,
            held_bytes=held_bytes,
            deleted=self._retention.deleted,
            store_bytes=file.total * file.page_bytes if file else 0,
            store_free_bytes=file.free * file.page_bytes if file else 0,
            mailboxes=[
                _mailbox(record.party, backlogs, connected=record.party in connected)
                for record in parties
                if record.status in MEMBERS
            ],
            joining=[record.party for record in parties if record.status is Status.JOINING],
            draining=self._draining.begun,
            answers=[pb.AnswerCount(reason=reason, count=count) for reason, count in self._counters.answered().items()],
            writes_waiting=self._database.waiting,
            keys=[
                pb.HeldKeys(promise=each.promise.public.key_id.hex(), standing=standing)
                for each, standing in self._keystore.keys.standings()
            ],
            limits=[
                pb.LimitInForce(name=each.name, value=each.value, by_council=each.by_council)
                for each in self._limits.in_force(now.directory.limits)
            ],
        )

    async def ReloadKeys(  # noqa: N802 - the name in the proto
        self,
        request: pb.ReloadKeysRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.ReloadKeysResponse:
        """Take up keys that were made."""
        return pb.ReloadKeysResponse(needed=await self._keystore.reload(request.passphrase))


def _mailbox(party: PartyId, backlogs: Mapping[tuple[PartyId, Lane], Backlog], *, connected: bool) -> pb.MailboxStatus:
    mine = {lane: backlogs[party, lane] for lane in Lane if (party, lane) in backlogs}
    return pb.MailboxStatus(
        party=party,
        waiting=sum(each.waiting for each in mine.values()),
        connections=int(connected),
        lanes=[
            pb.LaneBacklog(lane=lane.name.lower(), waiting=each.waiting, since_ms=each.since_ms)
            for lane, each in mine.items()
        ],
    )
