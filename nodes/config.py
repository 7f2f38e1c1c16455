"""What `node.toml` may say. Unknown keys stop the start; secrets have no place here.

`node init` writes the first one. Every setting is described here and listed in docs/operations/configuration.md.
"""

import json
import re
from pathlib import Path

from pydantic import Field, field_validator

from exchange.errors import BadInput
from exchange.names import exchange_name, party_id
from exchange.policy.model import APPROVALS_MAX, Tlp
from exchange.policy.readers import ReaderTerms
from exchange.reader_policy.model import MAX_AGE_DAYS, check_terms
from exchange.runtime.config import Section, Settings, load_config
from exchange.runtime.secrets import write_private
from exchange.runtime.tracing import TracingSettings

FILE = "node.toml"
ENV_PREFIX = "CONCORD_NODE_"

_STORE_URL = re.compile(r"\s*store_url\s*=")


class Timing(Section):
    """How often the node does what it does by itself. Tests shorten these."""

    receipts_s: float = Field(default=2.0, gt=0, description="Receipts go at most so often; flash ones do not wait.")
    stream_head_quiet_s: float = Field(
        default=600.0, gt=0, description="A stream head follows the last traffic after this."
    )
    stream_head_flash_s: float = Field(
        default=30.0, gt=0, description="In the flash lane a stream head follows the last traffic after this."
    )
    stream_head_daily_s: float = Field(default=86_400.0, gt=0, description="A stream head is repeated after this.")
    streams_s: float = Field(default=5.0, gt=0, description="Stream heads and gaps are looked at this often.")
    gap_ask_s: float = Field(default=30.0, gt=0, description="A sender is asked for what has been missing for so long.")
    gap_again_s: float = Field(
        default=360.0, gt=0, description="It is asked again after this, then each time after twice as long, to a day."
    )
    gap_alarm_s: float = Field(default=900.0, gt=0, description="What is missing for so long is an alarm.")
    gap_alarm_flash_s: float = Field(
        default=60.0, gt=0, description="What is missing in the flash lane for so long is an alarm."
    )
    silent_s: float = Field(
        default=93_600.0, gt=0, description="A partner of which nothing came for so long is an alarm; heads come daily."
    )
    resend_least_s: float = Field(
        default=300.0, gt=0, description="A partner gets an answer for the same number at most this often."
    )
    control_kept_s: float = Field(
        default=259_200.0, gt=0, description="Control statements may be asked for again for so long."
    )
    obligations_s: float = Field(
        default=60.0, gt=0, description="Expiry, retention and reviews are looked at this often."
    )
    prekeys_s: float = Field(default=3_600.0, gt=0, description="Own prekeys are looked at this often.")
    audit_s: float = Field(default=60.0, gt=0, description="New promises are looked up in the relay's log this often.")
    witness_s: float = Field(
        default=120.0, gt=0, description="A witness looks for checkpoints of the traffic log to cosign this often."
    )
    witness_again_s: float = Field(
        default=1_800.0, gt=0, description="A witness cosigns again what has not grown after this."
    )
    stale_warn_s: float = Field(
        default=7_200.0,
        gt=0,
        le=86_400,
        description="A quorum time of the directory, or traffic without cosignatures, older than this is an alarm.",
    )
    stale_stop_s: float = Field(
        default=86_400.0, gt=0, le=86_400, description="With one older than this no report is sealed."
    )
    audit_pause_s: float = Field(
        default=3.0, gt=0, description="The audit pauses so long when the relay finds that it asks too often."
    )
    retry_first_s: float = Field(default=0.5, gt=0, description="First wait after the relay could not be reached.")
    retry_most_s: float = Field(default=60.0, gt=0, description="Longest wait between attempts to reach the relay.")
    reseal_first_s: float = Field(
        default=2.0, gt=0, description="First wait before a refused envelope is sealed again."
    )
    directory_wait_s: float = Field(
        default=30.0, gt=0, description="A delivery waits so long for its directory entries."
    )
    directory_most_s: float = Field(
        default=600.0, gt=0, description="After this it is set aside when the relay has not shown the entries."
    )
    drain_s: float = Field(default=10.0, gt=0, description="A stopping node finishes what is under way within this.")


class ReaderSettings(Section):
    """The words with which this party describes its readers."""

    scales: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description='Clearance scales, levels from the lowest up: `{national = ["restricted", "secret"]}`.',
    )
    attributes: tuple[str, ...] = Field(
        default=(), description="Attributes that operators can hold; a label that asks for another denies."
    )
    max_age_days: int = Field(
        default=365,
        ge=1,
        le=MAX_AGE_DAYS,
        description="An operator's clearances and attributes count for so many days after they were given.",
    )

    def terms(self) -> ReaderTerms:
        """Return them as the rules take them; raises BadInput when they say nothing clear, or too much."""
        terms = ReaderTerms(self.scales, frozenset(self.attributes))
        check_terms(terms)
        return terms


