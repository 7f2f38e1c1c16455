"""Somebody with a partner's stolen keystore, who speaks to the real relay without the partner's node.

What it knows it has from the relay, as any partner has it: the directory and the others' prekeys.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from exchange.crypto.keys import PublicKey
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import sign
from exchange.directory.fold import Directory
from exchange.directory.prekeys import choose, open_bundle
from exchange.envelope.codec import encode_report
from exchange.envelope.model import REPORT_TYPE, Body, EnvelopeKind, Head, ReportStatement
from exchange.envelope.seal import Recipient, prepare, seal_all
from exchange.errors import NotFound
from exchange.names import ID_BYTES, PartyId, party_id
from exchange.policy.binding import relay_label
from exchange.policy.codec import encode_label
from exchange.policy.terms import AgreementRef
from exchange.runtime.clock import now_ms
from exchange.runtime.relay_info import read_relay_info
from nodes.author import Desk, author
from nodes.keyring import Keyring, KeysInUse
from nodes.keystore import NodeKeys, load_keys
from nodes.relay_client import RelayClient
from nodes.relay_port import Frame, Outcome

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Forger:
    """Whoever has the keys of `party`; `directory` is the log as the relay shows it."""

    party: PartyId
    keys: NodeKeys
    directory: Directory
    relay_info: Path

    @classmethod
    def of(cls, party: str, home: Path, passphrase: bytes, *, directory: Directory, relay_info: Path) -> "Forger":
        """Steal the keystore of a partner's node."""
        return cls(party_id(party), load_keys(home, passphrase), directory, relay_info)

    async def send(self, content: bytes, label: bytes, to: str, *, basis: AgreementRef) -> Outcome:
        """Sign a report now, send it to one partner under an agreement, and return the relay's answer."""
        relay = RelayClient(
            read_relay_info(self.relay_info.read_text()).address,
            server_name="",
            relay_cas=lambda: self.directory.relay_cas(at_ms=now_ms()),
            exchange=self.directory.exchange,
            party=self.party,
            keys=KeysInUse(Keyring(self.keys, self.party), lambda: self.directory, now_ms),
            clock=now_ms,
        )
        try:
            kem = await self._prekey(relay, party_id(to))
            return await _first_answer(relay, self._sealed(content, label, party_id(to), kem, basis))
        finally:
            await relay.close()

    async def _prekey(self, relay: RelayClient, party: PartyId) -> PublicKey:
        named = [record.statement.bundle_sha256 for record in self.directory.bundles(party)]
        for data in await relay.fetch_prekeys(named):
            key = choose(open_bundle(data, self.directory, party), now_ms())
            if key is not None:
                return key
        raise NotFound(f"{party} has no prekey")

    def _sealed(self, content: bytes, label: bytes, to: PartyId, kem: PublicKey, basis: AgreementRef) -> bytes:
        partners = [record.party for record in self.directory.parties()]
        made, at_ms = author(content, label, desk=Desk(self.party, partners, {}), now_ms=now_ms()), now_ms()
        shown = encode_label(made.label)
        report = ReportStatement(
            exchange=self.directory.exchange,
            originator=self.party,
            label=shown,
            kind=made.kind,
            media_type=made.media_type,
            content=made.content,
            thread_id=made.thread_id,
            supersedes=b"",
            authored_ms=at_ms,
            salt=random_bytes(ID_BYTES),
        )
        signed = sign(self.keys.statement, REPORT_TYPE, encode_report(report), context=self.directory.exchange)
        ends_ms = at_ms + 7 * DAY_MS
        prepared = prepare(
            exchange=self.directory.exchange,
            sender=self.party,
            sender_key=self.keys.envelope.public.key_id,
            created_ms=at_ms,
            expires_ms=ends_ms,
            lane=made.lane,
            kind=EnvelopeKind.REPORT,
            label=relay_label(made.label, shown, sender=self.party, expires_ms=ends_ms),
            directory=Head(self.directory.size, self.directory.root()),
            body=Body(signed),
            # A stream of its own: the numbers of the node that was robbed go on.
            recipients=[Recipient(to, kem, stream=self.keys.stream + 1, pair_seq=1, basis=basis)],
        )
        return seal_all([prepared], self.keys.envelope)[0].submission_bytes


async def _first_answer(relay: RelayClient, submission: bytes) -> Outcome:
    async def frames() -> AsyncIterator[Frame]:
        yield Frame(1, [submission])

    async for answered in relay.submit(frames()):
        return answered.outcomes[0]
    raise NotFound("the relay did not answer")
