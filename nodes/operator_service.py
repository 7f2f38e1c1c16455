"""The part of NodeService that is about operators: logging in, who there is, the audit."""

from exchange.crypto.keys import KeyAlgorithm, admit_public_key
from exchange.errors import BadInput
from exchange.policy.model import Tlp
from nodes.bearer import bearer_token
from nodes.caller import Admitted, Caller
from nodes.operator_home import operator_fingerprint
from nodes.operators import Operator, Operators, Profile
from nodes.roles import role
from nodes.v1 import operator_pb2 as pb

AUDIT_DEFAULT = 100
AUDIT_MOST = 1_000


class OperatorMethods:
    """Operators, as NodeService has them."""

    def __init__(self, operators: Operators) -> None:
        """Call these use cases."""
        self._operators = operators

    async def challenge(self) -> pb.GetChallengeResponse:
        """Return what to sign."""
        made = self._operators.challenge()
        return pb.GetChallengeResponse(exchange=made.exchange, party=made.party, challenge=made.nonce, at_ms=made.at_ms)

    async def login(self, request: pb.LoginRequest) -> pb.LoginResponse:
        """Begin a session."""
        begun = await self._operators.login(request.key_id, request.challenge, request.signature)
        return pb.LoginResponse(token=begun.token, operator=_operator(begun.operator), until_ms=begun.until_ms)

    async def logout(self, admitted: Admitted) -> pb.LogoutResponse:
        """End the session of this call; the owner of an open node has none."""
        if not admitted.caller.is_owner:
            await self._operators.logout(bearer_token(admitted.context), by=admitted.caller.name)
        return pb.LogoutResponse()

    async def add(self, request: pb.AddOperatorRequest, *, caller: Caller) -> pb.AddOperatorResponse:
        """Admit an operator."""
        return pb.AddOperatorResponse(
            operator=_operator(await self._operators.add(profile_of(request.profile), by=caller.name))
        )

    async def list_(self) -> pb.ListOperatorsResponse:
        """List operators, by name."""
        return pb.ListOperatorsResponse(operators=[_operator(each) for each in await self._operators.list()])

    async def revoke(self, request: pb.RevokeOperatorRequest, *, caller: Caller) -> pb.RevokeOperatorResponse:
        """Refuse an operator from now on."""
        await self._operators.revoke(request.name, by=caller.name)
        return pb.RevokeOperatorResponse()

    async def audit(self, request: pb.ListAuditRequest) -> pb.ListAuditResponse:
        """List the audit, newest first."""
        limit = min(request.limit or AUDIT_DEFAULT, AUDIT_MOST)
        lines = await self._operators.audit(limit=limit, before=request.before)
        return pb.ListAuditResponse(
            entries=[
                pb.AuditEntry(
                    number=line.number,
                    at_ms=line.at_ms,
                    operator=line.operator,
                    action=line.action,
                    subject=line.subject,
                    detail=line.detail,
                )
                for line in lines
            ]
        )


def profile_of(message: pb.OperatorProfile) -> Profile:
    """Return what a message says of an operator; BadInput when it cannot be used."""
    ceilings = {tlp.word: tlp for tlp in Tlp}
    if message.ceiling not in ceilings:
        raise BadInput(f"no such TLP: {message.ceiling[:40]!r}", hint=f"one of {', '.join(ceilings)}")
    clearances = {each.scale: each.level for each in message.clearances}
    if len(clearances) != len(message.clearances):
        raise BadInput("two clearances on one scale", hint="--clearance SCALE:LEVEL, one a scale")
    return Profile(
        name=message.name,
        key=admit_public_key(KeyAlgorithm.COMPOSITE_65, message.key),
        roles=frozenset(role(word) for word in message.roles),
        ceiling=ceilings[message.ceiling],
        until_ms=message.until_ms,
        clearances=clearances,
        attributes=frozenset(message.attributes),
    )


def _operator(operator: Operator) -> pb.Operator:
    profile = operator.profile
    return pb.Operator(
        profile=pb.OperatorProfile(
            name=profile.name,
            key=profile.key.raw,
            roles=sorted(profile.roles),
            ceiling=profile.ceiling.word,
            clearances=[pb.Clearance(scale=s, level=level) for s, level in sorted(profile.clearances.items())],
            attributes=sorted(profile.attributes),
            until_ms=profile.until_ms,
        ),
        fingerprint=operator_fingerprint(profile.key),
        status=operator.status,
        added_ms=operator.added_ms,
        added_by=operator.added_by,
        login_ms=operator.login_ms,
    )
