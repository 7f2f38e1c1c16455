"""What the relay counts for its operator (docs/operations/relay.md)."""

from exchange.runtime.metrics import Metrics


class Counters:
    """Counters and gauges of one relay."""

    def __init__(self, metrics: Metrics) -> None:
        """Register them."""
        self.answers = metrics.counter("relay_answers", "Submissions answered, by reason or `promised`.", ["reason"])
        self.refused_calls = metrics.counter(
            "relay_calls_refused", "Calls that ended with an error, by door and reason.", ["door", "reason"]
        )
        self.delivered = metrics.counter("relay_delivered", "Deliveries sent, repeats included.")
        self.deleted = metrics.counter("relay_deleted", "Ciphertexts deleted: acknowledged by all, or expired.")
        self.log_size = metrics.gauge("relay_log_size", "Entries under the newest checkpoint.", ["log"])
        self.cosigned_size = metrics.gauge(
            "relay_cosigned_size", "Entries that a quorum of witnesses has cosigned.", ["log"]
        )
        self.frames = metrics.seconds("relay_frame", "From a frame's arrival until its answers are durable.")

    def answered(self) -> dict[str, int]:
        """Return how many submissions were answered, by reason or `promised`."""
        samples = (sample for family in self.answers.collect() for sample in family.samples)
        return {each.labels["reason"]: int(each.value) for each in samples if each.name.endswith("_total")}
