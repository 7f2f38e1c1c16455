"""Files with a statement that roots sign one after the other: standing, invitations, keys, witnesses.

    partner suspend                    STATEMENT REQUEST   drafted by a node, which knows its place in the directory
    partner expel                      EXPULSION REQUEST   as well, with what the partner holds, for `root expel`
    key revoke|rotate|rollover         STATEMENT REQUEST   as well
    root witnesses|relay-keys|limits   STATEMENT REQUEST   as well
    root invite                        STATEMENT           of an invitation, without its secret, for the other roots
    root sign                          STATEMENT           with as many signatures as it has so far
    partner publish                                        to the relay, by any node
    key rotate --finish                                    to the relay, by the node whose keys they are

What a file claims is judged by the directory's rules, at the node that publishes it and at the relay.
"""

from dataclasses import dataclass

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.keys import fingerprint
from exchange.crypto.signed import Signed, add_signature, sign
from exchange.directory.codec import decode, name_of, statement_name
from exchange.directory.relay_keys import spoken
from exchange.directory.statements import (
    ExchangeLimits,
    Expulsion,
    Invitation,
    LimitSet,
    NodeCert,
    RelayKeySet,
    Revocation,
    RevocationReason,
    RootRollover,
    Suspension,
    WitnessSet,
)
from exchange.errors import MalformedInput, NotAllowed
from exchange.limits import STATEMENT_BYTES
from exchange.names import COUNCIL
from exchange.policy.model import Tlp
from exchange.runtime.armour import read_armour, write_armour
from exchange.runtime.json_record import decode_record, encode_record, from_base64, to_base64
from nodes.moments import moment
from nodes.root_home import Root

REQUEST = "STATEMENT REQUEST"
STATEMENT = "STATEMENT"

Drafted = Suspension | Expulsion | Revocation | NodeCert | RootRollover
"""What a node drafts."""

Carried = Drafted | Invitation | WitnessSet | RelayKeySet | LimitSet
"""What may stand in such a file."""

_FIELDS: dict[str, type] = {"type": str, "payload": str}


@dataclass(frozen=True, slots=True)
class StatementTask:
    """A statement, with the signatures that it has so far."""

    payload: bytes
    statement: Carried
    signed: Signed | None

    def words(self) -> list[str]:
        """Return what is to be signed, a line each."""
        common, has = self.statement.common, len(self.signed.signatures) if self.signed else 0
        place = f"number {common.seq}" if common.seq else "any"
        return [
            f"{_deed(self.statement)} in the exchange {common.exchange}",
            f"  in the name of  {common.issuer}",
            *_details(self.statement),
            f"  place           {place}",
            f"  drafted         {moment(common.not_before_ms)}",
            f"  signatures      {has} so far",
        ]

    def sign(self, root: Root, _now_ms: int) -> str:
        """Return the text of the statement with this root's signature.

        Raises:
            NotAllowed: it is in the name of another party.
            MalformedInput: this root has signed it.
        """
        common = self.statement.common
        if common.issuer not in (COUNCIL, root.party):
            raise NotAllowed(f"it is in the name of {common.issuer}; this root is {root.party}'s")
        if self.signed is not None:
            return write_statement(add_signature(self.signed, root.key, context=common.exchange))
        return write_statement(sign(root.key, name_of(self.statement), self.payload, context=common.exchange))


def write_request(type_: str, payload: bytes) -> str:
    """Return the text of a file with a statement that nobody has signed."""
    return write_armour(REQUEST, encode_record({"type": type_, "payload": to_base64(payload)}))


def write_statement(signed: Signed) -> str:
    """Return the text of a file with a signed statement."""
    return write_armour(STATEMENT, encode_signed(signed))


def read_statement(text: str) -> Signed:
    """Return the signed statement of a file; raises MalformedInput or TooLarge for anything else."""
    return _signed(read_armour(text, {STATEMENT})[1])


