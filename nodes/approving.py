"""Four eyes: what waits for approvals, and what releasers say of it.

An approval, in order:
1. the caller is an operator, and the report is one of ours that still stands
2. who approves did not write it, and may release up to its TLP
3. the signature is the caller's own, under a certificate that this node signs, for exactly this item
4. it is kept, and what waits is decided on again
A repeat changes nothing. A rejection ends what waits; what has gone is withdrawn, not rejected (nodes/withdrawing.py).
An approval counts while its operator is a releaser by the same key: who is revoked before a report goes has not
approved it.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from exchange.approvals.codec import decode_proof, encode_operator_cert, encode_proof
from exchange.approvals.issue import make_operator_cert
from exchange.approvals.model import APPROVALS, ApprovalProof, OperatorRole
from exchange.approvals.verify import OPERATOR_CERT, verified_approvals
from exchange.crypto.signed import Signed, only
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.errors import Conflict, NotAllowed, NotFound
from exchange.names import PartyId
from exchange.policy.decide import decide
from exchange.policy.decision import Decision, Item, Outcome, Reason
from exchange.policy.decision import Role as Decider
from exchange.receipts.checks import check_words
from exchange.receipts.model import RETRACTION_TEXT_CHARS
from nodes import vault
from nodes.caller import OWNER, Caller, check_ceiling
from nodes.core import Core
from nodes.operators import Operator, Operators, is_releaser
from nodes.roles import Role
from nodes.sealing import OVERRIDES, overriding
from nodes.store import approvals, reports
from nodes.store.approvals import ApprovalRow
from nodes.store.rows import Addressee, Direction, Event, ItemState, Reach, Report

PAGE = 200
"""Reports on hold that are looked at together."""

CERTS_KEPT = 256

_NO_OPERATORS = "concord operator add NAME --key operator.pub --role administrator, then releasers"
_GONE = frozenset({ItemState.WITHDRAWN, ItemState.REJECTED, ItemState.PURGED})
_ROLES = {role: OperatorRole[role.name] for role in Role}


@dataclass(frozen=True, slots=True)
class Reaching:
    """A recipient that waits: how many approvals are missing for it, and what is decided once they are there."""

    partner: PartyId
    missing: int
    then: Decision


@dataclass(frozen=True, slots=True)
class Pending:
    """A report that waits for approvals."""

    report: Report
    title: str
    author: str
    approved: Sequence[ApprovalRow]
    """Those that count."""
    recipients: Sequence[Reaching]
    opened: vault.Opened
    overridable: bool = False
    """It is a flash report that waits because the directory is too old, and goes when two operators approve that."""

    @property
    def missing(self) -> int:
        """Approvals that every recipient takes that waits for one."""
        return max((each.missing for each in self.recipients), default=0)


class Approving:
    """Approvals of one node. For one event loop."""

    def __init__(
        self,
        core: Core,
        operators: Operators,
        *,
        wake: Callable[[], None],
        stale_since: Callable[[], int] = lambda: 0,
    ) -> None:
        """`wake` tells the sender that there is work.

        `stale_since` says since when the directory is too old to send reports under; 0 while it is not.
        """
        self._core = core
        self._operators = operators
        self._wake = wake
        self._stale_since = stale_since
        self._certs: dict[tuple[bytes, bytes, frozenset[Role], int, bytes], Signed] = {}

    # -- what waits ----------------------------------------------------------------------------------------------------

    async def pending(
        self, *, limit: int, after: bytes, among: Callable[[Collection[bytes]], Awaitable[set[bytes]]]
    ) -> list[Pending]:
        """Return so much of what waits for approvals, oldest first, `after` an item if it is not empty.

        `among` sifts items: what it leaves out counts towards nothing.
        """
        found: list[Pending] = []
        while len(found) < limit:
            items = await self._core.database.read(partial(approvals.items_on_hold, limit=PAGE, after=after))
            readable = await among(items)
            looked = [await self._pending(item) for item in items if item in readable]
            found += [each for each in looked if each is not None and each.recipients]
            if len(items) < PAGE:
                break
            after = items[-1]
        return found[:limit]

    async def show(self, item: bytes) -> Pending:
        """Return one report that waits for approvals.

        Raises:
            NotFound: no such report of ours, or its content is gone.
            Conflict: it waits for none.
        """
        found = await self._standing(item)
        if not found.recipients:
            raise Conflict("it waits for no approval", hint="concord report pending")
        return found

    async def _standing(self, item: bytes) -> Pending:
        found = await self._pending(item)
        if found is None:
            raise NotFound("no such report that could be approved", hint="concord report pending")
        return found

    async def _pending(self, item: bytes) -> Pending | None:
        """Return how one of our reports stands with approvals; None when it is not here, or stands no more."""
        core = self._core
        keys = await core.keybox.keys([item])
        read = partial(_read, item=item, key=keys.get(item))
        found = await core.database.read(read)
        if found is None:
            return None
        waiting = [self._reaching(row, found) for row in found.waiting]
        return Pending(
            report=found.report,
            title=vault.open_title(keys[item], item, found.report.title),
            author=found.author,
            approved=found.approved,
            recipients=[each for each in waiting if each is not None],
            opened=found.opened,
            overridable=self._stale_since() > 0 and any(row.lane == Lane.FLASH for row in found.waiting),
        )

    def _reaching(self, row: Addressee, found: "_Found") -> Reaching | None:
        decision = self._decide(row, found, approvals_=len(found.approved))
        missing = max(_missing(decision), self._missing_override(row, found, decision))
        if not missing:
            return None
        return Reaching(PartyId(row.recipient), missing, self._decide(row, found, approvals_=APPROVALS))

    def _missing_override(self, row: Addressee, found: "_Found", decision: Decision) -> int:
        """Return how many approvals a flash report misses that waits because the directory is too old."""
        since_ms = self._stale_since()
        waits = decision.permit or _missing(decision) > 0
        if not since_ms or row.lane != Lane.FLASH or not waits:
            return 0
        return max(0, OVERRIDES - len(overriding([(each.name, each.stored_ms) for each in found.approved], since_ms)))

    def _decide(self, row: Addressee, found: "_Found", *, approvals_: int) -> Decision:
        core, opened = self._core, found.opened
        item = Item(
            label=opened.label,
            release=opened.release,
            intact=True,
            approvals=approvals_,
            authored_ms=found.report.authored_ms,
            uncompared=core.comparisons.at(opened.label.tlp),
        )
        return decide(
            item,
            sender=core.me,
            recipient=PartyId(row.recipient),
            rules=core.trust.rules_now(),
            now_ms=core.clock(),
            role=Decider.SENDER,
        )

    # -- what releasers say of it --------------------------------------------------------------------------------------

    async def approve(self, item: bytes, approval: Signed, *, caller: Caller) -> Pending:
        """Keep an approval that the caller signed, and return how the report stands then.

        Raises:
            NotAllowed: the caller is no operator, or wrote it.
            PolicyDenied: it is above the caller's ceiling.
            NotFound, Conflict: no such report, or it waits for no approval.
            VerificationFailed, BadInput: the approval is not the caller's, or not for exactly this item.
        """
        # 1
        operator = await self._operator(caller)
        found = await self._standing(item)
        # 2
        _check_author(found.author, caller)
        check_ceiling(caller, found.opened.label.tlp)
        # What was approved before the directory became too old is approved once more, knowing that.
        since_ms = self._stale_since() if found.overridable else 0
        if any(row.operator == operator.pseudonym and row.stored_ms >= since_ms for row in found.approved):
            return found
        if not found.recipients:
            raise Conflict("it waits for no approval", hint="concord report pending")
        # 3
        proof = ApprovalProof(await self._cert(operator), approval)
        row = self._verified(item, proof, operator)
        # 4
        await self._core.database.write(partial(_store_approval, row=row, caller=caller))
        self._wake()
        return await self._standing(item)

    async def reject(self, item: bytes, text: str, *, caller: Caller) -> tuple[str, ...]:
        """Let nothing that waits of a report go any more; return for whom it waited.

        Raises:
            NotFound, Conflict: no such report, or it waits for no approval.
            PolicyDenied: it is above the caller's ceiling.
            BadInput: the text is not acceptable.
        """
        check_words(text, "the reason", most_chars=RETRACTION_TEXT_CHARS)
        found = await self.show(item)
        check_ceiling(caller, found.opened.label.tlp)
        now_ms = self._core.clock()
        return await self._core.database.write(
            partial(_store_rejection, item=item, name=caller.name, text=text, now_ms=now_ms)
        )

    async def _operator(self, caller: Caller) -> Operator:
        if caller.is_owner:
            raise NotAllowed("this node has no operators, so nobody can approve", hint=_NO_OPERATORS)
        operator = await self._operators.active(caller.name)
        if operator is None:
            raise NotAllowed(f"{caller.name} is no operator any more", hint="concord operator list")
        return operator

    async def _cert(self, operator: Operator) -> Signed:
        """Return the operator's certificate; the same one while it says the same, so that partners check it once."""
        core, profile = self._core, operator.profile
        signer = core.keys.statement.public.key_id
        key = (operator.pseudonym, profile.key.key_id, profile.roles, profile.until_ms, signer)
        if key not in self._certs:
            cert = make_operator_cert(
                exchange=core.exchange,
                party=core.me,
                operator=operator.pseudonym,
                key=profile.key,
                roles=frozenset(_ROLES[role] for role in profile.roles),
                not_before_ms=operator.added_ms,
                not_after_ms=profile.until_ms,
            )
            if len(self._certs) >= CERTS_KEPT:
                self._certs.clear()
            self._certs[key] = await core.signer.sign(OPERATOR_CERT, encode_operator_cert(cert))
        return self._certs[key]

    def _verified(self, item: bytes, proof: ApprovalProof, operator: Operator) -> ApprovalRow:
        """Check an approval as its recipients will, and return it as it is kept."""
        core = self._core
        own = core.keys.statement.public
        (verified,) = verified_approvals(
            [proof],
            only(own),
            exchange=core.exchange,
            party=core.me,
            item_hash=item,
        )
        return ApprovalRow(
            item=item,
            operator=verified.operator,
            name=operator.profile.name,
            key_id=verified.key_id,
            at_ms=verified.at_ms,
            stored_ms=core.clock(),
            proof=encode_proof(proof),
        )


