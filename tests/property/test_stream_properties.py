"""Whatever is lost, void or late: once each number is accounted for, both ends have one running hash, or say so."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine

from exchange.envelope.model import EnvelopeKind, Lane
from exchange.receipts.model import StreamHead, StreamTail
from exchange.receipts.streams import STREAM_START, next_running_hash
from exchange.resend.model import ResendAnswer, ResendLine, ResendOutcome
from nodes import gaps, streams
from nodes.store import missing, receiving
from nodes.store.columns import metadata
from nodes.store.rows import Came

NOW = 1_700_000_000_000
LANE = int(Lane.ROUTINE)
SALT = bytes(16)
FATES = ("came", "late", "lost", "void", "void but not told")


def envelope(seq: int) -> bytes:
    return sha256(b"%d" % seq).digest()


@contextmanager
def a_store() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.begin() as connection:
        yield connection


def take(connection: Connection, numbers: Sequence[int]) -> None:
    came = [
        Came(envelope(seq), "XA", envelope(seq), int(EnvelopeKind.REPORT), LANE, 1, seq, seq, NOW) for seq in numbers
    ]
    receiving.add_came(connection, came)
    assert gaps.arrived(connection, came, [], NOW) == []


def tell(connection: Connection, fates: Sequence[str]) -> None:
    running = STREAM_START
    for seq, fate in enumerate(fates, 1):
        if not fate.startswith("void"):
            running = next_running_hash(running, seq, envelope(seq))
    voided = tuple(seq for seq, fate in enumerate(fates, 1) if fate == "void")
    tail = StreamTail(LANE, 1, len(fates), running, voided)
    assert streams.hear(connection, StreamHead("test.example", "XA", "XV", (tail,), NOW, SALT), NOW) == []


def ask_and_answer(connection: Connection, fates: Sequence[str], *, lie: bool = False) -> set[int]:
    """Ask for all that is missing, and answer it; a lie names another envelope. Return what was asked for."""
    asked = set()
    while rows := missing.to_ask(
        connection,
        sender="XA",
        shown_before_ms=NOW,
        now_ms=NOW,
        empty_ms=NOW + 1,
        late_before_ms={},
        limit=50,
    ):
        lines = []
        for row in rows:
            missing.asked(connection, row, request=b"r" * 32, due_ms=NOW + 1)
            asked.add(row.seq)
            if fates[row.seq - 1].startswith("void"):
                lines.append(ResendLine(LANE, 1, row.seq, ResendOutcome.VOID))
            else:
                named = bytes(32) if lie else envelope(row.seq)
                lines.append(ResendLine(LANE, 1, row.seq, ResendOutcome.RESENT, named))
        answer = ResendAnswer("test.example", "XA", "XV", tuple(lines), NOW, SALT)
        assert gaps.hear_answer(connection, answer, b"a" * 32, NOW) == len(lines)
    return asked


def state(connection: Connection) -> str:
    for heard in receiving.open_heads(connection):
        gaps.compare(connection, heard)
    return receiving.heard_stream(connection, "XA", 1, LANE).state


streams_of = st.lists(st.sampled_from(FATES), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(fates=streams_of, data=st.data())
def test_answers_complete_the_running_hash_whatever_was_lost_and_in_whatever_order_it_came(
    fates: list[str], data: st.DataObject
) -> None:
    came = [seq for seq, fate in enumerate(fates, 1) if fate == "came"]
    late = [seq for seq, fate in enumerate(fates, 1) if fate == "late"]
    lost = {seq for seq, fate in enumerate(fates, 1) if fate in ("lost", "void but not told")}
    with a_store() as connection:
        for seq in data.draw(st.permutations(came)):
            take(connection, [seq])
        tell(connection, fates)
        for seq in data.draw(st.permutations(late)):
            take(connection, [seq])
        assert state(connection) == ("open" if lost else "held")
        assert ask_and_answer(connection, fates) == lost
        assert state(connection) == "held"
        assert missing.gaps(connection) == []


@settings(max_examples=30, deadline=None)
@given(fates=streams_of)
def test_an_answer_that_names_another_envelope_never_completes_it(fates: list[str]) -> None:
    with a_store() as connection:
        take(connection, [seq for seq, fate in enumerate(fates, 1) if fate in ("came", "late")])
        tell(connection, fates)
        ask_and_answer(connection, fates, lie=True)
        assert state(connection) == ("gap" if "lost" in fates else "held")


@given(outcome=st.sampled_from(ResendOutcome))
def test_what_was_not_asked_for_is_not_explained_away(outcome: ResendOutcome) -> None:
    named = b"" if outcome is ResendOutcome.VOID else envelope(1)
    with a_store() as connection:
        take(connection, [2])
        line = ResendLine(LANE, 1, 1, outcome, named)
        answer = ResendAnswer("test.example", "XA", "XV", (line,), NOW, SALT)
        assert gaps.hear_answer(connection, answer, b"a" * 32, NOW) == 0
        assert [gap.count for gap in missing.gaps(connection)] == [1]


def test_an_envelope_that_comes_under_a_number_that_was_answered_with_another_shows_the_lie() -> None:
    fates = ["lost", "came"]
    with a_store() as connection:
        take(connection, [2])
        tell(connection, fates)
        ask_and_answer(connection, fates, lie=True)
        came = Came(envelope(1), "XA", envelope(1), int(EnvelopeKind.REPORT), LANE, 1, 1, 1, NOW)
        receiving.add_came(connection, [came])
        ((kind, _, text),) = gaps.arrived(connection, [came], [], NOW)
        assert kind == "sender" and "number 1" in text
