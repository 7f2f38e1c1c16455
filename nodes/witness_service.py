"""The part of NodeService that is about witnesses: who they are, this node's key, and naming them for roots to sign."""

from functools import partial

from exchange.crypto.keys import KeyAlgorithm, admit_public_key
from exchange.directory.codec import encode, name_of
from exchange.directory.issue import draft_witness_set
from exchange.directory.statements import Witness, Witnesses
from exchange.directory.witnesses import check_witnesses
from exchange.errors import BadInput, NotFound
from exchange.names import COUNCIL, party_id
from nodes.core import Core
from nodes.proving import Proving
from nodes.relay_port import Log
from nodes.store import sending
from nodes.store import trust as trust_store
from nodes.store import witnesses as store
from nodes.v1 import witness_pb2 as pb

EVIDENCE_LISTED = 50


class WitnessMethods:
    """Witnesses, as NodeService has them."""

    def __init__(self, core: Core, proving: Proving) -> None:
        """Answer by this node's replay of the directory."""
        self._core = core
        self._proving = proving

    async def get(self) -> pb.GetWitnessResponse:
        """Return the witnesses, and this node's own key."""
        core, snapshot = self._core, self._core.trust.now
        named = snapshot.directory.witnesses(at_size=snapshot.size)
        own = core.keys.witness.public
        heads = [await core.database.read(partial(store.cosigned_head, log=log)) for log in Log]
        return pb.GetWitnessResponse(
            exchange=core.exchange,
            party=core.me,
            key=own.raw,
            key_id=own.key_id.hex(),
            members=[
                pb.WitnessMember(party=each.party, key_id=each.key.key_id.hex())
                for each in (named.members if named else ())
            ],
            quorum=named.quorum if named else 0,
            policy=self._proving.policy(),
            cosigned=[
                pb.CosignedLog(log=Log(head.log).name.lower(), size=head.size, root=head.root.hex(), at_ms=head.at_ms)
                for head in heads
                if head is not None
            ],
            directory_seen=await self._seen(Log.DIRECTORY),
            traffic_seen=await self._seen(Log.TRAFFIC),
            promise_seen=await core.database.read(sending.promise_at_the_end),
        )

    async def _seen(self, log: Log) -> str:
        """Return the newest checkpoint of a log that this node has taken in or cosigned."""
        core = self._core
        kept = await core.database.read(partial(trust_store.checkpoint_of, log=log))
        head = await core.database.read(partial(store.cosigned_head, log=log))
        notes = [(kept[0], kept[1])] if kept is not None else []
        notes += [(head.size, head.note)] if head is not None else []
        return max(notes)[1] if notes else ""

    async def evidence(self, request: pb.ListLogEvidenceRequest) -> pb.ListLogEvidenceResponse:
        """Return the evidence against the relay, with one file at most: some have 300 KB."""
        kept = await self._core.database.read(partial(store.kept_evidence, limit=EVIDENCE_LISTED))
        return pb.ListLogEvidenceResponse(
            evidence=[
                pb.LogEvidence(
                    hash=each.hash.hex(),
                    found_ms=each.found_ms,
                    kind=each.kind,
                    what=each.what,
                    file=each.file if each.hash.hex() == request.file_of else "",
                )
                for each in kept
            ]
        )

    async def draft(self, request: pb.DraftWitnessesRequest) -> pb.DraftWitnessesResponse:
        """Return the naming of these witnesses as the roots are to sign it.

        Raises:
            NotFound: one of them is no partner.
            BadInput: they cannot be a set of witnesses, or the genesis asks for a larger quorum.
        """
        core, directory = self._core, self._core.trust.now.directory
        members = []
        for each in request.members:
            party = party_id(each.party)
            if directory.party(party) is None:
                raise NotFound(f"no partner {party}", hint="concord partner list")
            members.append(Witness(party, admit_public_key(KeyAlgorithm.MLDSA_44, each.key)))
        witnesses = Witnesses(tuple(members), request.quorum)
        least = directory.genesis.witnesses.quorum
        if not members:
            raise BadInput("no witnesses are named", hint="give a file of `concord log witness --out` for each")
        if witnesses.quorum < least:
            raise BadInput(f"a quorum of {witnesses.quorum}; the genesis asks for {least}", hint=f"--quorum {least}")
        check_witnesses(witnesses)
        statement = draft_witness_set(
            exchange=core.exchange, place=directory.next_seq_prev(COUNCIL), witnesses=witnesses, now_ms=core.clock()
        )
        return pb.DraftWitnessesResponse(type=name_of(statement), payload=encode(statement))
