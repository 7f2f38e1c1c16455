"""Operators: who may speak with this node at its socket, how they prove it, and what is written down of it.

An administrator admits a public key under a name, with roles, a ceiling, clearances and attributes. The operator signs
a challenge (nodes/login.py) and gets a token of which the node keeps only a digest. While no operator was ever added,
whoever reaches the socket may do everything; the first must be an administrator, and from then on every call needs a
session. An unknown, expired and revoked operator get the same answer, and so do their tokens.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import orjson
from sqlalchemy import Connection

from exchange.crypto.keys import KeyAlgorithm, PublicKey, admit_public_key
from exchange.crypto.random import random_bytes, token, token_digest
from exchange.errors import BadInput, BadName, BadSignature, Conflict, ExchangeError, NotAuthenticated, NotFound
from exchange.names import ID_BYTES, ExchangeName, PartyId, operator_name
from exchange.policy.model import Tlp
from exchange.policy.readers import ReaderTerms
from exchange.runtime.database import Database
from nodes.caller import OWNER, Caller, the_owner
from nodes.login import Challenge, check_answer, new_challenge
from nodes.operator_home import operator_fingerprint
from nodes.roles import Role, compatible
from nodes.store import operators as store
from nodes.store.operators import AuditLine, OperatorRow, SessionRow

DAY_MS = 24 * 60 * 60 * 1000
DAYS_MOST = 1_096
SESSION_MS = 8 * 60 * 60 * 1000
SESSIONS_MOST = 8
"""Of one operator."""
CHALLENGE_MS = 60_000
CHALLENGES_MOST = 256
REPEAT_MS = 60_000
"""The same refusal of the same caller is written down once in this time."""
REMEMBERED = 1_000

ADD, REVOKE, LOGIN, LOGOUT, REFUSED = "operator.add", "operator.revoke", "operator.login", "operator.logout", "refused"
"""Actions in the audit."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Who an operator is and what the operator may do."""

    name: str
    key: PublicKey
    roles: frozenset[Role]
    ceiling: Tlp
    until_ms: int
    clearances: Mapping[str, str] = field(default_factory=dict)
    """Level by scale."""
    attributes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator as others see it."""

    profile: Profile
    pseudonym: bytes
    status: str
    """active, expired or revoked."""
    added_ms: int
    added_by: str
    login_ms: int


@dataclass(frozen=True, slots=True)
class Login:
    """A session that has begun."""

    token: str = field(repr=False)
    operator: Operator
    until_ms: int


class Operators:
    """The operators of one node."""

    def __init__(
        self,
        database: Database,
        *,
        exchange: ExchangeName,
        party: PartyId,
        terms: ReaderTerms,
        max_age_days: int,
        clock: Callable[[], int],
    ) -> None:
        """`terms` are the clearances and attributes that operators of this party can hold, for `max_age_days`."""
        self._database = database
        self._exchange = exchange
        self._party = party
        self._terms = terms
        self._max_age_ms = max_age_days * DAY_MS
        self._clock = clock
        self._any = True
        self._challenges: OrderedDict[bytes, Challenge] = OrderedDict()
        self._refusals: OrderedDict[tuple[str, ...], int] = OrderedDict()

    async def load(self) -> None:
        """Find out whether there are operators; until then nobody is let in."""
        self._any = await self._database.read(store.count_operators) > 0

    @property
    def is_open(self) -> bool:
        """Whether whoever reaches the socket may do everything, because no operator was ever added."""
        return not self._any

    # -- who there is --------------------------------------------------------------------------------------------------

    async def add(self, profile: Profile, *, by: str) -> Operator:
        """Admit an operator; raises as `admit`."""
        now_ms = self._clock()
        added = await self._database.write(partial(admit, profile=profile, by=by, terms=self._terms, now_ms=now_ms))
        self._any = True
        return added

    async def list(self) -> Sequence[Operator]:
        """Return every operator by name, revoked ones too."""
        return await self._database.read(partial(known, now_ms=self._clock()))

    async def active(self, name: str) -> Operator | None:
        """Return the operator of this name; None when there is none, or not any more."""
        row = await self._database.read(lambda connection: store.operator_by_name(connection, name))
        now_ms = self._clock()
        return _operator(row, now_ms) if row is not None and row.is_active(now_ms) else None

    async def revoke(self, name: str, *, by: str) -> None:
        """Refuse an operator from now on.

        Raises:
            NotFound: there is none of this name.
            Conflict: nobody would be left to admit operators.
        """
        now_ms = self._clock()
        await self._database.write(partial(_revoke, name=name, by=by, now_ms=now_ms))

    # -- logging in ----------------------------------------------------------------------------------------------------

    def challenge(self) -> Challenge:
        """Return what an operator is to sign within a minute; nothing is stored."""
        made = new_challenge(self._exchange, self._party, self._clock())
        self._challenges[made.nonce] = made
        if len(self._challenges) > CHALLENGES_MOST:
            self._challenges.popitem(last=False)
        return made

    async def login(self, key_id: bytes, nonce: bytes, signature: bytes) -> Login:
        """Begin a session of the operator who signed the challenge; NotAuthenticated when it does not hold."""
        now_ms = self._clock()
        challenge = self._challenges.pop(nonce, None)
        rows = await self._database.read(lambda connection: store.operators_with_key(connection, key_id))
        row = next((each for each in rows if each.is_active(now_ms)), None)
        if challenge is None or row is None or now_ms - challenge.at_ms > CHALLENGE_MS:
            raise _unknown()
        found = _operator(row, now_ms)
        try:
            check_answer(challenge, found.profile.key, signature)
        except BadSignature as error:
            raise _unknown() from error
        secret = token()
        session = SessionRow(token_digest(secret), row.name, now_ms, min(now_ms + SESSION_MS, row.until_ms))
        await self._database.write(partial(_begin, session=session))
        return Login(secret, replace(found, login_ms=now_ms), session.until_ms)

    async def logout(self, presented: str, *, by: str) -> None:
        """End a session; repeating it changes nothing."""
        digest, line = token_digest(presented), AuditLine(self._clock(), by, LOGOUT, by)
        await self._database.write(partial(_end, digest=digest, line=line))

    async def caller(self, presented: str) -> Caller:
        """Return whose token was presented, or raise NotAuthenticated; the owner while there are no operators."""
        if self.is_open:
            return the_owner()
        digest, now_ms = token_digest(presented), self._clock()
        row = await self._database.read(lambda c: store.operator_of_session(c, digest, now_ms))
        if row is None:
            raise NotAuthenticated("no operator has this session, or not any more", hint="concord operator login")
        profile = _decode(row)
        caller = Caller(row.name, profile.roles, profile.ceiling)
        if now_ms - row.added_ms >= self._max_age_ms:
            return caller
        return replace(caller, clearances=profile.clearances, attributes=profile.attributes)

    # -- the audit -----------------------------------------------------------------------------------------------------

    async def note_refusal(self, who: str, method: str, subject: str, error: ExchangeError) -> None:
        """Write down that a call was refused; the same one again within a minute is not written again."""
        now_ms, key = self._clock(), (who, method, subject, error.reason)
        if now_ms - self._refusals.get(key, -REPEAT_MS) < REPEAT_MS:
            return
        self._refusals[key] = now_ms
        if len(self._refusals) > REMEMBERED:
            self._refusals.popitem(last=False)
        line = AuditLine(now_ms, who, REFUSED, subject, f"{method}: {error.reason}: {error}")
        await self._database.write(lambda connection: store.add_audit(connection, line))

    async def audit(self, *, limit: int, before: int = 0) -> Sequence[AuditLine]:
        """Return lines of the audit, newest first; `before` is a line's number, 0 for none."""
        return await self._database.read(lambda c: store.audit_lines(c, limit=limit, before=before))


