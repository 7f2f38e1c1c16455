"""How each method of NodeService that is given a report is asked about it; every other method is known to take none.

A new method belongs into one of the two: tests/integration/test_node_readers.py shows of the first that whoever is not
cleared gets the answer of an absent report.
"""

from collections.abc import Callable
from typing import Any

from nodes.v1 import approval_pb2, attachment_pb2, consent_pb2, holding_pb2, log_proof_pb2, suspect_pb2
from nodes.v1 import node_service_pb2 as pb
from tests.support.node_world import a_label
from tests.support.reports import a_report


def a_file(*to: str, more: str = "", **root: object) -> pb.ReportFile:
    """Return a report for these partners; `more` are lines of its label."""
    return pb.ReportFile(content=a_report(**root), label_yaml=a_label(*to, more=more))


def _correction() -> pb.ReportFile:
    return a_file("XA", modified="2021-07-14T08:00:00.000Z")


# Any: requests of any method.
ASK: dict[str, Callable[[str], Any]] = {
    "WhoGets": lambda name: pb.WhoGetsRequest(report=_correction(), supersedes=name),
    "PushReport": lambda name: pb.PushReportRequest(report=_correction(), supersedes=name),
    "CheckReport": lambda name: pb.CheckReportRequest(report=a_file("XA"), derived_from=[name]),
    "ListReports": lambda name: pb.ListReportsRequest(before=name),
    "ShowReport": lambda name: pb.ShowReportRequest(id=name),
    "TraceReport": lambda name: pb.TraceReportRequest(id=name),
    "RetractReport": lambda name: pb.RetractReportRequest(id=name, reason_code="wrong", text="No."),
    "ExportReport": lambda name: holding_pb2.ExportReportRequest(
        id=name, action="internal_only", purpose="protect_life"
    ),
    "ExportAttachment": lambda name: attachment_pb2.ExportAttachmentRequest(
        id=name, name="map.pdf", action="internal_only", purpose="protect_life"
    ),
    "RequestConsent": lambda name: consent_pb2.RequestConsentRequest(id=name, to=["XA"], until_ms=1),
    "RehearseConsent": lambda name: consent_pb2.RehearseConsentRequest(
        ask=consent_pb2.RequestConsentRequest(id=name, to=["XA"], until_ms=1)
    ),
    "ShowPending": lambda name: approval_pb2.ShowPendingRequest(id=name),
    "ApproveReport": lambda name: approval_pb2.ApproveReportRequest(id=name),
    "RejectReport": lambda name: approval_pb2.RejectReportRequest(id=name, text="No."),
    "WhyReport": lambda name: holding_pb2.WhyReportRequest(id=name, partner="XA"),
    "KeepReport": lambda name: holding_pb2.KeepReportRequest(id=name, days=1),
    "PurgeReport": lambda name: holding_pb2.PurgeReportRequest(id=name),
    "ReviewReport": lambda name: suspect_pb2.ReviewReportRequest(id=name),
    "ExportProof": lambda name: log_proof_pb2.ExportProofRequest(id=name),
}
"""How each method that is given a report is asked about it."""

WITHOUT_REPORT = {
    "GetStatus",
    "AttachFile",
    "ListPartners",
    "ListAgreements",
    "ImportAgreement",
    "AddSensor",
    "GetSensorCa",
    "ListSensors",
    "RevokeSensor",
    "ListKeys",
    "VerifyLog",
    "GetChallenge",
    "Login",
    "Logout",
    "AddOperator",
    "ListOperators",
    "RevokeOperator",
    "ListAudit",
    "ListOverdue",
    "CreateCommunity",
    "ChangeCommunity",
    "EndCommunity",
    "ListCommunities",
    "ShowCommunity",
    "VerifyPartner",
    "DraftStatement",
    "ShowHoldings",
    "RecallHoldings",
    "PublishStatement",
    "GetWitness",
    "DraftWitnesses",
    "GetRelayTerms",
    "DraftRelayKeys",
    "DraftLimits",
    "ListLogEvidence",
    "ListConsents",
    "ListPending",
    "GrantConsent",
    "RefuseConsent",
    "PassOn",
    "AcknowledgeAgreement",
    "ChangeAgreement",
    "ExportAgreement",
    "SimulateAgreement",
}
"""Methods that are given none; what they list, or find by another name, is sifted by Shelf.among and Shelf.about."""
