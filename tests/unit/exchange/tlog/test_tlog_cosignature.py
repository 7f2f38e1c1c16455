"""Cosignatures: what a witness signed is checked to the last byte, and by a second verifier that shares no code."""

import base64
import json
import struct
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from exchange.crypto.keys import KeyAlgorithm, admit_public_key
from exchange.crypto.logkeys import LogKeys, LogPublicKeys
from exchange.crypto.signing import Ed25519Key, Mldsa44Key
from exchange.errors import BadInput, BadProof
from exchange.merkle import root_of
from exchange.tlog.checkpoint import Checkpoint
from exchange.tlog.cosignature import Cosignature, Cosigner, check_cosignature, cosign, cosignatures
from exchange.tlog.note import with_lines
from exchange.tlog.signing import open_checkpoint, sign_checkpoint
from tests.support.logs import leaves

ORIGIN = "demo.concord.example/dir"
CHECKPOINT = Checkpoint(ORIGIN, 3, root_of(leaves(3)))
LOG = LogKeys(Ed25519Key.from_seed(bytes(32)), Mldsa44Key.from_seed(bytes(32)))
KEYS = {name: Mldsa44Key.from_seed(sha256(name.encode()).digest()) for name in ("w/XA", "w/XV", "w/XO")}
WITNESSES = [Cosigner(name, key.public) for name, key in KEYS.items()]
THEN_S = 1_637_755_200


def a_line(name: str = "w/XA", checkpoint: Checkpoint = CHECKPOINT, at_s: int = THEN_S) -> str:
    return cosign(checkpoint, name, KEYS[name], at_s)


def test_a_cosignature_says_who_and_when() -> None:
    assert check_cosignature(a_line(), CHECKPOINT, WITNESSES[0]) == Cosignature("w/XA", THEN_S)


@pytest.mark.parametrize(
    "checkpoint",
    [
        replace(CHECKPOINT, size=4),
        replace(CHECKPOINT, root=root_of(leaves(4))),
        replace(CHECKPOINT, origin="demo.concord.example/traffic"),
    ],
)
def test_a_cosignature_holds_for_one_checkpoint_only(checkpoint: Checkpoint) -> None:
    with pytest.raises(BadProof):
        check_cosignature(a_line(), checkpoint, WITNESSES[0])


def test_a_cosignature_holds_under_one_name_and_key_only() -> None:
    line = a_line()
    for other in (WITNESSES[1], Cosigner("w/XV", KEYS["w/XA"].public), Cosigner("w/XA", KEYS["w/XV"].public)):
        with pytest.raises(BadProof):
            check_cosignature(line, CHECKPOINT, other)
    # The same key under another name: the name is part of what is signed.
    key = KEYS["w/XA"]
    forged = cosign(CHECKPOINT, "w/other", key, THEN_S).split(" ")[-1]
    raw = base64.b64decode(forged)
    claimed = base64.b64encode(base64.b64decode(line.split(" ")[-1])[:4] + raw[4:]).decode()
    with pytest.raises(BadProof):
        check_cosignature(f"— w/XA {claimed}\n", CHECKPOINT, WITNESSES[0])


def test_the_time_of_a_cosignature_cannot_be_changed() -> None:
    raw = base64.b64decode(a_line().split(" ")[-1])
    later = base64.b64encode(raw[:4] + struct.pack(">Q", THEN_S + 1) + raw[12:]).decode()
    with pytest.raises(BadProof):
        check_cosignature(f"— w/XA {later}\n", CHECKPOINT, WITNESSES[0])


def test_a_note_tells_its_witnesses_and_ignores_lines_of_strangers() -> None:
    stranger = cosign(CHECKPOINT, "w/stranger", Mldsa44Key.generate(), THEN_S)
    note = with_lines(sign_checkpoint(CHECKPOINT, LOG), [a_line(), stranger, a_line("w/XO", at_s=THEN_S + 9)])
    assert open_checkpoint(note, ORIGIN, LOG.public) == CHECKPOINT
    found = cosignatures(note, CHECKPOINT, WITNESSES)
    assert found == (Cosignature("w/XA", THEN_S), Cosignature("w/XO", THEN_S + 9))


