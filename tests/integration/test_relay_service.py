"""The relay over mutual TLS on loopback, with real certificates, keys and signatures."""

from exchange.crypto.codec import signed_from_proto
from exchange.envelope.codec import decode_delivery
from exchange.receipts.verify import check_decisions, check_promise_in_log
from exchange.tlog.checkpoint import open_checkpoint, traffic_origin
from exchange.v1 import relay_service_pb2 as pb
from tests.support.directory_builders import EXCHANGE, ed25519
from tests.support.relay_world import CALL_S, World, a_sealed, a_world, head_of, promise_of


async def test_what_is_submitted_is_delivered_to_every_recipient_with_the_same_promise() -> None:
    async with a_world("XA", "XV", "XO") as world:
        basis = await world.agree("XA", "XV", "XO")
        sealed = a_sealed(world.partners["XA"].keys, ["XV", "XO"], basis, head_of(world.exchange))
        (outcome,) = await world.partners["XA"].submit(sealed.submission_bytes)
        promise = promise_of(outcome)
        assert promise.envelope_hash == sealed.envelope_hash
        check_decisions(promise, outcome.decision_record)
        for name in ("XV", "XO"):
            (waiting,) = await world.partners[name].collect(1)
            delivery = decode_delivery(waiting.delivery)
            assert delivery.promise == signed_from_proto(outcome.answer)
            assert waiting.position == promise.log_index
