"""Log in at the node: fetch a challenge, sign it, and return the session."""

from pathlib import Path

from exchange.crypto.signing import CompositeKey
from exchange.names import exchange_name, party_id
from nodes.login import Challenge, answer
from nodes.node_client import connect
from nodes.session import Session
from nodes.v1 import operator_pb2 as pb


def log_in(home: Path, key: CompositeKey) -> tuple[Session, pb.OperatorProfile]:
    """Return a new session at the node in `home`, and what its operator may do there.

    Raises:
        NotAuthenticated: no active operator has this key.
        Unavailable: no node runs there.
    """
    with connect(home) as node:
        given = node.GetChallenge(pb.GetChallengeRequest())
        challenge = Challenge(exchange_name(given.exchange), party_id(given.party), given.challenge, given.at_ms)
        reply = node.Login(
            pb.LoginRequest(key_id=key.public.key_id, challenge=given.challenge, signature=answer(challenge, key))
        )
    profile = reply.operator.profile
    return Session(given.exchange, given.party, profile.name, reply.token, reply.until_ms), profile
