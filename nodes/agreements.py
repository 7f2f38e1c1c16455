"""Agreements of this party: verify what partners and the relay hand over, keep it, publish it when it is complete.

A view counts once every one of its parties' roots has signed it, and its commitment stands in the directory. The text
is kept beside it for people; that the view follows from the text is checked whenever a text is taken in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed, verified_signers
from exchange.directory.fold import Directory
from exchange.errors import BadAgreement, ExchangeError, NotAllowed, Unavailable, VerificationFailed
from exchange.limits import MIB
from exchange.names import PartyId
from exchange.policy.agreement import commitment
from exchange.policy.codec import decode_view
from exchange.policy.terms import EnforcementView
from exchange.receipts.codec import decode_agreement_text, encode_agreement_text
from exchange.receipts.model import AgreementText
from exchange.runtime.database import Database
from exchange.runtime.logs import get_logger
from nodes import alarms
from nodes.agreement_file import AgreementFile, understood
from nodes.alarms import Alarms
from nodes.relay_port import Relay
from nodes.store import trust as store
from nodes.store.rows import KeptAgreement
from nodes.trust import Trust

VIEW_BYTES = 2 * MIB
"""Of a signed view: 64 terms and 256 signatures."""

VIEW_TYPE = "enforcement-view"
AGREEMENT_TYPE = "agreement"


@dataclass(frozen=True, slots=True)
class Taken:
    """An agreement as it stands after a file was taken in."""

    kept: KeptAgreement
    file: AgreementFile
    missing: tuple[PartyId, ...]
    """Parties whose root has not signed."""
    changed: bool
    """Whether this brought signatures that were not known here."""


class Agreements:
    """Agreements of one node. For one event loop."""

    def __init__(
        self, database: Database, trust: Trust, alarms_: Alarms, *, me: PartyId, clock: Callable[[], int]
    ) -> None:
        """Keep them in `database`; verified views go into `trust`."""
        self._database = database
        self._trust = trust
        self._alarms = alarms_
        self._me = me
        self._clock = clock
        self._log = get_logger(__name__)

    async def load(self) -> None:
        """Take up the complete ones that are stored."""
        kept = await self._database.read(store.agreements)
        self._believe([decode_signed(each.view, limit=VIEW_BYTES, what="a stored view") for each in kept])

    async def fetch(self, relay: Relay) -> None:
        """Ask the relay for views that are not known here; one that does not hold raises an alarm."""
        while views := await relay.fetch_agreements(list(self._trust.now.views)):
            before = len(self._trust.now.views)
            for data in views:
                await self._take_view(data)
            if len(self._trust.now.views) == before:
                return

    async def _take_view(self, data: bytes) -> None:
        try:
            signed = decode_signed(data, limit=VIEW_BYTES, what="an enforcement view")
            view = self._complete(signed)
        except Unavailable:
            return  # its commitment is a directory entry that comes next
        except ExchangeError as error:
            await self._alarms.raise_(alarms.AGREEMENT, "relay", f"the relay's view of an agreement: {error}")
            return
        await self._keep_view(signed, view)
        self._believe([signed])

    async def take(self, text: AgreementText) -> Taken:
        """Take in an agreement with the signatures that it has, joined with those known here.

        Raises:
            BadAgreement: the view does not follow from the text.
            NotAllowed: this party is none of its parties.
            VerificationFailed: a signature does not hold, or is by nobody who is a party.
        """
        file = understood(text)
        if self._me not in file.view.parties:
            raise NotAllowed(f"{self._me} is not a party of this agreement")
        for signed, name in ((text.agreement, AGREEMENT_TYPE), (text.view, VIEW_TYPE)):
            strangers = signers(signed, name, self._trust.now.directory) - set(file.view.parties)
            if strangers:
                raise VerificationFailed(f"signed by {', '.join(sorted(strangers))}, who are no parties of it")
        digest = commitment(text.view.payload, file.view.salt)
        taken = await self._database.write(lambda connection: self._merge(connection, digest, file))
        if not taken.missing:
            self._believe([taken.file.signed.view])
        return taken

    async def published(self, digest: bytes) -> None:
        """Note that the relay has taken a view."""

        def write(connection: Connection) -> None:
            kept = store.agreement_of(connection, digest)
            if kept is not None:
                store.put_agreement(connection, replace(kept, published=True))

        await self._database.write(write)

    async def all(self) -> Sequence[KeptAgreement]:
        """Return every agreement that is known here."""
        return await self._database.read(store.agreements)

    def missing(self, signed: Signed, parties: Sequence[PartyId]) -> tuple[PartyId, ...]:
        """Return the parties that have not signed."""
        return missing(signed, parties, self._trust.now.directory)

    def _merge(self, connection: Connection, digest: bytes, file: AgreementFile) -> Taken:
        kept = store.agreement_of(connection, digest)
        text = file.signed
        if kept is not None and kept.text:
            known = decode_agreement_text(kept.text)
            text = AgreementText(joined(known.agreement, text.agreement), joined(known.view, text.view))
        encoded = encode_agreement_text(text)
        merged = KeptAgreement(
            commitment=digest,
            agreement_id=file.view.agreement_id,
            version=file.view.version,
            text=encoded,
            view=encode_signed(text.view),
            stored_ms=self._clock(),
            published=kept.published if kept else False,
        )
        changed = kept is None or kept.text != encoded
        if changed:
            store.put_agreement(connection, merged)
        whole = AgreementFile(file.agreement, file.view, text)
        lacking = self.missing(text.view, file.view.parties) or self.missing(text.agreement, file.view.parties)
        return Taken(merged, whole, lacking, changed)

    async def _keep_view(self, signed: Signed, view: EnforcementView) -> None:
        digest = commitment(signed.payload, view.salt)

        def write(connection: Connection) -> None:
            kept = store.agreement_of(connection, digest)
            fresh = KeptAgreement(
                digest, view.agreement_id, view.version, b"", encode_signed(signed), self._clock(), published=True
            )
            store.put_agreement(connection, replace(kept, view=fresh.view, published=True) if kept else fresh)

        await self._database.write(write)

    def _complete(self, signed: Signed) -> EnforcementView:
        """Return a view that every party has signed, this one among them, and that the directory commits to."""
        view = decode_view(signed.payload)
        directory = self._trust.now.directory
        if view.exchange != directory.exchange or self._me not in view.parties:
            raise BadAgreement("a view of another exchange, or of other parties")
        if view.changes_sha256:
            raise BadAgreement("what accessions and notices make of an agreement is derived, not signed")
        # Signed under the roots of that time: a party that is expelled later ends it for nobody else.
        since = directory.agreement_since(commitment(signed.payload, view.salt))
        if missing(signed, view.parties, directory, at_size=since):
            raise VerificationFailed("a view that not every party has signed")
        if since is None:
            raise Unavailable("the directory shows no commitment to this view yet")
        return view

    def _believe(self, views: Sequence[Signed]) -> None:
        """Give those that hold to the decisions; what the directory does not commit to is held back until it does."""
        held = {}
        for signed in views:
            try:
                view = self._complete(signed)
            except ExchangeError as error:
                self._log.debug("agreement.not-yet", reason=error.reason)
                continue
            held[commitment(signed.payload, view.salt)] = view
        if held.keys() - self._trust.now.views.keys():
            self._trust.add_views(held)


def signers(signed: Signed, name: str, directory: Directory, *, at_size: int | None = None) -> frozenset[PartyId]:
    """Return the parties whose roots signed; VerificationFailed when a signature does not hold or is by no root.

    Roots are those that stood at directory size `at_size`; those that stand now when it is None.
    """
    size = directory.size if at_size is None else at_size
    found: dict[bytes, PartyId] = {}

    def lookup(key_id: bytes) -> PublicKey | None:
        record = directory.key_record(key_id)
        if record is None:
            return None
        found[key_id] = record.party
        return directory.root_key(record.party, key_id, at_size=size)

    ids = verified_signers(signed, lookup, expected_type=name, context=directory.exchange)
    return frozenset(found[key_id] for key_id in ids)


def missing(
    signed: Signed, parties: Sequence[PartyId], directory: Directory, *, at_size: int | None = None
) -> tuple[PartyId, ...]:
    """Return those of `parties` whose root has not signed; `at_size` as for `signers`.

    A signature by a root that does not stand then counts for nothing: its party has to sign again.
    """
    size = directory.size if at_size is None else at_size
    records = ((each, directory.key_record(each.key_id)) for each in signed.signatures)
    standing = tuple(
        each
        for each, record in records
        if record is not None and directory.root_key(record.party, each.key_id, at_size=size) is not None
    )
    if not standing:
        return tuple(parties)
    name = signed.payload_type.removeprefix("application/vnd.concord.").removesuffix(".v1+protobuf")
    have = signers(replace(signed, signatures=standing), name, directory, at_size=size)
    return tuple(party for party in parties if party not in have)


def joined(known: Signed, more: Signed) -> Signed:
    """Return a statement with the signatures of both copies, by key id; the payloads are the same."""
    if known.payload != more.payload:
        raise BadAgreement("two texts under one commitment")
    both = {signature.key_id: signature for signature in (*known.signatures, *more.signatures)}
    return replace(known, signatures=tuple(both[key_id] for key_id in sorted(both)))