def counted(connection: Connection, report: Report, kept: Sequence[ApprovalRow]) -> Sequence[ApprovalRow]:
    """Return the approvals that count: of our own reports those by operators who are releasers by that key still.

    Approvals that came with a partner's report were verified when it came.
    """
    if report.direction is Direction.RECEIVED:
        return kept
    return [row for row in kept if is_releaser(connection, row.name, row.key_id)]


def proofs(rows: Sequence[ApprovalRow]) -> tuple[ApprovalProof, ...]:
    """Return what travels with the report."""
    return tuple(decode_proof(row.proof) for row in rows)


@dataclass(frozen=True, slots=True)
class _Found:
    """What one read of the store gives."""

    report: Report
    opened: vault.Opened
    author: str
    approved: Sequence[ApprovalRow]
    waiting: Sequence[Addressee]


def _read(connection: Connection, item: bytes, key: bytes | None) -> _Found | None:
    report = reports.report_of(connection, item)
    if key is None or report is None or report.direction is not Direction.SENT or report.state in _GONE:
        return None
    rows = reports.addressees_of(connection, item)
    return _Found(
        report=report,
        opened=vault.open_report(key, item, report.record),
        author=approvals.author_of(connection, item),
        approved=counted(connection, report, approvals.approvals_of(connection, item)),
        waiting=[row for row in rows if row.state is Reach.WAITING and row.kind == EnvelopeKind.REPORT],
    )


