"""What checking the relay costs: replaying the directory, proofs in a log of ten million entries, cosigning.

Replay: 50,000 entries in the mix of some years of 140 partners (joining, prekeys every week, agreements, new keys), as
a node replays them at its start, root by root; beside it the signature checks alone. One entry more at that size is
what every live change costs.
Proofs: in a tree of 10,000,000 entries whose tiles repeat, so that it needs no disk; the algorithms see tiles as ever.
Cosigning: a witness's line, and what checking a quorum of ten costs; beside it the bare ML-DSA-44.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

from benchmarks.rules_load import median_s
from benchmarks.table import Line, show
from exchange.crypto import x509
from exchange.crypto.codec import encode_signed
from exchange.crypto.logkeys import LogKeys
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed, sign, verify_signed
from exchange.crypto.signing import CompositeKey, Ed25519Key, Mldsa44Key, sign_raw_mldsa44, verify_raw_mldsa44
from exchange.directory import ceremony, issue
from exchange.directory.fold import Directory
from exchange.directory.statements import (
    AgreementStatus,
    Common,
    CouncilMember,
    ExchangeLimits,
    PrekeyBundleHash,
    RelayKeys,
)
from exchange.limits import MIB, RECIPIENTS, REPORT_BYTES
from exchange.merkle import HASH_BYTES, leaf_hash, node_hash, root_of, verify_consistency, verify_inclusion
from exchange.names import ExchangeName, PartyId
from exchange.tlog.checkpoint import Checkpoint, traffic_origin, witness_name
from exchange.tlog.cosignature import Cosigner, cosign, cosignatures
from exchange.tlog.note import with_lines
from exchange.tlog.signing import sign_checkpoint
from exchange.tlog.tiles import TILE_WIDTH, TileReader, TreeBuilder, consistency_proof, inclusion_proof, root_at
from nodes.trust import Snapshot, extended

EXCHANGE = ExchangeName("bench.concord.example")
ENTRIES = 50_000
PARTNERS = 140
LOG_SIZE = 10_000_000
PROOFS = 200
QUORUM = 10
DAY_MS = 24 * 60 * 60 * 1000
NOW_MS = 1_760_000_000_000
MIX = ("prekeys",) * 15 + ("agreement",) * 4 + ("node-cert",)
"""What a partner's life adds, again and again: in twenty entries fifteen weeks of prekeys, four agreements, one key."""


# -- directory ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Partner:
    party: PartyId
    root: CompositeKey
    statement: CompositeKey
    place: tuple[int, bytes]


