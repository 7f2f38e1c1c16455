"""Who watches the logs: the rules of a set of witnesses, and since when a quorum of them has vouched for a checkpoint.

Pure. Two quorums of n witnesses have 2q - n in common: a relay that shows two histories needs so many of them to lie. A
quorum of half or less could be reached twice by different witnesses, so it is no quorum.
Specification: docs/spec/directory.md, "Witnesses".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from exchange.crypto.keys import KeyAlgorithm
from exchange.directory.statements import Witnesses
from exchange.errors import BadProof, MalformedInput, TooLarge
from exchange.limits import CLOCK_AHEAD_MS, WITNESSES
from exchange.names import ExchangeName, PartyId
from exchange.tlog.checkpoint import Checkpoint, witness_name
from exchange.tlog.cosignature import Cosignature, Cosigner, cosignatures


@dataclass(frozen=True, slots=True)
class Vouched:
    """What witnesses say of one checkpoint."""

    checkpoint: Checkpoint
    by: tuple[Cosignature, ...]
    quorum_ms: int
    """As of when a quorum says that nothing newer was shown to it; 0 when there is no quorum."""


def check_witnesses(witnesses: Witnesses) -> None:
    """Return when this can be a set of witnesses; no members at all is no set, and has only a quorum for later ones.

    Raises:
        TooLarge: too many.
        MalformedInput: a party or key stands twice, a key of another algorithm, or a quorum that could be split.
    """
    members, quorum = witnesses.members, witnesses.quorum
    if max(len(members), quorum) > WITNESSES:
        raise TooLarge(f"at most {WITNESSES} witnesses, not {max(len(members), quorum)}")
    if any(member.key.algorithm is not KeyAlgorithm.MLDSA_44 for member in members):
        raise MalformedInput("a witness has an ML-DSA-44 key")
    for what, values in (
        ("party", [member.party for member in members]),
        ("key", [member.key.key_id for member in members]),
    ):
        if len(set(values)) != len(members):
            raise MalformedInput(f"one {what} is a witness twice", hint="a party has at most one witness")
    if members and not len(members) < 2 * quorum <= 2 * len(members):
        raise MalformedInput(
            f"a quorum of {quorum} of {len(members)} witnesses",
            hint=f"from {len(members) // 2 + 1} to {len(members)}: two quorums must overlap",
        )


def cosigners(exchange: ExchangeName, witnesses: Witnesses) -> list[Cosigner]:
    """Return the witnesses as their cosignatures name them."""
    return [Cosigner(witness_name(exchange, member.party), member.key) for member in witnesses.members]


def vouched(note: str, checkpoint: Checkpoint, witnesses: Witnesses, exchange: ExchangeName, now_ms: int) -> Vouched:
    """Return what these witnesses say of a checkpoint whose note, signed by its log, is opened already.

    A cosignature of a time that has not come yet counts for nothing: who lies about the clock would keep a log fresh.

    Raises:
        BadProof: a cosignature of one of them does not hold.
    """
    latest_s = (now_ms + CLOCK_AHEAD_MS) // 1000
    found = cosignatures(note, checkpoint, cosigners(exchange, witnesses))
    counting = tuple(each for each in found if 0 < each.at_s <= latest_s)
    return Vouched(checkpoint, counting, _quorum_ms(counting, witnesses.quorum, now_ms))


def cosigned_by(note: str, checkpoint: Checkpoint, witnesses: Witnesses, exchange: ExchangeName) -> frozenset[PartyId]:
    """Return whose cosignatures below a note hold; what else stands there, such as a line that does not, says nothing.

    For evidence: who could spoil a file by one more line would not be held to the others.
    """
    found = set()
    for member, cosigner in zip(witnesses.members, cosigners(exchange, witnesses), strict=True):
        try:
            if cosignatures(note, checkpoint, (cosigner,)):
                found.add(member.party)
        except BadProof:
            continue
    return frozenset(found)


def _quorum_ms(found: Sequence[Cosignature], quorum: int, now_ms: int) -> int:
    if quorum == 0 or len(found) < quorum:
        return 0
    times = sorted((each.at_s for each in found), reverse=True)
    return min(times[quorum - 1] * 1000, now_ms)
