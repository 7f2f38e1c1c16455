"""The part of NodeService that is about the exchange: partners and keys."""

from functools import partial
from hashlib import sha256

from exchange.crypto.keys import fingerprint
from exchange.crypto.x509 import validity
from exchange.directory.state import PartyRecord
from exchange.errors import NotFound
from exchange.names import party_id
from exchange.policy.model import Tlp
from exchange.reader_policy.model import ReaderPolicy
from nodes.caller import Caller
from nodes.core import Core
from nodes.prekeys import DAY_MS, KEEP_MS
from nodes.reader_policies import ReaderPolicies
from nodes.relay_client import RelayClient
from nodes.spoken import check_spoken
from nodes.store.partners import Verified, all_verified, put_verified
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.reader_pb2 import ClearanceScale, PartnerReaders

EXPIRES_SOON_MS = 30 * DAY_MS


class PartnerMethods:
    """Partners and keys, as NodeService has them."""

    def __init__(self, core: Core, relay: RelayClient, policies: ReaderPolicies) -> None:
        """Call these use cases."""
        self._core = core
        self._relay = relay
        self._policies = policies

    # -- partners ------------------------------------------------------------------------------------------------------

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
        await core.database.write(partial(put_verified, row=row))
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

    # -- keys ----------------------------------------------------------------------------------------------------------

    async def list_keys(self) -> pb.ListKeysResponse:
        """List the keys of this node; never a secret."""
        core = self._core
        held = await core.keybox.prekey_days()
        return pb.ListKeysResponse(
            keys=[
                self._certified("statement", core.keys.statement.public.key_id, "ML-DSA-65 + Ed25519"),
                self._certified("envelope", core.keys.envelope.public.key_id, "Ed25519"),
                self._transport_ca(),
                *self._transport(),
                *(self._prekey(day, key_id) for day, key_id in held),
            ]
        )

    def _certified(self, use: str, key_id: bytes, algorithm: str) -> pb.Key:
        core = self._core
        record = core.trust.now.directory.key_record(key_id)
        if record is None:
            return pb.Key(use=use, id=key_id.hex(), algorithm=algorithm, status="published")
        status = "revoked" if record.revoked_for is not None else "active"
        if status == "active" and record.not_after_ms and record.not_after_ms - core.clock() < EXPIRES_SOON_MS:
            status = "expiring"
        return pb.Key(
            use=use,
            id=key_id.hex(),
            algorithm=algorithm,
            not_before_ms=record.not_before_ms,
            not_after_ms=record.not_after_ms,
            status=status,
        )

    def _transport_ca(self) -> pb.Key:
        core = self._core
        directory = core.trust.now.directory
        known = directory.transport_cas().get(core.keys.transport_ca) == core.me
        begin, end = validity(core.keys.transport_ca)
        return pb.Key(
            use="transport-ca",
            id=_certificate_id(core.keys.transport_ca),
            algorithm="ECDSA P-256",
            not_before_ms=begin,
            not_after_ms=end,
            status="active" if known else "published",
        )

    def _transport(self) -> list[pb.Key]:
        leaf = self._relay.leaf
        if leaf is None:
            return []
        begin, end = validity(leaf)
        return [
            pb.Key(
                use="transport",
                id=_certificate_id(leaf),
                algorithm="ECDSA P-256",
                not_before_ms=begin,
                not_after_ms=end,
                status="active",
            )
        ]

    def _prekey(self, day: int, key_id: bytes) -> pb.Key:
        today = self._core.clock() // DAY_MS
        status = "draining" if day < today else "active" if day == today else "published"
        return pb.Key(
            use="prekey",
            id=key_id.hex(),
            algorithm="ML-KEM-768 + X25519",
            not_before_ms=day * DAY_MS,
            not_after_ms=(day + 1) * DAY_MS + KEEP_MS,
            status=status,
        )


def _readers(policy: ReaderPolicy) -> PartnerReaders:
    return PartnerReaders(
        scales=[ClearanceScale(name=name, levels=levels) for name, levels in sorted(policy.terms.scales.items())],
        attributes=sorted(policy.terms.attributes),
        max_age_days=policy.max_age_days,
        at_ms=policy.at_ms,
    )


def _certificate_id(certificate: bytes) -> str:
    return sha256(certificate).hexdigest()
