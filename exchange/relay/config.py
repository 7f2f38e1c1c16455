"""The relay's configuration: relay.toml in its home, then CONCORD_RELAY_* variables. Unknown keys stop the start."""

from pydantic import Field

from exchange.limits import GIB, MIB
from exchange.runtime.config import Section, Settings
from exchange.runtime.tracing import TracingSettings

ENV_PREFIX = "CONCORD_RELAY_"


class LimitSettings(Section):
    """What one partner may ask of the relay. Over a rate, submissions wait and other calls are refused."""

    reports_per_minute: int = Field(default=30_000, ge=1, description="Report envelopes that one partner may submit.")
    control_per_minute: int = Field(default=30_000, ge=1, description="Control envelopes that one partner may submit.")
    calls_per_minute: int = Field(default=1_200, ge=1, description="Calls that one partner may begin.")
    streams_per_party: int = Field(default=8, ge=2, description="Calls of one partner that may run at once.")
    connections: int = Field(default=1_000, ge=1, description="Connections that are accepted in all.")
    held_bytes: int = Field(
        default=8 * GIB, ge=MIB, description="Ciphertext of one partner that may wait here; control an eighth more."
    )
    attachment_bytes: int = Field(
        default=64 * GIB, ge=MIB, description="Attachments of one partner that may wait here, those announced included."
    )
    attachments_open: int = Field(default=32, ge=1, description="Uploads of one partner that may be unfinished.")
    orphans_s: float = Field(
        default=172_800, gt=0, description="An attachment that no envelope has named goes so long after its last bytes."
    )
    statements_per_day: int = Field(
        default=500, ge=1, description="Directory statements by a partner's node keys, and as many by its root."
    )
    refusals_per_day: int = Field(
        default=100_000,
        ge=1,
        description="Final refusals of one partner that are remembered, about 1 KB each.",
    )
    joins_per_minute: int = Field(default=60, ge=1, description="Calls on the join port from one network address.")
    window_bytes: int = Field(
        default=16 * MIB,
        ge=MIB,
        description="Most bytes of one lane that may be under way to a partner unacknowledged.",
    )


class RelaySettings(Settings):
    """The whole of relay.toml."""

    exchange: str = Field(description="The exchange's name, origin of its logs.")
    address: str = Field(default="127.0.0.1:7001", description="Host and port where partners connect.")
    join_address: str = Field(default="127.0.0.1:7002", description="Host and port where newcomers connect.")
    public_address: str = Field(
        default="", description="Address that partners are told, when it is another; several with commas."
    )
    public_join_address: str = Field(default="", description="Address that newcomers are told, when it is another.")
    database: str = Field(default="", description="Database URL; empty for relay.db in the home (SQLite).")
    log_json: bool = Field(default=False, description="Log one JSON object a line.")
    log_level: str = Field(default="info", description="debug, info, warning or error.")
    metrics_port: int | None = Field(
        default=None, ge=0, le=65_535, description="Port on 127.0.0.1 for Prometheus metrics; absent for none."
    )
    drain_s: float = Field(default=20, ge=0, description="Longest time that calls under way may take at the end.")
    cache_bytes: int = Field(
        default=8 * MIB, ge=0, description="Memory for envelopes that were submitted or delivered last."
    )
    intake_bytes: int = Field(
        default=64 * MIB, ge=8 * MIB, description="Memory for submissions that are not answered yet; more wait unread."
    )
    witness_round_s: float = Field(
        default=300, gt=0, description="Witnesses are asked to cosign one checkpoint of the traffic log for so long."
    )
    limits: LimitSettings = Field(default=LimitSettings(), description="What one partner may ask.")
    tracing: TracingSettings = Field(default=TracingSettings(), description="Traces, for an OpenTelemetry collector.")
