"""Whatever is put into a directory about the relay's keys, in any order: m of n roots name them, in turn."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.crypto.codec import encode_signed
from exchange.crypto.signed import Signed, add_signature, sign
from exchange.crypto.signing import CompositeKey
from exchange.directory import codec, issue
from exchange.directory.fold import Directory
from exchange.directory.state import Ignored
from exchange.directory.statements import RelayKeys
from exchange.names import COUNCIL
from tests.support.directory_builders import EXCHANGE, NOON, a_council, composite, relay_keys

COUNCIL_PARTIES = ("XA", "XV", "XO")
M = 2
SETS = tuple(relay_keys(name) for name in ("relay", "second", "third", "fourth"))
SIGNERS = tuple(composite(f"{name}/root") for name in (*COUNCIL_PARTIES, "XX"))

STEPS = st.lists(
    st.tuples(
        st.integers(0, len(SETS) - 1),
        st.integers(0, len(SETS) - 1),
        st.sets(st.integers(0, len(SIGNERS) - 1), min_size=1),
        st.sampled_from(("in order", "an old place", "a place to come", "repeated")),
        st.booleans(),
    ),
    max_size=8,
)


def signed_by(payload: bytes, keys: list[CompositeKey]) -> Signed:
    first, *others = keys
    signed = sign(first, "relay-keys", payload, context=EXCHANGE)
    for key in others:
        signed = add_signature(signed, key, context=EXCHANGE)
    return signed


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_keys_hold_by_m_of_n_in_their_order_from_the_entry_after_and_never_come_back(
    steps: list[tuple[int, int, set[int], str, bool]],
) -> None:
    genesis = a_council(COUNCIL_PARTIES, threshold=M).genesis()
    directory = Directory.found(encode_signed(genesis), expected_hash=None)
    standing: list[bytes] = []
    model: list[tuple[int, RelayKeys]] = [(0, SETS[0])]
    ever = [SETS[0]]
    for promise_of, rest_of, who, where, stolen in steps:
        keys = replace(SETS[rest_of], promise=SETS[promise_of].promise)
        seq, prev = directory.next_seq_prev(COUNCIL)
        place = {"an old place": (1, b""), "a place to come": (seq + 1, bytes(32))}.get(where, (seq, prev))
        drafted = issue.draft_relay_keys(
            exchange=EXCHANGE, place=place, keys=keys, stolen_since_ms=NOON if stolen else 0, now_ms=NOON
        )
        entry = encode_signed(signed_by(codec.encode(drafted), [SIGNERS[each] for each in sorted(who)]))
        enough = who <= {0, 1, 2} and len(who) >= M
        expected = where == "in order" and enough and _fits(keys, model[-1][1], ever, stolen=stolen)
        if where == "repeated":
            entry, expected = (standing[-1] if standing else encode_signed(genesis)), False
        index = directory.size
        counts = not isinstance(directory.apply(entry, index), Ignored)
        assert counts is expected
        if counts:
            standing.append(entry)
            model.append((index, keys))
            ever.append(keys)
    for size in range(1, directory.size + 1):
        found = directory.relay_keys_at(size)
        assert found is not None
        assert found.keys == [keys for index, keys in model if index < size][-1]


def _fits(keys: RelayKeys, now: RelayKeys, ever: list[RelayKeys], *, stolen: bool) -> bool:
    """Say whether each key is the one in force or was never the relay's, and enough of them are new."""

    def parts(each: RelayKeys) -> tuple[object, object, object, object]:
        return each.promise, each.log.ed25519, each.log.mldsa, each.transport_ca

    used = {part for each in ever for part in parts(each)}
    new = [part for part, before in zip(parts(keys), parts(now), strict=True) if part != before]
    if not new or (stolen and len(new) < len(parts(keys))):
        return False
    return not any(part in used for part in new)
