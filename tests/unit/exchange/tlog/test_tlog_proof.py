"""Log proofs as C2SP writes them: one form, and no other text is one; the policy that they are checked by."""

import base64
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.crypto.logkeys import LogKeys
from exchange.crypto.signing import Ed25519Key, Mldsa44Key
from exchange.errors import BadInput, BadProof
from exchange.tlog.checkpoint import Checkpoint
from exchange.tlog.cosignature import Cosigner
from exchange.tlog.note import verifier_key
from exchange.tlog.proof import EXTRA_BYTES, LogProof, read_proof, write_policy, write_proof
from exchange.tlog.signing import sign_checkpoint
from tests.support.logs import leaves

KEYS = LogKeys(Ed25519Key.from_seed(bytes(32)), Mldsa44Key.from_seed(bytes(32)))
NOTE = sign_checkpoint(Checkpoint("demo.concord.example/traffic", 5, leaves(1)[0]), KEYS)
PROOF = LogProof(3, tuple(leaves(3)), NOTE, b"extra")


@pytest.mark.parametrize(
    "proof", [PROOF, LogProof(0, (), NOTE), LogProof((1 << 63) - 1, tuple(leaves(64)), NOTE, bytes(EXTRA_BYTES))]
)
def test_a_proof_comes_back_as_it_went(proof: LogProof) -> None:
    assert read_proof(write_proof(proof)) == proof


@pytest.mark.parametrize(
    "proof",
    [
        LogProof(-1, (), NOTE),
        LogProof(1 << 64, (), NOTE),
        LogProof(1, (b"short",), NOTE),
        LogProof(1, tuple(leaves(65)), NOTE),
        LogProof(1, (), NOTE, bytes(EXTRA_BYTES + 1)),
    ],
)
def test_what_would_not_be_read_again_is_not_written(proof: LogProof) -> None:
    with pytest.raises(BadInput):
        write_proof(proof)


@pytest.mark.parametrize(
    "old, new",
    [
        ("@v1", "@v2"),
        ("index 3", "index 03"),
        ("index 3", "index +3"),
        ("index 3\n", ""),
        ("extra ", "extra  "),
        ("extra ZXh0cmE=", "extra "),
        ("extra ZXh0cmE=", "extra ZXh0cmF="),
        ("\n\n", "\n"),
        ("=\n", "\n"),
    ],
)
def test_a_proof_in_any_other_form_is_refused(old: str, new: str) -> None:
    text = write_proof(PROOF)
    assert old in text
    with pytest.raises(BadProof):
        read_proof(text.replace(old, new, 1))


@given(st.text(max_size=300) | st.text(max_size=300).map(lambda text: f"c2sp.org/tlog-proof@v1\n{text}"))
def test_any_text_is_a_proof_or_refused(text: str) -> None:
    try:
        proof = read_proof(text)
    except BadProof:
        return
    assert read_proof(write_proof(proof)) == proof


def test_a_policy_names_both_keys_of_the_log_the_witnesses_and_their_quorum() -> None:
    witnesses = [Cosigner(f"demo.concord.example/witness/{name}", KEYS.mldsa.public) for name in ("XA", "FR.office")]
    lines = write_policy("demo.concord.example/traffic", [KEYS.public], witnesses, 2).splitlines()
    assert [line.split()[0] for line in lines] == ["#", "log", "log", "witness", "witness", "group", "quorum"]
    assert lines[5:] == ["group witnesses 2 XA FR.office", "quorum witnesses"]
    name, hash_, key = lines[3].split()[2].split("+", 2)
    raw = base64.b64decode(key)
    assert (name, raw[0], raw[1:]) == (witnesses[0].name, 6, KEYS.mldsa.public.raw)
    assert hash_ == sha256(name.encode() + b"\n" + raw).digest()[:4].hex()
    assert write_policy("o/traffic", [KEYS.public], [], 0).endswith("quorum none\n")


def test_the_verifier_key_of_the_specification_is_written_as_it_stands_there() -> None:
    vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    raw = base64.b64decode(vkey.split("+", 2)[2])[1:]
    key = Ed25519Key.from_seed(bytes(32)).public
    assert verifier_key("example.com/foo", type(key)(key.algorithm, raw)) == vkey
