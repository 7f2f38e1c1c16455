"""Slots come back from their parts as they went in."""

from hypothesis import given
from hypothesis import strategies as st

from exchange.names import PartyId
from exchange.relay.slots import PART, PARTS, Slot, encode_slots, part_key, recipients_of, slot_at

SLOTS = st.builds(
    Slot,
    recipient=st.integers(0, 10**6).map(lambda number: PartyId(f"XA.p{number}")),
    index=st.integers(0, 255),
    leaf=st.binary(max_size=300),
    proof=st.lists(st.binary(min_size=32, max_size=32), max_size=8).map(tuple),
    wrap=st.binary(max_size=1200),
)


@given(st.lists(SLOTS, min_size=1, max_size=40))
def test_every_slot_comes_back_from_the_part_that_its_place_names(slots: list[Slot]) -> None:
    parts = encode_slots(slots)
    assert len(parts) == -(-len(slots) // PART)
    for place, slot in enumerate(slots):
        assert slot_at(parts[place // PART], place) == slot
    assert [party for part in parts for party in recipients_of(part)] == [slot.recipient for slot in slots]


def test_no_two_parts_of_any_envelopes_have_the_same_key() -> None:
    keys = {part_key(envelope, place) for envelope in range(1, 50) for place in range(0, PART * PARTS, PART)}
    assert len(keys) == 49 * PARTS
