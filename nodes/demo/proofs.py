"""After the play: what can be proven from what lies on the disks, with the network cut.

Everything is read from copies of the stores, as an auditor would, and checked with the pure packages alone.
"""

import shutil
import socket
import sqlite3
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exchange.crypto.codec import decode_signed
from exchange.directory.fold import Directory
from exchange.envelope.codec import decode_core, decode_header
from exchange.envelope.model import SUITE
from exchange.errors import BadProof, VerificationFailed
from exchange.limits import MIB, SLOTS
from exchange.merkle import Tree, leaf_hash
from exchange.names import PartyId
from exchange.receipts.codec import decode_promise
from exchange.receipts.model import ReceiptStatus
from exchange.receipts.verify import (
    check_decisions,
    check_promise_for,
    check_promise_in_log,
    open_receipts,
)
from exchange.runtime.relay_info import read_relay_info
from exchange.tlog.checkpoint import Checkpoint
from nodes.demo import cast
from nodes.demo.enrol import Home
from nodes.demo.stage import Proven
from nodes.relay_port import Log
from nodes.relay_word import opened_ever, opened_promise

TRAFFIC = 2
"""Number of the traffic log in the stores."""

LEAST_NEEDLE = 12
"""Shorter pieces of text could stand in ciphertext by chance."""


@dataclass(frozen=True, slots=True)
class Disks:
    """Copies of the stores, taken at one moment."""

    path: Path

    def rows(self, store: str, query: str, *values: object) -> list[tuple[object, ...]]:
        """Return the rows of a query on one copy."""
        with sqlite3.connect(self.path / store) as connection:
            return connection.execute(query, values).fetchall()

    def entries(self, store: str) -> list[bytes]:
        """Return a copy's directory entries, in order."""
        return [_bytes(row[0]) for row in self.rows(store, "SELECT entry FROM directory_entry ORDER BY number")]

    def traffic(self) -> list[bytes]:
        """Return the relay's traffic entries, in order."""
        return [_bytes(row[0]) for row in self.rows("relay.db", "SELECT entry FROM traffic_entry ORDER BY number")]


def copy_disks(home: Home) -> Disks:
    """Copy every store; SQLite's own copy gives one moment of each, also while it is in use."""
    path = home.path / "evidence"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    stores = {"relay.db": home.relay / "relay.db"}
    stores |= {f"{party}.db": home.node(party) / "node.db" for party in cast.PLAYERS}
    for name, source in stores.items():
        with sqlite3.connect(source) as origin, sqlite3.connect(path / name) as copy:
            origin.backup(copy)
    return Disks(path)


def replay(disks: Disks, store: str) -> Directory:
    """Return the directory that a store's entries make."""
    first, *others = disks.entries(store)
    directory = Directory.found(first, expected_hash=None)
    for index, entry in enumerate(others, start=1):
        directory.apply(entry, index)
    return directory


def one_directory(disks: Disks) -> Proven:
    """Every node replays the same log of statements."""
    replayed = [replay(disks, f"{party}.db") for party in cast.PLAYERS]
    shortest = min(directory.size for directory in replayed)
    prefixes = {tuple(disks.entries(f"{party}.db")[:shortest]) for party in cast.PLAYERS}
    if len(prefixes) != 1 or any(directory.ignored for directory in replayed):
        raise VerificationFailed("the nodes do not hold the same directory")
    root = replayed[0].root().hex()[:16]
    return Proven("who is who: eight nodes replay one directory", f"{shortest} signed entries, root {root}…")


def sealed_before_it_left(disks: Disks) -> Proven:
    """Every envelope that was sent names the post-quantum suite and hides its audience among 256 slots."""
    count, sizes = 0, set()
    for party in cast.PLAYERS:
        for (header,) in disks.rows(f"{party}.db", "SELECT header FROM promise WHERE ours"):
            sealed = decode_header(decode_signed(_bytes(header), limit=MIB, what="a header").payload)
            if (decode_core(sealed.core).suite, sealed.slots) != (SUITE, SLOTS):
                raise VerificationFailed("an envelope of another suite")
            count += 1
            sizes.add(sealed.body_size)
    suite = "X-Wing wraps, Cobblestone-256 bodies"
    return Proven(
        "sealed before it leaves, post-quantum", f"{count} envelopes: {suite} of {len(sizes)} sizes, 256 slots each"
    )


def rules_agree(disks: Disks) -> Proven:
    """The relay's decisions, whose hash it promised, name for every slot the agreement that the sender cited."""
    decided = 0
    for party in cast.PLAYERS:
        query = "SELECT promise, decisions FROM promise WHERE ours"
        for promise_bytes, decisions in disks.rows(f"{party}.db", query):
            promise = decode_promise(decode_signed(_bytes(promise_bytes), limit=MIB, what="a promise").payload)
            decided += len(check_decisions(promise, _bytes(decisions)).decisions)
    return Proven(
        "sender, relay and recipients decide alike", f"{decided} decisions of the relay, bound to its promises"
    )


