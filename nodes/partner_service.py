"""The part of NodeService that is about the exchange: its partners."""

from collections.abc import Callable
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.keys import fingerprint
from exchange.directory.state import PartyRecord
from exchange.errors import NotFound
from exchange.names import party_id
from exchange.policy.model import Tlp
from exchange.reader_policy.model import ReaderPolicy
from nodes.caller import Caller
from nodes.core import Core
from nodes.prekeys import DAY_MS
from nodes.reader_policies import ReaderPolicies
from nodes.spoken import check_spoken
from nodes.store import reports
from nodes.store.partners import Verified, all_verified, put_verified
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.reader_pb2 import ClearanceScale, PartnerReaders


class PartnerMethods:
    """Partners, as NodeService has them."""

    def __init__(self, core: Core, policies: ReaderPolicies, *, wake: Callable[[], None]) -> None:
        """`policies` knows what partners say of their readers; `wake` tells the sender that there is work."""
        self._core = core
        self._policies = policies
        self._wake = wake

    async def list_partners(self) -> pb.ListPartnersResponse:
        """List every party that the directory knows, by id, with what it says of its readers."""
        known = await self._policies.known()
        compared = await self._core.database.read(all_verified)
        return pb.ListPartnersResponse(
            partners=[
                self._partner(record, known.get(record.party), compared.get(record.party))
                for record in self._core.trust.now.directory.parties()
            ]
        )

    async def verify_partner(self, request: pb.VerifyPartnerRequest, *, caller: Caller) -> pb.VerifyPartnerResponse:
        """Note that the other side read out the fingerprint of the root that the directory has.

        Raises:
            NotFound: no such partner.
            VerificationFailed: it read out something else; nothing is noted.
        """
        core = self._core
        record = core.trust.now.directory.party(party_id(request.party))
        if record is None:
            raise NotFound(f"no partner {request.party[:80]!r}", hint="concord partner list")
        check_spoken(
            fingerprint(record.party, record.root.raw),
            read_out=request.read_out,
            hint="let them read it once more; if it stays so, tell the council: somebody may stand between you",
        )
        row = Verified(record.party, record.root.key_id, core.clock(), caller.name)
        await core.database.write(partial(_store_verified, row=row))
        core.comparisons.note(row)
        # What waited for this goes now, if nothing else is against it.
        self._wake()
        policy = (await self._policies.known()).get(record.party)
        return pb.VerifyPartnerResponse(partner=self._partner(record, policy, row))

    def _partner(self, record: PartyRecord, policy: ReaderPolicy | None, compared: Verified | None) -> pb.Partner:
        core = self._core
        directory, now_ms = core.trust.now.directory, core.clock()
        statement = directory.current_statement_key(record.party, at_ms=now_ms)
        envelope = directory.current_envelope_key(record.party, at_ms=now_ms)
        today = now_ms // DAY_MS
        # A comparison is of one root; another one has not been compared.
        verified = compared if compared is not None and compared.root_key_id == record.root.key_id else None
        ends = [each.statement.first_day + each.statement.days for each in directory.bundles(record.party)]
        return pb.Partner(
            party=record.party,
            display_name=record.display_name,
            country=record.country,
            status=record.status.value,
            ceiling=Tlp(record.ceiling).word,
            fingerprint=fingerprint(record.party, record.root.raw),
            root_key_id=record.root.key_id.hex(),
            statement_key_id=statement.key_id.hex() if statement else "",
            envelope_key_id=envelope.key_id.hex() if envelope else "",
            prekey_days=max([end - today for end in ends if end > today], default=0),
            admitted_at=0 if record.admitted_at is None else record.admitted_at + 1,
            self=record.party == core.me,
            readers=_readers(policy) if policy is not None else None,
            verified_ms=verified.at_ms if verified else 0,
            verified_by=verified.operator if verified else "",
        )


def _readers(policy: ReaderPolicy) -> PartnerReaders:
    return PartnerReaders(
        scales=[ClearanceScale(name=name, levels=levels) for name, levels in sorted(policy.terms.scales.items())],
        attributes=sorted(policy.terms.attributes),
        max_age_days=policy.max_age_days,
        at_ms=policy.at_ms,
    )


def _store_verified(connection: Connection, row: Verified) -> None:
    put_verified(connection, row)
    reports.decide_again(connection)