class ReleaseRules(Section):
    """What this node asks for before a report is released, besides labels and agreements."""

    approvals: dict[str, int] = Field(
        default_factory=dict,
        description="Approvals by others than the author that a label gets at least, by TLP: `{red = 1, "
        '"amber+strict" = 1}`.',
    )
    wide_audience: int = Field(
        default=20,
        ge=1,
        description="More recipients than this are confirmed by a person; a sensor may not reach them.",
    )
    verified_from: str = Field(
        default="",
        description='From this TLP on a report goes only to partners whose fingerprint was compared ("red", for '
        "example); empty for none. What is for others waits until `concord partner verify`.",
    )

    @field_validator("approvals")
    @classmethod
    def _approvals(cls, value: dict[str, int]) -> dict[str, int]:
        for word, number in value.items():
            _tlp(word)
            if not 0 <= number <= APPROVALS_MAX:
                raise BadInput(f"release.approvals: 0 to {APPROVALS_MAX} approvals, not {number}")
        return value

    @field_validator("verified_from")
    @classmethod
    def _verified_from(cls, value: str) -> str:
        if value:
            _tlp(value, "verified_from")
        return value

    def verified_from_tlp(self) -> Tlp | None:
        """Return from which traffic light on partners must have been compared; None for from none."""
        return _tlp(self.verified_from, "verified_from") if self.verified_from else None

    def approvals_by_tlp(self) -> dict[Tlp, int]:
        """Return the approvals by traffic light."""
        return {_tlp(word): number for word, number in self.approvals.items()}


def _tlp(word: str, where: str = "approvals") -> Tlp:
    known = {tlp.word: tlp for tlp in Tlp}
    if word not in known:
        raise BadInput(f"release.{where}: {word[:40]!r} is no traffic light", hint=f"one of {', '.join(known)}")
    return known[word]


class NodeConfig(Settings):
    """One node."""

    party: str = Field(description="This partner's id.")
    exchange: str = Field(description="The exchange's name.")
    genesis_hash: str = Field(
        default="",
        pattern="^([0-9a-f]{64})?$",
        description="SHA-256 of the genesis payload; from exchange/relay.info if empty.",
    )
    relay_address: str = Field(
        description="HOST:PORT of the relay, or several with commas: the next one is tried when one does not answer."
    )
    relay_name: str = Field(
        default="",
        description="Name that the relay's certificate is asked for; the neutral one of all relays when empty.",
    )
    store_url: str = Field(default="", description="Database; node.db in the home when empty.")
    sensor_address: str = Field(default="", description="HOST:PORT where sensors push over TLS; empty for none.")
    spool: bool = Field(default=True, description="Take reports from the spool directory.")
    label_defaults: str = Field(
        default="", description="YAML file of label fields that this node fills in; empty for none."
    )
    keystore_memory_kib: int = Field(
        default=262_144, ge=65_536, description="Argon2id memory when the keystore is written."
    )
    metrics_port: int = Field(
        default=0, ge=0, le=65_535, description="Prometheus metrics on this loopback port; 0 for none."
    )
    log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="Logs from this level on."
    )
    log_json: bool = Field(default=True, description="Logs as JSON lines; coloured lines otherwise.")
    disk_least_mib: int = Field(default=200, ge=0, description="Less free space than this is a finding of the doctor.")
    readers: ReaderSettings = Field(default_factory=ReaderSettings, description="Clearances and attributes.")
    release: ReleaseRules = Field(default_factory=ReleaseRules, description="What release asks for.")
    timing: Timing = Field(default_factory=Timing, description="Intervals.")
    tracing: TracingSettings = Field(
        default_factory=TracingSettings, description="Traces, for an OpenTelemetry collector."
    )

    @field_validator("party")
    @classmethod
    def _party(cls, value: str) -> str:
        return party_id(value)

    @field_validator("exchange")
    @classmethod
    def _exchange(cls, value: str) -> str:
        return exchange_name(value)

    @field_validator("readers")
    @classmethod
    def _readers(cls, value: ReaderSettings) -> ReaderSettings:
        value.terms()
        return value

    def database_url(self, home: Path) -> str:
        """Return where reports are kept."""
        return self.store_url or f"sqlite:///{home / 'node.db'}"


def load(home: Path) -> NodeConfig:
    """Return the configuration of the node in `home`; raises ConfigurationError when it cannot be used."""
    return load_config(NodeConfig, home / FILE, env_prefix=ENV_PREFIX)


def change_store(home: Path, url: str) -> None:
    """Let the node in `home` keep its reports at another place from its next start on; empty for node.db in the home.

    Only the line of `store_url` changes. Raises ConfigurationError when the node cannot be configured so.
    """
    path = home / FILE
    lines = path.read_text().splitlines(keepends=True)
    tables = next((at for at, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    kept = [line for at, line in enumerate(lines) if at >= tables or not _STORE_URL.match(line)]
    # A string of JSON is one of TOML, and before every table is the top level.
    write_private(path, "".join([f"store_url = {json.dumps(url)}\n", *kept]).encode())
    load(home)
