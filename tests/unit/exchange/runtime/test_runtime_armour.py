import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import MalformedInput, TooLarge
from exchange.runtime.armour import ARMOUR_BYTES, read_armour, write_armour


@given(st.binary(max_size=300))
def test_what_is_written_is_read(data: bytes) -> None:
    assert read_armour(write_armour("JOIN REQUEST", data), ["JOIN REQUEST", "INVITATION"]) == ("JOIN REQUEST", data)


def test_mail_may_change_line_ends_and_surrounding_space() -> None:
    text = write_armour("INVITATION", bytes(100))
    mailed = "\r\n \r\n" + text.replace("\n", " \r\n") + "\r\n\r\n"
    assert read_armour(mailed, ["INVITATION"]) == ("INVITATION", bytes(100))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "-----BEGIN CONCORD INVITATION-----",
        "-----BEGIN CONCORD INVITATION-----\nAAAA\n",
        "-----BEGIN CONCORD INVITATION-----\nAAAA\n-----END CONCORD ADMISSION-----",
        "-----BEGIN CONCORD INVITATION-----\nAAA\n-----END CONCORD INVITATION-----",
        "-----BEGIN CONCORD INVITATION-----\nAB==\n-----END CONCORD INVITATION-----",
        "-----BEGIN CONCORD INVITATION-----\nAA!A\n-----END CONCORD INVITATION-----",
        "-----BEGIN CONCORD INVITATION-----\nÄAAA\n-----END CONCORD INVITATION-----",
        "words before\n-----BEGIN CONCORD INVITATION-----\nAAAA\n-----END CONCORD INVITATION-----",
    ],
)
def test_anything_but_one_whole_block_is_refused(text: str) -> None:
    with pytest.raises(MalformedInput):
        read_armour(text, ["INVITATION"])


def test_two_blocks_are_refused() -> None:
    with pytest.raises(MalformedInput):
        read_armour(write_armour("INVITATION", b"a") * 2, ["INVITATION"])


def test_another_kind_is_refused_with_both_names() -> None:
    with pytest.raises(MalformedInput, match="holds ADMISSION; wanted is INVITATION or PARTY ROOT"):
        read_armour(write_armour("ADMISSION", b""), {"PARTY ROOT", "INVITATION"})


def test_a_kind_is_words_in_capitals() -> None:
    with pytest.raises(MalformedInput):
        write_armour("x-----", b"")


def test_a_text_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        read_armour(" " * (ARMOUR_BYTES + 1), ["INVITATION"])
