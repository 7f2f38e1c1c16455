"""Who may do what at a node: roles, which of them exclude each other, and the roles that may make each call. Pure.

No role can both write and release, and who admits operators does neither. A method that is not in the table is
refused to everybody: docs/guides/operators.md shows it to people, and a test compares it with NodeService.
"""

from collections.abc import Collection
from enum import StrEnum

from exchange.errors import BadInput, BadName


class Role(StrEnum):
    """What an operator is there for."""

    AUTHOR = "author"
    """Writes, corrects and retracts reports, and asks for consent."""
    RELEASER = "releaser"
    """Approves what others wrote."""
    SECURITY_OFFICER = "security-officer"
    """Keeps the rules: agreements, communities, consent to others, retraction, suspension."""
    AUDITOR = "auditor"
    """Reads what happened, and changes nothing."""
    ADMINISTRATOR = "administrator"
    """Admits operators and sensors, and keeps the node running."""


EXCLUSIVE = (
    (Role.AUTHOR, Role.RELEASER),
    (Role.ADMINISTRATOR, Role.AUTHOR),
    (Role.ADMINISTRATOR, Role.RELEASER),
)
"""Pairs that no operator holds together: who writes does not release, and who admits operators does neither."""

AUTHORS = frozenset({Role.AUTHOR})
RELEASERS = frozenset({Role.RELEASER})
OFFICERS = frozenset({Role.SECURITY_OFFICER})
ADMINISTRATORS = frozenset({Role.ADMINISTRATOR})
READERS = frozenset({Role.AUTHOR, Role.RELEASER, Role.SECURITY_OFFICER, Role.AUDITOR})
"""Who may see reports at all; which of them, the reader rules decide."""
WATCHERS = frozenset({Role.SECURITY_OFFICER, Role.AUDITOR, Role.ADMINISTRATOR})
"""Who sees the node as a whole: also totals of reports that reader rules keep from them one by one."""
ALL = frozenset(Role)

ANYBODY = frozenset({"GetStatus", "GetChallenge", "Login"})
"""Methods that need no session."""

MAY: dict[str, frozenset[Role]] = {
    # reports
    "CheckReport": AUTHORS | RELEASERS | OFFICERS,
    "WhoGets": AUTHORS | RELEASERS | OFFICERS,
    "PushReport": AUTHORS,
    "ListReports": READERS,
    "ShowReport": READERS,
    "TraceReport": READERS,
    "RetractReport": AUTHORS | RELEASERS | OFFICERS,
    "AttachFile": AUTHORS,
    # consent
    "RequestConsent": AUTHORS | OFFICERS,
    "ListConsents": READERS,
    "GrantConsent": OFFICERS,
    "RefuseConsent": OFFICERS,
    "RehearseConsent": AUTHORS | OFFICERS,
    "PassOn": AUTHORS | OFFICERS,
    # reports in this node's keeping
    "ExportReport": AUTHORS | RELEASERS | OFFICERS,
    "ExportAttachment": AUTHORS | RELEASERS | OFFICERS,
    "WhyReport": READERS,
    "ListOverdue": READERS,
    "KeepReport": AUTHORS | RELEASERS | OFFICERS,
    "PurgeReport": AUTHORS | RELEASERS | OFFICERS,
    "ReviewReport": AUTHORS | RELEASERS | OFFICERS,
    # approvals
    "ListPending": READERS,
    "ShowPending": RELEASERS,
    "ApproveReport": RELEASERS,
    "RejectReport": RELEASERS,
    # partners, agreements, keys, logs
    "ListPartners": ALL,
    "VerifyPartner": OFFICERS,
    "ListAgreements": ALL,
    "ImportAgreement": OFFICERS,
    "ExportAgreement": ALL,
    "ChangeAgreement": OFFICERS,
    "SimulateAgreement": OFFICERS | frozenset({Role.AUDITOR}),
    "AcknowledgeAgreement": OFFICERS,
    "ListKeys": ALL,
    "VerifyLog": WATCHERS,
    # communities
    "CreateCommunity": OFFICERS,
    "ChangeCommunity": OFFICERS,
    "EndCommunity": OFFICERS,
    "ListCommunities": ALL,
    "ShowCommunity": ALL,
    # statements on standing and keys
    "DraftStatement": OFFICERS,
    "ShowHoldings": OFFICERS | frozenset({Role.AUDITOR}),
    "RecallHoldings": OFFICERS,
    "PublishStatement": OFFICERS,
    # witnesses
    "GetWitness": ALL,
    "DraftWitnesses": OFFICERS,
    "ListLogEvidence": WATCHERS,
    "ExportProof": READERS,
    # what the council says of the relay
    "GetRelayTerms": ALL,
    "DraftRelayKeys": OFFICERS,
    "DraftLimits": OFFICERS,
    # sensors
    "AddSensor": ADMINISTRATORS,
    "ListSensors": WATCHERS,
    "RevokeSensor": ADMINISTRATORS | OFFICERS,
    "GetSensorCa": WATCHERS,
    # operators
    "Logout": ALL,
    "AddOperator": ADMINISTRATORS,
    "ListOperators": WATCHERS,
    "RevokeOperator": ADMINISTRATORS,
    "ListAudit": WATCHERS,
}
"""Roles that may call each method of NodeService, of which a caller needs one."""


def role(word: str) -> Role:
    """Return the role of this name, or raise BadName with the names that there are."""
    try:
        return Role(word)
    except ValueError as error:
        raise BadName(f"{word[:80]!r} is no role", hint=f"one of {', '.join(Role)}") from error


def compatible(roles: Collection[Role]) -> frozenset[Role]:
    """Return roles that one operator may hold together; BadInput for none, and for two that exclude each other."""
    if not roles:
        raise BadInput("an operator needs a role", hint=f"--role {Role.AUTHOR}; one of {', '.join(Role)}")
    for one, other in EXCLUSIVE:
        if one in roles and other in roles:
            raise BadInput(
                f"{one} and {other} exclude each other",
                hint="nobody may both write and release, nor admit operators and do either; use two people",
            )
    return frozenset(roles)


def may_call(method: str, roles: Collection[Role]) -> bool:
    """Say whether one of these roles may make this call; what the table does not know, nobody may."""
    return not MAY.get(method, frozenset()).isdisjoint(roles)