def test_a_note_with_a_wrong_or_second_line_of_a_known_witness_does_not_hold() -> None:
    note = sign_checkpoint(CHECKPOINT, LOG)
    wrong = a_line(checkpoint=replace(CHECKPOINT, size=4))
    for lines in ([wrong], [a_line(), a_line(at_s=THEN_S + 1)]):
        with pytest.raises(BadProof):
            cosignatures(with_lines(note, lines), CHECKPOINT, WITNESSES)
    with pytest.raises(BadProof):
        cosignatures(note, replace(CHECKPOINT, size=4), WITNESSES)


def test_a_witness_key_of_another_algorithm_cosigns_nothing() -> None:
    with pytest.raises(BadProof):
        check_cosignature(a_line(), CHECKPOINT, Cosigner("w/XA", Ed25519Key.from_seed(bytes(32)).public))


@pytest.mark.parametrize("line", ["", "junk\n", "— w/XA AAAA\n", "— w/XA \n", "— w/XA AAAAAAAAAA=="])
def test_what_is_no_cosignature_is_refused(line: str) -> None:
    with pytest.raises(BadProof):
        check_cosignature(line, CHECKPOINT, WITNESSES[0])


def test_what_nobody_could_check_is_not_cosigned() -> None:
    for checkpoint, name, at_s in (
        (replace(CHECKPOINT, size=-1), "w", 1),
        (CHECKPOINT, "two words", 1),
        (CHECKPOINT, "", 1),
        (CHECKPOINT, "w" * 256, 1),
        (CHECKPOINT, "w", -1),
        (CHECKPOINT, "w", 1 << 63),
    ):
        with pytest.raises(BadInput):
            cosign(checkpoint, name, KEYS["w/XA"], at_s)


def golden() -> dict[str, str | int]:
    path = Path(__file__).parents[3] / "vectors" / "tlog" / "cosigned.json"
    found: dict[str, str | int] = json.loads(path.read_text())
    return found


def test_the_golden_note_opens_with_its_witness() -> None:
    vector = golden()
    keys = LogPublicKeys(
        admit_public_key(KeyAlgorithm.ED25519, bytes.fromhex(str(vector["log_ed25519_hex"]))),
        admit_public_key(KeyAlgorithm.MLDSA_44, bytes.fromhex(str(vector["log_mldsa44_hex"]))),
    )
    witness = Cosigner(
        str(vector["witness"]),
        admit_public_key(KeyAlgorithm.MLDSA_44, bytes.fromhex(str(vector["witness_mldsa44_hex"]))),
    )
    checkpoint = open_checkpoint(str(vector["note"]), ORIGIN, keys)
    assert cosignatures(str(vector["note"]), checkpoint, [witness]) == (
        Cosignature(witness.name, int(vector["witness_time_s"])),
    )


def test_the_golden_lines_hold_by_a_verifier_written_from_the_specification_alone() -> None:
    vector = golden()
    body, lines = str(vector["note"]).split("\n\n")
    origin, size, root = body.split("\n")
    mldsa = [line.split(" ") for line in lines.splitlines()][1:]
    keys = [bytes.fromhex(str(vector[name])) for name in ("log_mldsa44_hex", "witness_mldsa44_hex")]
    assert [name for _, name, _ in mldsa] == [origin, vector["witness"]]
    for (_, name, encoded), key in zip(mldsa, keys, strict=True):
        value = base64.b64decode(encoded)
        assert value[:4] == sha256(name.encode() + b"\n\x06" + key).digest()[:4]
        message = (
            b"subtree/v1\n\x00"
            + bytes([len(name)])
            + name.encode()
            + value[4:12]
            + bytes([len(origin)])
            + origin.encode()
            + bytes(8)
            + int(size).to_bytes(8, "big")
            + base64.b64decode(root)
        )
        MLDSA44PublicKey.from_public_bytes(key).verify(value[12:], message)
