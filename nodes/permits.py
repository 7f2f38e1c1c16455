"""What nobody does alone with a node's keys: two operators permit a backup or a restore, each with a key of their own.

A backup takes every key of a node out of its home, a restore lets a node with these keys come to life elsewhere. Both
work on a node that is stopped, where nobody is logged in; so operators sign permits beforehand, each where its key is:
- to back up: for one node, until a day; a timer may use it
- to restore: for one file, by its SHA-256, until a day
Two permits count when both hold and their operators are two, administrators or security officers, as the node knew them
(at a restore: when it was backed up). A node that never had operators asks nobody. What this protects from, and what
not: docs/guides/operators.md, docs/decisions/0018-two-people-for-the-keys.md. Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from exchange.crypto.dsse import pae
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import payload_type
from exchange.crypto.signing import CompositeKey, sign_bytes, verify_bytes
from exchange.errors import BadInput, MalformedInput, NotAllowed
from exchange.limits import CLOCK_AHEAD_MS
from exchange.runtime.armour import read_armour, write_armour
from exchange.runtime.json_record import decode_record, encode_record, from_base64, from_hex, to_base64
from nodes.moments import moment
from nodes.operators import Operator
from nodes.roles import Role

DAY_MS = 24 * 60 * 60 * 1000
DAYS_MOST = 92
PEOPLE = 2
MAY_PERMIT = frozenset({Role.ADMINISTRATOR, Role.SECURITY_OFFICER})
SUBJECT_CHARS = 400

_ARMOUR = "OPERATOR PERMIT"
_TYPE = payload_type("operator-permit")
_CONTEXT = b"concord"
_FIELDS: dict[str, type] = {
    "act": str,
    "subject": str,
    "at_ms": int,
    "until_ms": int,
    "key_id": str,
    "signature": str,
}


class Act(StrEnum):
    """What is permitted."""

    BACKUP = "backup"
    RESTORE = "restore"

    @property
    def verb(self) -> str:
        """As people say it."""
        return "back up" if self is Act.BACKUP else "restore"


@dataclass(frozen=True, slots=True)
class Permit:
    """What a file says; nothing is known of it until `two_of` has returned."""

    act: Act
    subject: str
    """Of a backup EXCHANGE/PARTY, of a restore the file's SHA-256."""
    at_ms: int
    until_ms: int
    key_id: bytes = field(default=b"", repr=False)
    signature: bytes = field(default=b"", repr=False)


def node_subject(exchange: str, party: str) -> str:
    """Return how a permit names a node."""
    return f"{exchange}/{party}"


def write_permit(act: Act, subject: str, key: CompositeKey, *, now_ms: int, days: int) -> str:
    """Return the text of an operator's permit."""
    if not 1 <= days <= DAYS_MOST:
        raise BadInput(f"a permit for {days} days", hint=f"1 to {DAYS_MOST} days")
    permit = Permit(act, subject, now_ms, now_ms + days * DAY_MS)
    record = {
        "act": permit.act.value,
        "subject": permit.subject,
        "at_ms": permit.at_ms,
        "until_ms": permit.until_ms,
        "key_id": key.public.key_id.hex(),
        "signature": to_base64(sign_bytes(key, _message(permit), _CONTEXT)),
    }
    return write_armour(_ARMOUR, encode_record(record))


def read_permit(text: str) -> Permit:
    """Return what a permit's file says; MalformedInput or TooLarge for anything else. Nothing is verified."""
    fields = decode_record(read_armour(text, {_ARMOUR})[1], _FIELDS, what="the permit")
    if fields["act"] not in set(Act) or len(fields["subject"]) > SUBJECT_CHARS or "\x00" in fields["subject"]:
        raise MalformedInput("the permit is for nothing that is known here")
    if not 0 < fields["at_ms"] < fields["until_ms"] <= fields["at_ms"] + DAYS_MOST * DAY_MS < 1 << 53:
        raise MalformedInput("the permit's times are none")
    return Permit(
        Act(fields["act"]),
        fields["subject"],
        fields["at_ms"],
        fields["until_ms"],
        from_hex(fields["key_id"], what="the permit's key"),
        from_base64(fields["signature"], what="the permit's signature"),
    )


def who_may(operators: Iterable[Operator]) -> list[str]:
    """Return the operators who may permit a backup or a restore, by name."""
    return sorted(each.profile.name for each in operators if _may_permit(each))


def two_of(
    permits: Sequence[Permit], operators: Sequence[Operator], *, act: Act, subject: str, now_ms: int
) -> tuple[str, ...]:
    """Return which operators permit an act; nobody when the node never had operators.

    `operators` are all that the node ever had, as they stood when it knew them.

    Raises:
        NotAllowed: fewer than two permit it, or a permit is for something else, over, or nobody's who may permit it.
        BadSignature: a permit was not signed by the operator that it names.
    """
    if not operators:
        return ()
    may = {each.profile.key.key_id: each for each in operators if _may_permit(each)}
    names: dict[str, None] = {}
    for permit in permits:
        if (permit.act, permit.subject) != (act, subject):
            raise NotAllowed(f"a permit is to {permit.act.verb} {permit.subject}, not to {act.verb} {subject}")
        # The clock of the machine where it was signed may be a little ahead.
        if not permit.at_ms - CLOCK_AHEAD_MS <= now_ms < permit.until_ms:
            raise NotAllowed(f"a permit counts from {moment(permit.at_ms)} to {moment(permit.until_ms)} UTC only")
        operator = may.get(permit.key_id)
        if operator is None:
            raise NotAllowed("a permit is by nobody who may permit this", hint=_who(operators))
        _check(permit, operator.profile.key)
        names[operator.profile.name] = None
    if len(names) < PEOPLE:
        found = f"{next(iter(names))} alone permits it" if names else "nobody permits it"
        hint = f"{_who(operators)}: concord operator permit-{act}, then --permit FILE for each"
        raise NotAllowed(f"to {act.verb} a node that has operators takes two of them; {found}", hint=hint)
    return tuple(names)


def _may_permit(operator: Operator) -> bool:
    return operator.status == "active" and not MAY_PERMIT.isdisjoint(operator.profile.roles)


def _who(operators: Iterable[Operator]) -> str:
    return f"two of {', '.join(who_may(operators)) or 'nobody; admit administrators or security officers'}"


def _check(permit: Permit, key: PublicKey) -> None:
    verify_bytes(key, permit.signature, _message(permit), _CONTEXT)


def _message(permit: Permit) -> bytes:
    # Names hold no zero byte and what follows them has a fixed length: no two permits have the same bytes.
    names = b"".join(word.encode() + b"\x00" for word in (permit.act.value, permit.subject))
    return pae(_TYPE, names + permit.at_ms.to_bytes(8, "big") + permit.until_ms.to_bytes(8, "big"))
