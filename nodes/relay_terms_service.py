"""The part of NodeService that is about what the council says of the relay: its keys, and the exchange's limits."""

from exchange.crypto.keys import KeyAlgorithm, admit_public_key
from exchange.crypto.logkeys import LogPublicKeys
from exchange.directory.codec import decode_as, encode, name_of
from exchange.directory.issue import draft_limits, draft_relay_keys
from exchange.directory.relay_keys import spoken
from exchange.directory.statements import ExchangeLimits, LimitSet, RelayKeys, RelayKeySet
from exchange.errors import BadInput
from exchange.names import COUNCIL
from nodes.core import Core
from nodes.v1 import relay_terms_pb2 as pb


class RelayTermsMethods:
    """What the council says of the relay, as NodeService has it."""

    def __init__(self, core: Core) -> None:
        """Answer by this node's replay of the directory."""
        self._core = core

    async def get(self) -> pb.GetRelayTermsResponse:
        """Return the relay's keys, and the limits in force."""
        directory = self._core.trust.now.directory
        limits, newest = directory.limits, directory.relay_key_history[-1]
        return pb.GetRelayTermsResponse(
            exchange=directory.exchange,
            keys=[
                pb.RelayKeysShown(
                    index=each.index,
                    since_ms=each.since_ms,
                    fingerprint=spoken(each.keys),
                    promise=each.keys.promise.key_id.hex(),
                    standing="in-force" if each is newest else "followed",
                    stolen_since_ms=each.stolen_since_ms,
                )
                for each in directory.relay_key_history
            ],
            limits=pb.Limits(
                min_suite=limits.min_suite,
                report_bytes=limits.report_bytes,
                recipients=limits.recipients,
                reports_per_minute=limits.reports_per_minute,
                control_per_minute=limits.control_per_minute,
                held_bytes=limits.held_bytes,
                statements_per_day=limits.statements_per_day,
            ),
            limits_index=directory.limits_set_at,
        )

    async def draft_keys(self, request: pb.DraftRelayKeysRequest) -> pb.DraftTermsResponse:
        """Return the naming of the relay's next keys as the roots are to sign it.

        Raises:
            BadInput: they cannot be a relay's keys, are those in force, or not all new although those were stolen.
        """
        core, directory = self._core, self._core.trust.now.directory
        promise, log = (admit_public_key(KeyAlgorithm.ED25519, raw) for raw in (request.promise, request.log))
        mldsa = admit_public_key(KeyAlgorithm.MLDSA_44, request.log_mldsa)
        keys = RelayKeys(promise, LogPublicKeys(log, mldsa), request.transport_ca)
        if request.stolen_since_ms > core.clock():
            raise BadInput("the keys cannot have been stolen after now", hint="--stolen-since")
        statement = draft_relay_keys(
            exchange=core.exchange,
            place=directory.next_seq_prev(COUNCIL),
            keys=keys,
            stolen_since_ms=request.stolen_since_ms,
            now_ms=core.clock(),
        )
        return _drafted(statement)

    async def draft_limits(self, request: pb.DraftLimitsRequest) -> pb.DraftTermsResponse:
        """Return the exchange's limits as the roots are to sign them; BadInput when they are impossible."""
        core, directory = self._core, self._core.trust.now.directory
        asked = request.limits
        limits = ExchangeLimits(
            asked.min_suite,
            asked.report_bytes,
            asked.recipients,
            asked.reports_per_minute,
            asked.control_per_minute,
            asked.held_bytes,
            asked.statements_per_day,
        )
        place = directory.next_seq_prev(COUNCIL)
        return _drafted(draft_limits(exchange=core.exchange, place=place, limits=limits, now_ms=core.clock()))


def _drafted(statement: RelayKeySet | LimitSet) -> pb.DraftTermsResponse:
    payload = encode(statement)
    decode_as(type(statement), payload)
    return pb.DraftTermsResponse(type=name_of(statement), payload=payload)