def _missing(decision: Decision) -> int:
    """Return how many approvals a decision misses, where nothing final stands against it."""
    if not decision.waits:
        return 0
    failed = (finding for finding in decision.findings if finding.outcome is Outcome.FAIL)
    return next((int(finding.what) for finding in failed if finding.reason is Reason.APPROVALS_MISSING), 0)


def _check_author(author: str, caller: Caller) -> None:
    """Refuse whoever wrote it, and anybody when nobody knows who did."""
    if author == caller.name:
        raise NotAllowed(f"{caller.name} wrote this report", hint="another releaser must approve it")
    if author in ("", OWNER):
        raise NotAllowed(
            "nobody knows who wrote this report, so it might be you",
            hint="it was pushed before this node had operators: withdraw it, and let an author push it again",
        )


def _store_approval(connection: Connection, row: ApprovalRow, caller: Caller) -> None:
    report = reports.report_of(connection, row.item)
    if report is None or report.state in _GONE:
        raise Conflict("it was withdrawn or rejected meanwhile", hint="concord report trace")
    _check_author(approvals.author_of(connection, row.item), caller)
    # One that counts no more, because the operator's key was replaced, gives way.
    approvals.drop_approval(connection, row.item, row.operator)
    if len(approvals.approvals_of(connection, row.item)) >= APPROVALS:
        raise Conflict(f"it has {APPROVALS} approvals", hint="concord report pending")
    approvals.add_approvals(connection, [row])
    reports.decide_again(connection, row.item)
    reports.add_events(connection, [Event(row.item, row.stored_ms, "approved", detail=f"by {row.name}")])


def _store_rejection(connection: Connection, item: bytes, name: str, text: str, now_ms: int) -> tuple[str, ...]:
    report = reports.report_of(connection, item)
    rows = [row for row in reports.addressees_of(connection, item) if row.kind == EnvelopeKind.REPORT]
    waiting = tuple(row.recipient for row in rows if row.state is Reach.WAITING)
    if report is None or report.state in _GONE or not waiting:
        raise Conflict("nothing of it waits any more", hint="concord report trace")
    why = f"rejected by {name}: {text}" if text else f"rejected by {name}"
    reports.change_addressees(connection, item, waiting, state=Reach.DENIED, why=why)
    if all(row.state is Reach.WAITING or not row.envelope for row in rows):
        reports.set_state(connection, item, ItemState.REJECTED)
        reports.settle_thread(connection, report.thread, report.originator)
    reports.add_events(connection, [Event(item, now_ms, "rejected", detail=why)])
    return waiting