def admit(connection: Connection, profile: Profile, *, by: str, terms: ReaderTerms, now_ms: int) -> Operator:
    """Store a new operator, in place of a revoked or expired one of the same name, and write it down.

    Raises:
        BadInput, BadName: the profile cannot be used, or the first operator is no administrator.
        Conflict: an active operator has this name, or another the key.
    """
    _check(profile, terms, now_ms)
    if store.count_operators(connection) == 0 and Role.ADMINISTRATOR not in profile.roles:
        raise BadInput(
            "the first operator is an administrator: who else would admit the others?", hint="--role administrator"
        )
    before = store.operator_by_name(connection, profile.name)
    if before is not None and before.is_active(now_ms):
        raise Conflict(f"the operator {profile.name} exists", hint=f"concord operator revoke {profile.name}")
    others = [row for row in store.operators_with_key(connection, profile.key.key_id) if row.name != profile.name]
    if others:
        raise Conflict(
            f"this is the key of {others[0].name}: one person has one name here", hint="concord operator init"
        )
    row = OperatorRow(
        name=profile.name,
        pseudonym=before.pseudonym if before is not None else random_bytes(ID_BYTES),
        key=profile.key.raw,
        key_id=profile.key.key_id,
        profile=_encode(profile),
        until_ms=profile.until_ms,
        added_ms=now_ms,
        added_by=by,
    )
    store.put_operator(connection, row)
    told = f"{', '.join(sorted(profile.roles))}; key {operator_fingerprint(profile.key)}"
    store.add_audit(connection, AuditLine(now_ms, by, ADD, profile.name, told))
    return _operator(row, now_ms)