def a_log(count: int) -> list[bytes]:
    """Return the entries of a log of about so many statements; signing them takes a millisecond each."""
    council, promise, log = CompositeKey.generate(), Ed25519Key.generate(), LogKeys.generate()
    genesis = ceremony.make_genesis(
        exchange=EXCHANGE,
        council=(CouncilMember(PartyId("XA"), council.public),),
        threshold=1,
        relay=RelayKeys(promise.public, log.public, x509.new_ca("relay", now_ms=NOW_MS, days=3650)[0]),
        limits=ExchangeLimits(min_suite=1, report_bytes=REPORT_BYTES, recipients=RECIPIENTS),
        now_ms=NOW_MS,
        roots=(council,),
    )
    signed, partners = [genesis], []
    for number in range(min(PARTNERS, count // 40 + 2)):
        partner, joined = _joins(PartyId(f"{chr(65 + number // 26)}{chr(65 + number % 26)}"), council)
        partners.append(partner)
        signed += joined
    signed += _years(count - len(signed), partners, promise)
    return [encode_signed(each) for each in signed]


def _joins(party: PartyId, council: CompositeKey) -> tuple[_Partner, list[Signed]]:
    one_time, root, statement = Ed25519Key.generate(), CompositeKey.generate(), CompositeKey.generate()
    invitation = ceremony.make_invitation(
        exchange=EXCHANGE,
        party=party,
        country="XA",
        display_name=f"Office {party}",
        ceiling=4,
        one_time_key=one_time.public,
        now_ms=NOW_MS,
        not_after_ms=NOW_MS + 14 * DAY_MS,
        council_key=council,
    )
    presented = ceremony.make_party_root(
        exchange=EXCHANGE,
        party=party,
        invitation_sha256=sha256(invitation.payload).digest(),
        root=root,
        now_ms=NOW_MS,
    )
    cert_place = ceremony.place_after(presented, ceremony.FIRST_PLACE)
    cert = _cert(party, cert_place, root, statement)
    key_place = ceremony.place_after(cert, cert_place)
    transport = ceremony.make_transport_key(
        exchange=EXCHANGE,
        party=party,
        place=key_place,
        ca_certificate=x509.new_ca(f"node-{party}", now_ms=NOW_MS, days=3650)[0],
        now_ms=NOW_MS,
        statement_key=statement,
    )
    admission = ceremony.make_admission(
        exchange=EXCHANGE, party=party, root_key_id=root.public.key_id, now_ms=NOW_MS, council_key=council
    )
    partner = _Partner(party, root, statement, ceremony.place_after(transport, key_place))
    return partner, [invitation, ceremony.prove_invitation(presented, one_time), cert, transport, admission]


def _cert(party: PartyId, place: tuple[int, bytes], root: CompositeKey, statement: CompositeKey) -> Signed:
    return ceremony.make_node_cert(
        exchange=EXCHANGE,
        party=party,
        place=place,
        statement_key=statement.public,
        envelope_key=Ed25519Key.generate().public,
        now_ms=NOW_MS,
        not_after_ms=NOW_MS + 365 * DAY_MS,
        root=root,
    )


def _years(count: int, partners: list[_Partner], promise: Ed25519Key) -> Iterator[Signed]:
    """Yield what partners and relay add in years of ordinary work."""
    relay_place = ceremony.FIRST_PLACE
    for number in range(count):
        partner, kind = partners[number % len(partners)], MIX[number % len(MIX)]
        if kind == "agreement":
            signed = issue.make_agreement_commit(
                exchange=EXCHANGE,
                place=relay_place,
                commitment=random_bytes(32),
                status=AgreementStatus.ACTIVE,
                now_ms=NOW_MS,
                promise_key=promise,
            )
            relay_place = ceremony.place_after(signed, relay_place)
        else:
            if kind == "node-cert":
                partner.statement = CompositeKey.generate()
                signed = _cert(partner.party, partner.place, partner.root, partner.statement)
            else:
                common = Common(EXCHANGE, partner.party, *partner.place, NOW_MS, 0, random_bytes(16))
                bundle = PrekeyBundleHash(common, random_bytes(32), 20_000 + number // 100, 30)
                signed = ceremony.sign_statement(bundle, partner.statement)
            partner.place = ceremony.place_after(signed, partner.place)
        yield signed


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay took, in a process of its own."""

    seconds: float
    resident: int
    """Bytes that the process grew by; the entries themselves were read before."""
    one_more_s: float
    of_few_s: float
    """One entry more when there are a thousand."""


def replay_lines(count: int) -> list[Line]:
    """Return what a replay costs, and what one entry more does at the end of it."""
    entries = a_log(count)
    # In a new process, so that what it grows by is the replay's.
    with get_context("spawn").Pool(1) as pool:
        found = pool.apply(replayed, (entries,))
    floor = _signature_s() * len(entries)
    size = sum(map(len, entries))
    return [
        Line(
            f"replay {len(entries):,} directory entries",
            f"{len(entries) / found.seconds:,.0f} a second",
            beside=f"{found.seconds / floor:.1f} times a composite signature check for each",
        ),
        Line(
            "memory of that replay",
            f"{found.resident / MIB:.0f} MiB",
            beside=f"{found.resident / size:.1f} times its entries",
        ),
        Line(
            f"take one entry more at {len(entries):,}",
            f"{found.one_more_s * 1e3:.2f} ms",
            beside=f"{found.one_more_s / found.of_few_s:.1f} times the same at 1,000",
        ),
    ]


def replayed(entries: list[bytes]) -> Replayed:
    """Replay a log as a node does at its start."""
    gc.collect()
    before, start = _resident(), time.process_time()
    directory = Directory.found(entries[0], expected_hash=None)
    first = Snapshot(directory, [directory.root(), directory.root()], {}, {})
    whole, ignored = extended(first, entries[1:-1])
    taken = time.process_time() - start
    gc.collect()
    grown = _resident() - before
    if ignored:
        raise AssertionError(f"the log that was made does not hold: {ignored[0]}")
    small, _ = extended(first, entries[1:1_000])
    return Replayed(
        taken,
        grown,
        median_s(lambda: extended(whole, entries[-1:]), 21),
        median_s(lambda: extended(small, entries[1_000:1_001]), 21),
    )


def _signature_s() -> float:
    key = CompositeKey.generate()
    signed = sign(key, "report", random_bytes(300), context=EXCHANGE)

    def check() -> bytes:
        return verify_signed(signed, lambda _: key.public, expected_type="report", context=EXCHANGE)

    return median_s(lambda: [check() for _ in range(100)]) / 100


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# -- proofs ------------------------------------------------------------------------------------------------------------


def repeated_tiles() -> tuple[TileReader, list[bytes]]:
    """Return a reader of a tree of any size whose leaves repeat every 256, and these leaves."""
    leaves = [leaf_hash(number.to_bytes(41, "big")) for number in range(TILE_WIDTH)]
    levels = [b"".join(leaves)]
    node = root_of(leaves)
    for _ in range(7):
        levels.append(node * TILE_WIDTH)
        node = root_of([node] * TILE_WIDTH)
    return lambda level, _: levels[level], leaves


def proof_lines() -> list[Line]:
    """Return size and time of proofs in a log of ten million entries."""
    reader, leaves = repeated_tiles()
    root = root_at(reader, LOG_SIZE)
    step = LOG_SIZE // PROOFS
    places = [number * step + number % TILE_WIDTH for number in range(PROOFS)]
    paths = [inclusion_proof(reader, place, LOG_SIZE) for place in places]
    olds = [(place or 1, root_at(reader, place or 1)) for place in places]
    proofs = [consistency_proof(reader, old, LOG_SIZE) for old, _ in olds]

    def check_inclusion() -> None:
        for place, path in zip(places, paths, strict=True):
            verify_inclusion(leaves[place % TILE_WIDTH], place, LOG_SIZE, path, root)

    def check_consistency() -> None:
        for (old, old_root), path in zip(olds, proofs, strict=True):
            verify_consistency(old, LOG_SIZE, old_root, root, path)

    hashed = median_s(lambda: [node_hash(root, root) for _ in range(10_000)]) / 10_000
    made = median_s(lambda: [inclusion_proof(reader, place, LOG_SIZE) for place in places]) / PROOFS
    joined = median_s(lambda: [consistency_proof(reader, old, LOG_SIZE) for old, _ in olds]) / PROOFS
    checked, compared = median_s(check_inclusion) / PROOFS, median_s(check_consistency) / PROOFS
    builder = TreeBuilder.load(reader, LOG_SIZE)
    appended = median_s(lambda: builder.append(leaves * 4)) / len(leaves * 4)
    return [
        _proof("inclusion", paths, made, checked, hashed),
        _proof("consistency", proofs, joined, compared, hashed),
        Line(f"append to a log of {LOG_SIZE:,}", f"{appended * 1e6:.1f} µs", beside=_times(appended, hashed)),
    ]


def _proof(what: str, paths: list[tuple[bytes, ...]], made: float, checked: float, hashed: float) -> Line:
    longest = max(map(len, paths))
    return Line(
        f"{what} proof in {LOG_SIZE:,} entries",
        f"{longest * HASH_BYTES} bytes at most, {made * 1e6:.0f} µs to make, {checked * 1e6:.0f} µs to check",
        beside=f"checked in {_times(checked / longest, hashed)} a step",
    )


def _times(taken: float, hashed: float) -> str:
    return f"{taken / hashed:.1f} times one hash"


# -- cosigning ---------------------------------------------------------------------------------------------------------


def cosigning_lines() -> list[Line]:
    """Return what a witness's line costs to make, and a quorum's to check."""
    log, keys = LogKeys.generate(), [Mldsa44Key.generate() for _ in range(QUORUM)]
    names = [witness_name(EXCHANGE, f"X{chr(65 + number)}") for number in range(QUORUM)]
    checkpoint = Checkpoint(traffic_origin(EXCHANGE), LOG_SIZE, sha256(b"root").digest())
    at_s = NOW_MS // 1000
    signed = [cosign(checkpoint, name, key, at_s) for name, key in zip(names, keys, strict=True)]
    note = with_lines(sign_checkpoint(checkpoint, log), signed)
    cosigners = [Cosigner(name, key.public) for name, key in zip(names, keys, strict=True)]
    message = random_bytes(100)
    raw = sign_raw_mldsa44(keys[0], message)

    def many(work: Callable[[], object]) -> float:
        return median_s(lambda: [work() for _ in range(20)]) / 20

    made, bare = (
        many(lambda: cosign(checkpoint, names[0], keys[0], at_s)),
        many(lambda: sign_raw_mldsa44(keys[0], message)),
    )
    checked = many(lambda: cosignatures(note, checkpoint, cosigners))
    bare_check = many(lambda: verify_raw_mldsa44(keys[0].public, raw, message)) * QUORUM
    return [
        Line(
            "cosign a checkpoint",
            f"{made * 1e3:.2f} ms, {len(signed[0]):,} bytes",
            beside=f"{made / bare:.1f} times bare ML-DSA-44",
        ),
        Line(
            f"check a quorum of {QUORUM}",
            f"{checked * 1e3:.2f} ms, {len(note):,} bytes",
            beside=f"{checked / bare_check:.1f} times bare ML-DSA-44",
        ),
    ]


def lines(*, entries: int = ENTRIES) -> list[Line]:
    """Return every figure."""
    return [*replay_lines(entries), *proof_lines(), *cosigning_lines()]


if __name__ == "__main__":
    show(lines())
