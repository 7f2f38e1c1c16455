"""RELAY INFO and PARTY ROOT files, and the strict JSON in them."""

from dataclasses import replace
from hashlib import sha256

import pytest

from exchange.crypto.codec import encode_signed
from exchange.errors import BadInput, BadStatement, ExchangeError
from exchange.names import exchange_name, party_id
from exchange.runtime.armour import read_armour, write_armour
from exchange.runtime.json_record import decode_record, encode_record, from_base64, from_hex
from exchange.runtime.relay_info import (
    RelayInfo,
    RootFile,
    read_relay_info,
    read_root_file,
    write_relay_info,
    write_root_file,
)
from tests.support.directory_builders import EXCHANGE, a_council, composite


def an_info() -> RelayInfo:
    genesis = a_council().genesis()
    digest = sha256(genesis.payload).digest()
    return RelayInfo(EXCHANGE, "relay.example:7001", "[::1]:7002", "PEM", digest, encode_signed(genesis))


def test_relay_info_survives_its_text() -> None:
    info = an_info()
    assert read_relay_info(write_relay_info(info)) == info
    assert info.directory().genesis_hash == info.genesis_hash


def test_relay_info_with_another_hash_or_name_has_no_directory() -> None:
    for wrong in (replace(an_info(), genesis_hash=bytes(32)), replace(an_info(), exchange=exchange_name("other"))):
        with pytest.raises(BadStatement):
            wrong.directory()


@pytest.mark.parametrize(
    "address", ["", "relay", "relay:", 'relay:1"\nx = "1', "relay:7001 ", "a b:1", "unix:/tmp/x:1"]
)
def test_an_address_is_an_address(address: str) -> None:
    for wrong in (replace(an_info(), address=address), replace(an_info(), join_address=address)):
        with pytest.raises(BadInput):
            read_relay_info(write_relay_info(wrong))


def test_a_root_file_survives_its_text_and_its_key_is_admitted() -> None:
    root = RootFile(party_id("XA"), composite("XA/root").public)
    assert read_root_file(write_root_file(root)) == root
    data = read_armour(write_root_file(root), {"PARTY ROOT"})[1]
    for wrong in (data.replace(b"XA", b"xa"), data[:-1], data.replace(b'"root": "', b'"root": "AAAA')):
        with pytest.raises(ExchangeError):
            read_root_file(write_armour("PARTY ROOT", wrong))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"a": 1}',
        b'{\n  "a": "x",\n  "b": true\n}',
        b'{\n  "a": "x",\n  "b": 1.0\n}',
        b'{\n  "a": "x",\n  "b": "1"\n}',
        b'{\n  "a": "y",\n  "a": "x",\n  "b": 1\n}',
        b'{\n  "a": "x",\n  "b": 1,\n  "c": 1\n}',
        b'{"a":"x","b":1}',
        b'{\n  "a": "x",\n  "b": 1\n}\n',
    ],
)
def test_a_record_has_its_fields_once_and_in_one_form(data: bytes) -> None:
    kinds: dict[str, type] = {"a": str, "b": int}
    assert decode_record(encode_record({"a": "x", "b": 1}), kinds, what="it") == {"a": "x", "b": 1}
    with pytest.raises(BadInput):
        decode_record(data, kinds, what="it")


def test_bytes_in_a_record_are_strict_text() -> None:
    assert from_hex("00ff", what="it") == b"\x00\xff" and from_base64("AP8=", what="it") == b"\x00\xff"
    for text in ("00FF", "0", "zz", "00 ff"):
        with pytest.raises(BadInput):
            from_hex(text, what="it")
    for text in ("AP8", "A P8=", "AP8=\n", "é"):
        with pytest.raises(BadInput):
            from_base64(text, what="it")