def known(connection: Connection, now_ms: int) -> list[Operator]:
    """Return every operator by name, revoked ones too, as they stand at a time."""
    return [_operator(row, now_ms) for row in store.all_operators(connection)]


def is_releaser(connection: Connection, name: str, key_id: bytes) -> bool:
    """Say whether an operator of this name is a releaser, not revoked, and still has this key."""
    row = store.operator_by_name(connection, name)
    return row is not None and row.key_id == key_id and not row.revoked_ms and Role.RELEASER in _decode(row).roles


def _check(profile: Profile, terms: ReaderTerms, now_ms: int) -> None:
    operator_name(profile.name)
    if profile.name == OWNER:
        raise BadName(f"{OWNER} stands for whoever owns the socket", hint="choose another name")
    if profile.key.algorithm is not KeyAlgorithm.COMPOSITE_65:
        raise BadInput("an operator's key signs statements; this is a key of another kind")
    compatible(profile.roles)
    if not now_ms < profile.until_ms <= now_ms + DAYS_MOST * DAY_MS:
        raise BadInput("the operator's end is not within the next days", hint=f"1 to {DAYS_MOST - 1} days from now")
    for scale, level in profile.clearances.items():
        if level not in terms.scales.get(scale, ()):
            known = ", ".join(f"{name}:{each}" for name, levels in sorted(terms.scales.items()) for each in levels)
            raise BadInput(f"no clearance {scale}:{level}"[:200], hint=f"node.toml [readers] knows: {known or 'none'}")
    unknown = sorted(profile.attributes - terms.attributes)
    if unknown:
        known = ", ".join(sorted(terms.attributes))
        raise BadInput(f"no attribute {unknown[0]}"[:200], hint=f"node.toml [readers] knows: {known or 'none'}")


def _revoke(connection: Connection, name: str, *, by: str, now_ms: int) -> None:
    row = store.operator_by_name(connection, name)
    if row is None:
        raise NotFound(f"no operator {name[:80]!r}", hint="concord operator list")
    if row.revoked_ms:
        return
    left = [
        each.name
        for each in store.all_operators(connection)
        if each.name != name and each.is_active(now_ms) and Role.ADMINISTRATOR in _decode(each).roles
    ]
    if not left and Role.ADMINISTRATOR in _decode(row).roles:
        raise Conflict(f"{name} is the last administrator", hint="admit another first: concord operator add")
    store.revoke_operator(connection, name, now_ms)
    store.add_audit(connection, AuditLine(now_ms, by, REVOKE, name))


def _begin(connection: Connection, session: SessionRow) -> None:
    store.add_session(connection, session, most=SESSIONS_MOST)
    store.add_audit(connection, AuditLine(session.started_ms, session.operator, LOGIN, session.operator))


def _end(connection: Connection, digest: bytes, line: AuditLine) -> None:
    store.drop_session(connection, digest)
    store.add_audit(connection, line)


def _unknown() -> NotAuthenticated:
    return NotAuthenticated(
        "no active operator answered this challenge", hint="ask an administrator: concord operator list"
    )


def _operator(row: OperatorRow, now_ms: int) -> Operator:
    status = "revoked" if row.revoked_ms else "active" if row.is_active(now_ms) else "expired"
    return Operator(_decode(row), row.pseudonym, status, row.added_ms, row.added_by, row.login_ms)


def _encode(profile: Profile) -> str:
    return orjson.dumps(
        {
            "roles": sorted(profile.roles),
            "ceiling": profile.ceiling.word,
            "clearances": dict(profile.clearances),
            "attributes": sorted(profile.attributes),
        }
    ).decode()


def _decode(row: OperatorRow) -> Profile:
    stored = orjson.loads(row.profile)
    return Profile(
        name=row.name,
        key=admit_public_key(KeyAlgorithm.COMPOSITE_65, row.key),
        roles=frozenset(Role(word) for word in stored["roles"]),
        ceiling=next(tlp for tlp in Tlp if tlp.word == stored["ceiling"]),
        until_ms=row.until_ms,
        clearances=stored["clearances"],
        attributes=frozenset(stored["attributes"]),
    )
