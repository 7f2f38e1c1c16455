"""The keys that a node has had, has and will have, and which of them it uses now.

The first ones come with the home (node.keys). Those that follow lie in keys.db, wrapped under the master key that only
node.keys holds, durable before anybody hears of them. Which are used is read from the directory, never from a switch of
our own: the newest that it shows as standing. So a crash anywhere leaves the old keys or the new ones at work.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from exchange.crypto.signing import CompositeKey, Ed25519Key
from exchange.crypto.x509 import ca_key_hash, validity
from exchange.directory.fold import Directory
from exchange.limits import KEY_OVERLAP_MS
from exchange.names import PartyId
from nodes.keystore import NodeKeys


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """A statement key and an envelope key that one certificate is for; `number` 0 are those of node.keys."""

    number: int
    made_ms: int
    statement: CompositeKey = field(repr=False)
    envelope: Ed25519Key = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authority:
    """A transport CA, and the signed statement that enters it in the directory."""

    number: int
    made_ms: int
    certificate: bytes
    """DER."""
    key: bytes = field(repr=False)
    statement: bytes = b""
    """Signed bytes; empty for the CA of node.keys, which came with the request to join."""


def follows_ms(authority: Authority) -> int:
    """Return when a CA takes the place of the one before at the sensors' door."""
    return authority.made_ms + KEY_OVERLAP_MS


class Keyring:
    """Every key of one node. For one event loop; `keys_of` gives values for any thread."""

    def __init__(self, first: NodeKeys, me: PartyId) -> None:
        """`first` are the keys of node.keys."""
        self._me = me
        self._first = first
        self._signing = [SigningKeys(0, 0, first.statement, first.envelope)]
        self._authorities = [Authority(0, 0, first.transport_ca, first.transport_key)]

    @property
    def first(self) -> NodeKeys:
        """The keys of node.keys."""
        return self._first

    @property
    def signing(self) -> Sequence[SigningKeys]:
        """All signing keys that are held, oldest first."""
        return tuple(self._signing)

    @property
    def authorities(self) -> Sequence[Authority]:
        """All transport CAs that are held, oldest first."""
        return tuple(self._authorities)

    def add(self, *, signing: Sequence[SigningKeys] = (), authorities: Sequence[Authority] = ()) -> None:
        """Take in keys that are stored."""
        self._signing = sorted([*self._signing, *signing], key=lambda each: each.number)
        self._authorities = sorted([*self._authorities, *authorities], key=lambda each: each.number)

    def forget(self, numbers: Sequence[int]) -> None:
        """Let go of signing keys that are destroyed."""
        self._signing = [each for each in self._signing if each.number not in numbers]

    def keys_at(self, directory: Directory, at_ms: int, *, turn: int = 0) -> NodeKeys:
        """Return the keys that this node uses under a directory at a time.

        `turn` counts how often the relay did not let the transport CA in: a node that was cut off cannot see in its own
        directory that a newer CA stands by now.
        """
        signing = self._in_use(directory, at_ms)
        candidates = self._candidates(directory)
        authority = candidates[turn % len(candidates)]
        return replace(
            self._first,
            statement=signing.statement,
            envelope=signing.envelope,
            transport_ca=authority.certificate,
            transport_key=authority.key,
        )

    def at_sensors(self, directory: Directory, at_ms: int) -> Sequence[Authority]:
        """Return the CAs that sensors are to pin: the one whose leaf their door shows, then those that will follow it.

        The door changes only after a CA has been among these for the overlap, so that every sensor that asks in this
        time knows it before it meets it; at once when the one before has fallen, because its key may be in other hands.
        """
        standing = self._standing(directory)
        shown = [
            each
            for each in self._authorities
            if ca_key_hash(each.certificate) in standing and at_ms < validity(each.certificate)[1]
        ] or self._authorities[:1]
        door = [each for each in shown[1:] if follows_ms(each) <= at_ms][-1:] or shown[:1]
        return [*door, *(each for each in self._authorities if each.number > door[0].number)]

    def _standing(self, directory: Directory) -> set[bytes]:
        return {ca_key_hash(ca) for ca, party in directory.transport_cas().items() if party == self._me}

    def _in_use(self, directory: Directory, at_ms: int) -> SigningKeys:
        """Return the newest that stand; else the newest that ever stood, which is refused in words that say why."""
        newest_first = self._signing[::-1]
        known = (each for each in newest_first if directory.key_record(each.statement.public.key_id) is not None)
        return next(
            (each for each in newest_first if self._stands(each, directory, at_ms)), next(known, self._signing[0])
        )

    def _stands(self, keys: SigningKeys, directory: Directory, at_ms: int) -> bool:
        statement, envelope = keys.statement.public.key_id, keys.envelope.public.key_id
        size, me = directory.size, self._me
        return (
            directory.statement_key(me, statement, at_size=size, at_ms=at_ms) is not None
            and directory.envelope_key(me, envelope, at_size=size, at_ms=at_ms) is not None
        )

    def _candidates(self, directory: Directory) -> list[Authority]:
        """Return the newest CA that the directory shows, or the first one; then newer ones that it may not show yet."""
        standing = self._standing(directory)
        shown = [each for each in self._authorities if ca_key_hash(each.certificate) in standing]
        best = shown[-1] if shown else self._authorities[0]
        return [best, *(each for each in self._authorities if each.number > best.number)]


class KeysInUse:
    """The keys in use now, found once for each directory and minute. For one event loop."""

    def __init__(self, keyring: Keyring, directory: Callable[[], Directory], clock: Callable[[], int]) -> None:
        """Ask `directory` and `clock` at each call."""
        self._keyring = keyring
        self._directory = directory
        self._clock = clock
        self._found: tuple[Directory, int, int, NodeKeys] | None = None
        self._turn = 0

    def __call__(self) -> NodeKeys:
        """Return them."""
        directory, now_ms = self._directory(), self._clock()
        held = len(self._keyring.signing) + len(self._keyring.authorities)
        if self._found is not None and self._found[0] is not directory:
            self._turn = 0
        if self._found is None or self._found[0] is not directory or self._found[1:3] != (now_ms // 60_000, held):
            keys = self._keyring.keys_at(directory, now_ms, turn=self._turn)
            self._found = (directory, now_ms // 60_000, held, keys)
        return self._found[3]

    def not_let_in(self) -> None:
        """Note that the relay did not let this node in: the next attempt is with the next transport CA there is."""
        self._turn += 1
        self._found = None
