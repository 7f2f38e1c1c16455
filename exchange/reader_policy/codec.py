"""Reader policies as bytes (protos/exchange/v1/reader_policy.proto): one canonical encoding under a named limit."""

from exchange.errors import MalformedInput
from exchange.limits import KIB
from exchange.names import exchange_name, party_id
from exchange.policy import shape
from exchange.policy.readers import ATTRIBUTES_MOST, SCALES_MOST, ReaderTerms
from exchange.reader_policy.model import TERMS_BYTES, ReaderPolicy
from exchange.v1 import reader_policy_pb2 as pb
from exchange.wire import serialise, strict_parse

POLICY_BYTES = TERMS_BYTES + 4 * KIB


def encode_reader_policy(policy: ReaderPolicy) -> bytes:
    """Return the payload of a `reader-policy`."""
    return serialise(
        pb.ReaderPolicy(
            exchange=policy.exchange,
            party=policy.party,
            scales=[pb.ReaderScale(name=name, levels=levels) for name, levels in sorted(policy.terms.scales.items())],
            attributes=sorted(policy.terms.attributes),
            max_age_days=policy.max_age_days,
            at_ms=policy.at_ms,
            salt=policy.salt,
        )
    )


def decode_reader_policy(data: bytes) -> ReaderPolicy:
    """Return the policy of a payload; MalformedInput, TooLarge or BadName for anything else."""
    message = strict_parse(pb.ReaderPolicy, data, limit=POLICY_BYTES, what="a reader policy")
    names = shape.as_set([scale.name for scale in message.scales], "clearance scales")
    attributes = shape.as_set(list(message.attributes), "attributes of readers")
    if len(names) > SCALES_MOST or len(attributes) > ATTRIBUTES_MOST:
        raise MalformedInput("a reader policy has too many scales or attributes")
    return ReaderPolicy(
        exchange=exchange_name(message.exchange),
        party=party_id(message.party),
        terms=ReaderTerms({scale.name: tuple(scale.levels) for scale in message.scales}, frozenset(attributes)),
        max_age_days=message.max_age_days,
        at_ms=message.at_ms,
        salt=message.salt,
    )