def task_of(kind: str, data: bytes) -> StatementTask:
    """Return what is to be signed of a file of either kind, without its armour.

    Raises:
        MalformedInput, BadName, TooLarge: no statement that belongs into such a file.
    """
    if kind == STATEMENT:
        signed = _signed(data)
        return StatementTask(signed.payload, _read(statement_name(signed.payload_type), signed.payload), signed)
    fields = decode_record(data, _FIELDS, what="the statement request")
    payload = from_base64(fields["payload"], what="the statement")
    statement = _read(fields["type"], payload)
    if isinstance(statement, Expulsion):
        # With what the partner holds, and what cannot be undone, before the eyes of whoever signs first.
        raise MalformedInput("an expulsion is not signed this way", hint="concord partner expel, then root expel")
    return StatementTask(payload, statement, None)


def _read(name: str, payload: bytes) -> Carried:
    statement = decode(name, payload)
    if not isinstance(statement, Carried):
        raise MalformedInput(f"a {name[:40]} statement is not signed this way")
    return statement


def _signed(data: bytes) -> Signed:
    return decode_signed(data, limit=STATEMENT_BYTES, what="the statement")


def _details(statement: Carried) -> list[str]:
    match statement:
        case Invitation():
            return [
                f"  name            {statement.display_name}",
                f"  country         {statement.country}",
                f"  ceiling         TLP:{Tlp(statement.ceiling).word.upper()}",
                f"  ends            {moment(statement.common.not_after_ms)}",
                f"  one-time key    {statement.one_time_key.key_id.hex()}",
            ]
        case WitnessSet(witnesses=named):
            return [
                f"  quorum          {named.quorum} of {len(named.members)} must agree",
                *(f"  witness         {each.party}  {each.key.key_id.hex()}" for each in named.members),
            ]
        case RelayKeySet() | LimitSet():
            return _of_relay(statement)
        case NodeCert():
            return [
                f"  statement key   {statement.statement_key.key_id.hex()}",
                f"  envelope key    {statement.envelope_key.key_id.hex()}",
                f"  valid until     {moment(statement.common.not_after_ms)}",
            ]
        case RootRollover(party=party, new_root=root, effective_ms=effective_ms):
            return [
                f"  old root        {statement.old_root_key_id.hex()}",
                f"  new root        {root.key_id.hex()}",
                f"  fingerprint     {fingerprint(party, root.raw)}",
                f"  counts          {f'from {moment(effective_ms)} on' if effective_ms else 'at once'}",
            ]
    return []


def _of_relay(statement: RelayKeySet | LimitSet) -> list[str]:
    if isinstance(statement, LimitSet):
        limits = statement.limits
        return [
            f"  report          {limits.report_bytes:,} bytes at most, suite {limits.min_suite} or later",
            f"  recipients      {limits.recipients} of one envelope",
            *(f"  {name:<15} {value:,}" for name, value in _quotas(limits) if value),
        ]
    since_ms = statement.stolen_since_ms
    before = f"STOLEN since {moment(since_ms)}: they end at once" if since_ms else "followed in good order"
    return [
        f"  fingerprint     {spoken(statement.keys)}",
        f"  promise key     {statement.keys.promise.key_id.hex()}",
        f"  keys before     {before}",
    ]


def _quotas(limits: ExchangeLimits) -> list[tuple[str, int]]:
    return [
        ("reports/minute", limits.reports_per_minute),
        ("control/minute", limits.control_per_minute),
        ("bytes held", limits.held_bytes),
        ("statements/day", limits.statements_per_day),
    ]


def _deed(statement: Carried) -> str:
    match statement:
        case Invitation():
            words = f"invitation of {statement.party}"
        case Suspension(suspended=suspended):
            words = f"suspension of {statement.party}" if suspended else f"end of the suspension of {statement.party}"
        case WitnessSet():
            words = "naming of the witnesses"
        case RelayKeySet():
            words = "OTHER KEYS for the relay"
        case LimitSet():
            words = "limits"
        case Expulsion():
            words = f"EXPULSION of {statement.party}, for good,"
        case NodeCert(common=common):
            words = f"new keys for the node of {common.issuer}"
        case RootRollover():
            words = f"ANOTHER ROOT for {statement.party}"
        case Revocation(reason=reason):
            since = f" since {moment(statement.compromised_since_ms)}" if reason is RevocationReason.COMPROMISED else ""
            key = statement.key_id.hex()
            words = f"revocation of a key of {statement.party} ({key}), {reason.name.lower()}{since},"
    return words
