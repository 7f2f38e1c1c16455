"""A stream reset as a value: protos/exchange/v1/stream_reset.proto. A value that exists is valid."""

from dataclasses import dataclass, field

from exchange.receipts.checks import check_frame, check_number, check_parties, check_time
from exchange.receipts.model import UINT32_MAX


@dataclass(frozen=True, slots=True)
class StreamReset:
    """A sender's word to one recipient that it numbers anew, and that every lower stream is over."""

    exchange: str
    from_party: str
    """The sender; `from` in the proto."""
    to_party: str
    """The recipient; `to` in the proto."""
    stream: int
    """The one that begins."""
    at_ms: int
    salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check every field; the first stream of all is 1 and needs no reset."""
        check_frame(self.exchange, self.salt)
        check_parties(self.from_party, self.to_party)
        check_number(self.stream, "the stream", least=2, most=UINT32_MAX)
        check_time(self.at_ms, "the time of the stream reset")
