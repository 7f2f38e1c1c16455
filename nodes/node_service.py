# ruff: noqa: N802, ARG002 - names and arguments of the methods are the proto's
"""NodeService on the Unix socket: decodes, calls one use case, encodes. docs/spec/node-api.md.

Its methods stand by subject: nodes/report_service.py, nodes/partner_service.py, nodes/sensor_service.py, and how the
node is below.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import grpc.aio

from exchange.envelope.model import Lane
from nodes.agreement_service import AgreementMethods
from nodes.approval_service import ApprovalMethods
from nodes.attachment_service import AttachmentMethods
from nodes.auditor import Auditor
from nodes.caller import Caller, admitted_of, caller_of
from nodes.community_service import CommunityMethods
from nodes.consent_service import ConsentMethods
from nodes.core import Core
from nodes.expulsion_service import ExpulsionMethods
from nodes.figures import STAGES, Figures, gather
from nodes.freshness import Freshness
from nodes.holding_service import HoldingMethods
from nodes.key_service import KeyMethods
from nodes.log_proof_service import LogProofMethods
from nodes.operator_service import OperatorMethods
from nodes.operators import Operators
from nodes.partner_service import PartnerMethods
from nodes.prekeys import Prekeys
from nodes.relay_client import RelayClient
from nodes.relay_terms_service import RelayTermsMethods
from nodes.reminders import Reminders
from nodes.report_service import ReportMethods
from nodes.roles import WATCHERS
from nodes.sensor_service import SensorMethods
from nodes.statement_service import StatementMethods
from nodes.v1 import (
    agreements_pb2,
    approval_pb2,
    attachment_pb2,
    backlog_pb2,
    community_pb2,
    consent_pb2,
    expulsion_pb2,
    holding_pb2,
    log_proof_pb2,
    missing_pb2,
    operator_pb2,
    relay_terms_pb2,
    sensor_ca_pb2,
    statement_pb2,
    suspect_pb2,
    witness_pb2,
)
from nodes.v1 import node_service_pb2 as pb
from nodes.v1.node_service_pb2_grpc import NodeServiceServicer
from nodes.witness_service import WitnessMethods

# Any: a context has the types of its method's messages, and no method here uses them.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class StatusMethods:
    """How the node is, as NodeService has it."""

    def __init__(
        self,
        core: Core,
        prekeys: Prekeys,
        relay: RelayClient,
        operators: Operators,
        reminders: Reminders,
        *,
        freshness: Freshness,
        home: Path,
        started_ms: int,
        late_sensors: Callable[[], Awaitable[Sequence[str]]],
    ) -> None:
        """Ask these parts; `late_sensors` gives notices about sensors."""
        self._late_sensors = late_sensors
        self._operators = operators
        self._reminders = reminders
        self._freshness = freshness
        self._core = core
        self._prekeys = prekeys
        self._relay = relay
        self._home = home
        self._started_ms = started_ms

    async def get(self, *, caller: Caller) -> pb.GetStatusResponse:
        """Return how the node is; what comes of reports only to roles that see the node as a whole.

        Totals count what their reader may not read: nobody else learns from them that something came.
        """
        core = self._core
        figures = await gather(core, self._prekeys, self._relay, self._home)
        snapshot, fresh = core.trust.now, self._freshness.now
        sees_totals = not WATCHERS.isdisjoint(caller.roles)
        answer = pb.GetStatusResponse(
            party=core.me,
            exchange=core.exchange,
            membership=figures.membership,
            relay=core.link.state,
            relay_error=core.link.error,
            relay_contact_ms=core.link.contact_ms,
            clock_skew_ms=core.link.skew_ms or 0,
            directory_size=snapshot.size,
            directory_root=snapshot.head.root.hex(),
            prekey_days=figures.prekey_days,
            started_ms=self._started_ms,
            transport_until_ms=figures.transport_until_ms,
            node_cert_until_ms=figures.node_cert_until_ms,
            disk_free_bytes=figures.disk_free,
            open_mode=self._operators.is_open,
            witnessed=fresh.witnessed,
            quorum_size=fresh.size,
            quorum_ms=fresh.quorum_ms,
            stale_since_ms=self._freshness.stale_since(),
            limited=not sees_totals,
            notices=self._reminders.notices(),
        )
        if sees_totals:
            answer.MergeFrom(_of_reports(figures))
            answer.notices.extend(await self._late_sensors())
        return answer


def _of_reports(figures: Figures) -> pb.GetStatusResponse:
    counts = figures.counts
    return pb.GetStatusResponse(
        reports_sent=counts.sent,
        reports_received=counts.received,
        unreceipted=counts.unreceipted,
        quarantined=counts.quarantined,
        lanes=[
            pb.LaneStatus(
                lane=lane.name.lower(),
                received_position=counts.positions.get(int(lane), 0),
                outbox=counts.waiting.get(int(lane), 0),
            )
            for lane in Lane
        ],
        reviews_due=counts.reviews_due,
        overdue=counts.overdue,
        alarms=[alarm.text for alarm in counts.alarms],
        missing=_missing(figures),
        backlogs=[
            backlog_pb2.Backlog(partner=partner, stage=STAGES[state], reports=count, since_ms=since_ms)
            for partner, state, count, since_ms in sorted(counts.backlogs)
        ],
    )


def _missing(figures: Figures) -> missing_pb2.MissingStatus:
    counts = figures.counts
    return missing_pb2.MissingStatus(
        gaps=[
            missing_pb2.Gap(
                partner=gap.sender,
                lane=Lane(gap.lane).name.lower(),
                stream=gap.stream,
                count=gap.count,
                since_ms=gap.since_ms,
                asked=gap.tries,
            )
            for gap in counts.gaps
        ],
        answered_here=counts.answered_here,
        asked_of_us=counts.asked_of_us,
        answered_by_us=counts.answered_by_us,
        silent=[
            missing_pb2.SilentPartner(partner=party, since_ms=since_ms) for party, since_ms in figures.silent.items()
        ],
    )


class NodeService(NodeServiceServicer):
    """The operator's door."""

    def __init__(
        self,
        reports: ReportMethods,
        partners: PartnerMethods,
        status: StatusMethods,
        sensors: SensorMethods,
        auditor: Auditor,
        *,
        agreements: AgreementMethods,
        holding: HoldingMethods,
        operators: OperatorMethods,
        communities: CommunityMethods,
        statements: StatementMethods,
        consent: ConsentMethods,
        approvals: ApprovalMethods,
        witnesses: WitnessMethods,
        relay_terms: RelayTermsMethods,
        proofs: LogProofMethods,
        keys: KeyMethods,
        expulsions: ExpulsionMethods,
        attachments: AttachmentMethods,
    ) -> None:
        """Call these use cases."""
        self._reports = reports
        self._partners = partners
        self._status = status
        self._sensors = sensors
        self._auditor = auditor
        self._agreements = agreements
        self._holding = holding
        self._operators = operators
        self._communities = communities
        self._statements = statements
        self._consent = consent
        self._approvals = approvals
        self._witnesses = witnesses
        self._relay_terms = relay_terms
        self._proofs = proofs
        self._keys = keys
        self._expulsions = expulsions
        self._attachments = attachments

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        """Return how the node is."""
        return await self._status.get(caller=caller_of(context))

    async def CheckReport(self, request: pb.CheckReportRequest, context: Context) -> pb.CheckReportResponse:
        """Check a report and its label."""
        return await self._reports.check(request, caller=caller_of(context))

    async def WhoGets(self, request: pb.WhoGetsRequest, context: Context) -> pb.WhoGetsResponse:
        """Decide for every partner."""
        return await self._reports.who_gets(request, caller=caller_of(context))

    async def PushReport(self, request: pb.PushReportRequest, context: Context) -> pb.PushReportResponse:
        """Sign a report and place it in the outbox."""
        return await self._reports.push(request, caller=caller_of(context))

    async def ListReports(self, request: pb.ListReportsRequest, context: Context) -> pb.ListReportsResponse:
        """List reports."""
        return await self._reports.list_(request, caller=caller_of(context))

    async def ShowReport(self, request: pb.ShowReportRequest, context: Context) -> pb.ShowReportResponse:
        """Show one report."""
        return await self._reports.show(request, caller=caller_of(context))

    async def TraceReport(self, request: pb.TraceReportRequest, context: Context) -> pb.TraceReportResponse:
        """Tell one report's story."""
        return await self._reports.trace(request, caller=caller_of(context))

    async def RetractReport(self, request: pb.RetractReportRequest, context: Context) -> pb.RetractReportResponse:
        """Withdraw a report."""
        return await self._reports.retract(request, caller=caller_of(context))

    async def ListPartners(self, request: pb.ListPartnersRequest, context: Context) -> pb.ListPartnersResponse:
        """List partners."""
        return await self._partners.list_partners()

    async def VerifyPartner(self, request: pb.VerifyPartnerRequest, context: Context) -> pb.VerifyPartnerResponse:
        """Note that a fingerprint was compared."""
        return await self._partners.verify_partner(request, caller=caller_of(context))

    async def ListAgreements(
        self, request: agreements_pb2.ListAgreementsRequest, context: Context
    ) -> agreements_pb2.ListAgreementsResponse:
        """List agreements."""
        return await self._agreements.list_()

    async def ImportAgreement(
        self, request: agreements_pb2.ImportAgreementRequest, context: Context
    ) -> agreements_pb2.ImportAgreementResponse:
        """Take in an agreement."""
        return await self._agreements.import_(request)

    async def ExportAgreement(
        self, request: agreements_pb2.ExportAgreementRequest, context: Context
    ) -> agreements_pb2.ExportAgreementResponse:
        """Return the signed file of an agreement."""
        return await self._agreements.export(request)

    async def ChangeAgreement(
        self, request: agreements_pb2.ChangeAgreementRequest, context: Context
    ) -> agreements_pb2.ChangeAgreementResponse:
        """Take in an accession or a notice of this party."""
        return await self._agreements.change(request)

    async def SimulateAgreement(
        self, request: agreements_pb2.SimulateAgreementRequest, context: Context
    ) -> AsyncIterator[agreements_pb2.SimulateAgreementResponse]:
        """Replay what this node sent against a draft."""
        async for response in self._agreements.simulate(request, caller=caller_of(context)):
            yield response

    async def AcknowledgeAgreement(
        self, request: agreements_pb2.AcknowledgeAgreementRequest, context: Context
    ) -> agreements_pb2.AcknowledgeAgreementResponse:
        """Take note of what other parties gave notice of."""
        return await self._agreements.acknowledge(request)

    async def CreateCommunity(
        self, request: community_pb2.CreateCommunityRequest, context: Context
    ) -> community_pb2.CreateCommunityResponse:
        """Make a community."""
        return await self._communities.create(request)

    async def ChangeCommunity(
        self, request: community_pb2.ChangeCommunityRequest, context: Context
    ) -> community_pb2.ChangeCommunityResponse:
        """Add and remove members."""
        return await self._communities.change(request)

    async def EndCommunity(
        self, request: community_pb2.EndCommunityRequest, context: Context
    ) -> community_pb2.EndCommunityResponse:
        """End a community."""
        return await self._communities.end(request)

    async def ListCommunities(
        self, request: community_pb2.ListCommunitiesRequest, context: Context
    ) -> community_pb2.ListCommunitiesResponse:
        """List communities."""
        return await self._communities.list_()

    async def ShowCommunity(
        self, request: community_pb2.ShowCommunityRequest, context: Context
    ) -> community_pb2.ShowCommunityResponse:
        """Show one community."""
        return await self._communities.show(request)

    # -- consent -------------------------------------------------------------------------------------------------------

    async def RequestConsent(
        self, request: consent_pb2.RequestConsentRequest, context: Context
    ) -> consent_pb2.RequestConsentResponse:
        """Ask every originator."""
        return await self._consent.ask(request, caller=caller_of(context))

    async def ListConsents(
        self, request: consent_pb2.ListConsentsRequest, context: Context
    ) -> consent_pb2.ListConsentsResponse:
        """List requests for consent."""
        return await self._consent.list_(request, caller=caller_of(context))

    async def GrantConsent(
        self, request: consent_pb2.GrantConsentRequest, context: Context
    ) -> consent_pb2.GrantConsentResponse:
        """Let a partner pass an item on."""
        return await self._consent.grant(request, caller=caller_of(context))

    async def RefuseConsent(
        self, request: consent_pb2.RefuseConsentRequest, context: Context
    ) -> consent_pb2.RefuseConsentResponse:
        """Let a partner pass an item on to nobody."""
        return await self._consent.refuse(request, caller=caller_of(context))

    async def RehearseConsent(
        self, request: consent_pb2.RehearseConsentRequest, context: Context
    ) -> consent_pb2.RehearseConsentResponse:
        """Show what a call about consent would come to."""
        return await self._consent.rehearse(request, caller=caller_of(context))

    async def PassOn(self, request: consent_pb2.PassOnRequest, context: Context) -> consent_pb2.PassOnResponse:
        """Pass on what was granted."""
        return await self._consent.pass_on(request, caller=caller_of(context))

    async def AddSensor(self, request: pb.AddSensorRequest, context: Context) -> pb.AddSensorResponse:
        """Let a sensor push."""
        return await self._sensors.add(request)

    async def ListSensors(self, request: pb.ListSensorsRequest, context: Context) -> pb.ListSensorsResponse:
        """List sensors."""
        return await self._sensors.list_()

    async def GetSensorCa(
        self, request: sensor_ca_pb2.GetSensorCaRequest, context: Context
    ) -> sensor_ca_pb2.GetSensorCaResponse:
        """CAs that sensors are to pin."""
        return self._sensors.ca()

    async def RevokeSensor(self, request: pb.RevokeSensorRequest, context: Context) -> pb.RevokeSensorResponse:
        """Refuse a sensor from now on."""
        return await self._sensors.revoke(request)

    async def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:
        """List keys."""
        return await self._keys.list_(request)

    async def VerifyLog(self, request: pb.VerifyLogRequest, context: Context) -> AsyncIterator[pb.VerifyLogResponse]:
        """Check the relay's logs and promises, saying how far it has come."""
        async for progress in self._auditor.verify(full=request.full):
            yield pb.VerifyLogResponse(
                log=progress.log,
                step=progress.step,
                done=progress.done,
                total=progress.total,
                result=progress.result,
                detail=progress.detail,
            )

    # -- operators -----------------------------------------------------------------------------------------------------

    async def GetChallenge(
        self, request: operator_pb2.GetChallengeRequest, context: Context
    ) -> operator_pb2.GetChallengeResponse:
        """Give an operator something to sign."""
        return await self._operators.challenge()

    async def Login(self, request: operator_pb2.LoginRequest, context: Context) -> operator_pb2.LoginResponse:
        """Begin a session."""
        return await self._operators.login(request)

    async def Logout(self, request: operator_pb2.LogoutRequest, context: Context) -> operator_pb2.LogoutResponse:
        """End the session of this call."""
        return await self._operators.logout(admitted_of(context))

    async def AddOperator(
        self, request: operator_pb2.AddOperatorRequest, context: Context
    ) -> operator_pb2.AddOperatorResponse:
        """Admit an operator."""
        return await self._operators.add(request, caller=caller_of(context))

    async def ListOperators(
        self, request: operator_pb2.ListOperatorsRequest, context: Context
    ) -> operator_pb2.ListOperatorsResponse:
        """List operators."""
        return await self._operators.list_()

    async def RevokeOperator(
        self, request: operator_pb2.RevokeOperatorRequest, context: Context
    ) -> operator_pb2.RevokeOperatorResponse:
        """Refuse an operator from now on."""
        return await self._operators.revoke(request, caller=caller_of(context))

    async def ListAudit(
        self, request: operator_pb2.ListAuditRequest, context: Context
    ) -> operator_pb2.ListAuditResponse:
        """List the audit."""
        return await self._operators.audit(request)

    # -- reports in this node's keeping --------------------------------------------------------------------------------

    async def ExportReport(
        self, request: holding_pb2.ExportReportRequest, context: Context
    ) -> holding_pb2.ExportReportResponse:
        """Hand content out for use elsewhere."""
        return await self._holding.export(request, caller=caller_of(context))

    async def WhyReport(self, request: holding_pb2.WhyReportRequest, context: Context) -> holding_pb2.WhyReportResponse:
        """Say why a report went to a partner, or did not."""
        return await self._holding.why(request, caller=caller_of(context))

    async def ListOverdue(
        self, request: holding_pb2.ListOverdueRequest, context: Context
    ) -> holding_pb2.ListOverdueResponse:
        """List what is overdue."""
        return await self._holding.overdue(request, caller=caller_of(context))

    async def KeepReport(
        self, request: holding_pb2.KeepReportRequest, context: Context
    ) -> holding_pb2.KeepReportResponse:
        """Keep a report that a person was asked about."""
        return await self._holding.keep(request, caller=caller_of(context))

    async def PurgeReport(
        self, request: holding_pb2.PurgeReportRequest, context: Context
    ) -> holding_pb2.PurgeReportResponse:
        """Destroy a report here."""
        return await self._holding.purge(request, caller=caller_of(context))

    async def ReviewReport(
        self, request: suspect_pb2.ReviewReportRequest, context: Context
    ) -> suspect_pb2.ReviewReportResponse:
        """Note that a person has looked at a report."""
        return await self._holding.review(request, caller=caller_of(context))

    async def DraftStatement(
        self, request: statement_pb2.DraftStatementRequest, context: Context
    ) -> statement_pb2.DraftStatementResponse:
        """Draft a statement that suspends or ends something."""
        return await self._statements.draft(request)

    async def PublishStatement(
        self, request: statement_pb2.PublishStatementRequest, context: Context
    ) -> statement_pb2.PublishStatementResponse:
        """Hand a signed statement to the relay."""
        return await self._statements.publish(request)

    # -- expulsion -----------------------------------------------------------------------------------------------------

    async def ShowHoldings(
        self, request: expulsion_pb2.ShowHoldingsRequest, context: Context
    ) -> expulsion_pb2.ShowHoldingsResponse:
        """Show what a partner holds of ours."""
        return await self._expulsions.show(request, caller=caller_of(context))

    async def RecallHoldings(
        self, request: expulsion_pb2.RecallHoldingsRequest, context: Context
    ) -> expulsion_pb2.RecallHoldingsResponse:
        """Ask a partner to destroy what must go."""
        return await self._expulsions.recall(request)

    # -- approvals -----------------------------------------------------------------------------------------------------

    async def ListPending(
        self, request: approval_pb2.ListPendingRequest, context: Context
    ) -> approval_pb2.ListPendingResponse:
        """List what waits for approvals."""
        return await self._approvals.list_(request, caller=caller_of(context))

    async def ShowPending(
        self, request: approval_pb2.ShowPendingRequest, context: Context
    ) -> approval_pb2.ShowPendingResponse:
        """Show one report that waits for approvals."""
        return await self._approvals.show(request, caller=caller_of(context))

    async def ApproveReport(
        self, request: approval_pb2.ApproveReportRequest, context: Context
    ) -> approval_pb2.ApproveReportResponse:
        """Approve a report that somebody else wrote."""
        return await self._approvals.approve(request, caller=caller_of(context))

    async def RejectReport(
        self, request: approval_pb2.RejectReportRequest, context: Context
    ) -> approval_pb2.RejectReportResponse:
        """Reject a report that waits for approvals."""
        return await self._approvals.reject(request, caller=caller_of(context))

    # -- witnesses -----------------------------------------------------------------------------------------------------

    async def GetWitness(
        self, request: witness_pb2.GetWitnessRequest, context: Context
    ) -> witness_pb2.GetWitnessResponse:
        """Return who watches the logs, and this node's witness key."""
        return await self._witnesses.get()

    async def DraftWitnesses(
        self, request: witness_pb2.DraftWitnessesRequest, context: Context
    ) -> witness_pb2.DraftWitnessesResponse:
        """Draft the naming of the witnesses."""
        return await self._witnesses.draft(request)

    async def GetRelayTerms(
        self, request: relay_terms_pb2.GetRelayTermsRequest, context: Context
    ) -> relay_terms_pb2.GetRelayTermsResponse:
        """Return the relay's keys, and the exchange's limits."""
        return await self._relay_terms.get()

    async def DraftRelayKeys(
        self, request: relay_terms_pb2.DraftRelayKeysRequest, context: Context
    ) -> relay_terms_pb2.DraftTermsResponse:
        """Draft the naming of the relay's next keys."""
        return await self._relay_terms.draft_keys(request)

    async def DraftLimits(
        self, request: relay_terms_pb2.DraftLimitsRequest, context: Context
    ) -> relay_terms_pb2.DraftTermsResponse:
        """Draft the exchange's limits."""
        return await self._relay_terms.draft_limits(request)

    async def ListLogEvidence(
        self, request: witness_pb2.ListLogEvidenceRequest, context: Context
    ) -> witness_pb2.ListLogEvidenceResponse:
        """List evidence against the relay."""
        return await self._witnesses.evidence(request)

    async def ExportProof(
        self, request: log_proof_pb2.ExportProofRequest, context: Context
    ) -> log_proof_pb2.ExportProofResponse:
        """Prove that an envelope was logged."""
        return await self._proofs.export(request, caller=caller_of(context))

    # -- attachments ---------------------------------------------------------------------------------------------------

    async def AttachFile(
        self, request_iterator: AsyncIterator[attachment_pb2.AttachFileRequest], context: Context
    ) -> attachment_pb2.AttachFileResponse:
        """Take a file in for a report that is to be pushed."""
        return await self._attachments.attach(request_iterator)

    async def ExportAttachment(
        self, request: attachment_pb2.ExportAttachmentRequest, context: Context
    ) -> AsyncIterator[attachment_pb2.ExportAttachmentResponse]:
        """Hand a file out."""
        async for response in self._attachments.export(request, caller=caller_of(context)):
            yield response