def old_tls_is_refused(home: Home) -> Proven:
    """A client of yesterday does not get past the relay's handshake."""
    info = read_relay_info((home.relay / "relay.info").read_text())
    host, port = info.address.rsplit(":", 1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        with socket.create_connection((host, int(port)), timeout=5) as plain, context.wrap_socket(plain):
            raise VerificationFailed("the relay speaks TLS 1.2")
    except (ssl.SSLError, ConnectionError) as error:
        words = getattr(error, "reason", "") or str(error)
    return Proven("connections are post-quantum", f"X25519MLKEM768 or nothing; a TLS 1.2 client hears {words}")


def promises_in_log(disks: Disks, directory: Directory) -> Proven:
    """Every promise holds, and what it promised stands in the log under a signed checkpoint."""
    tree_entries = disks.traffic()
    checked = 0
    for party in cast.PLAYERS:
        checkpoint = _checkpoint(disks, party, directory)
        tree = Tree([leaf_hash(entry) for entry in tree_entries[: checkpoint.size]])
        if tree.root != checkpoint.root:
            raise BadProof(f"the relay's log is not the one that {party} holds a checkpoint of")
        for promise_bytes, envelope in disks.rows(f"{party}.db", "SELECT promise, envelope FROM promise"):
            signed = decode_signed(_bytes(promise_bytes), limit=MIB, what="a promise")
            promise = opened_promise(signed, directory, directory.exchange)
            check_promise_for(promise, _bytes(envelope))
            if promise.log_index >= checkpoint.size:
                continue
            entry, path = tree_entries[promise.log_index], tree.path(promise.log_index)
            check_promise_in_log(promise, entry, path, size=checkpoint.size, root=checkpoint.root)
            checked += 1
    return Proven(
        "the relay's promises are kept", f"{checked} promises, each with an inclusion proof under a checkpoint"
    )


def receipts_hold(disks: Disks, directory: Directory) -> Proven:
    """Every receipt is signed by the partner that it is from."""
    lines = 0
    for party in cast.PLAYERS:
        for sender, statement in disks.rows(f"{party}.db", "SELECT sender, statement FROM receipt_batch"):
            recipient = PartyId(str(sender))
            signed = decode_signed(_bytes(statement), limit=MIB, what="a receipt batch")

            batch = open_receipts(
                signed,
                partial(directory.statement_key, recipient, at_size=directory.size),
                exchange=directory.exchange,
                from_party=recipient,
                to_party=PartyId(party),
            )
            lines += sum(line.status is not ReceiptStatus.REFUSED for line in batch.lines)
    if not lines:
        raise VerificationFailed("there are no receipts")
    return Proven("recipients confirmed in writing", f"{lines} receipts, each under ML-DSA-65 + Ed25519")


def relay_reads_nothing(home: Home) -> Proven:
    """The relay's files hold none of the words of any report."""
    needles = sorted({needle for name in _played() for needle in _needles(*cast.report(name))})
    files = [path for path in sorted(home.relay.rglob("*")) if path.is_file()]
    haystack = [(path, path.read_bytes()) for path in files]
    for path, data in haystack:
        found = next((needle for needle in needles if needle in data), None)
        if found is not None:
            raise VerificationFailed(f"{path} holds {found!r} in clear")
    if not any(b"XV" in data for _, data in haystack):
        raise VerificationFailed("the search looks in the wrong place: it does not even find the partners' names")
    size = sum(len(data) for _, data in haystack)
    return Proven(
        "the relay cannot read", f"{len(needles)} phrases of the reports, none in {size:,} bytes of its files"
    )


def tampered_log(disks: Disks, directory: Directory) -> Proven:
    """A log in which one byte was changed is noticed."""
    entries = disks.traffic()
    checkpoint = _checkpoint(disks, "XA", directory)
    row = disks.rows("XA.db", "SELECT promise, log_index FROM promise WHERE ours ORDER BY log_index")[0]
    signed = decode_signed(_bytes(row[0]), limit=MIB, what="a promise")
    promise = opened_promise(signed, directory, directory.exchange)
    damaged = bytearray(entries[promise.log_index])
    damaged[5] ^= 1
    entries[promise.log_index] = bytes(damaged)
    tree = Tree([leaf_hash(entry) for entry in entries[: checkpoint.size]])
    path = tree.path(promise.log_index)
    try:
        check_promise_in_log(promise, bytes(damaged), path, size=checkpoint.size, root=checkpoint.root)
    except VerificationFailed as error:
        return Proven("a changed log is refused", f"entry {promise.log_index} with one bit flipped: {error}")
    raise VerificationFailed("a changed entry went unnoticed")


def offline(home: Home) -> list[Proven]:
    """Copy the disks and prove what they hold."""
    disks = copy_disks(home)
    directory = replay(disks, "relay.db")
    return [
        sealed_before_it_left(disks),
        old_tls_is_refused(home),
        rules_agree(disks),
        one_directory(disks),
        promises_in_log(disks, directory),
        receipts_hold(disks, directory),
        relay_reads_nothing(home),
        tampered_log(disks, directory),
    ]


def _checkpoint(disks: Disks, party: str, directory: Directory) -> Checkpoint:
    (note,) = disks.rows(f"{party}.db", "SELECT note FROM checkpoint WHERE log = ?", TRAFFIC)[0]
    return opened_ever(str(note), Log.TRAFFIC, directory)


def _played() -> Sequence[str]:
    return [path.name.removesuffix(".label.yaml") for path in cast.SCENARIOS.glob("*.label.yaml")]


def _needles(content: bytes, label: bytes) -> set[bytes]:
    """Return the phrases of a report and its label that would give it away."""
    lines = [*content.splitlines(), *label.splitlines()]
    values = {line.split(b":", 1)[-1].strip(b' ",') for line in lines if b":" in line}
    # The directory says who the partners are; that is no secret of any report.
    values -= {player.name.encode() for player in cast.players()}
    return {value for value in values if len(value) >= LEAST_NEEDLE and b"{" not in value and b"[" not in value}


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise VerificationFailed("a store holds something else than bytes")
    return value
