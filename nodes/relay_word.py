"""Open what the relay signed, by the keys that it had where that was made. Pure.

A promise, a refusal and a checkpoint of the directory name the directory size that they were made under, and are judged
by the keys in force as of it. A checkpoint of the traffic log names none: one that the relay hands out now is signed by
the keys in force as of the directory that this node had when it asked, or by later ones; one that was taken in before,
or comes from others, by any that were ever in force, and what it says is compared with what others were shown.
A sender may hold a promise under a directory that it has not replayed so far: it goes by the newest keys that it knows,
and its audit judges the promise again. Keys never come back, so what an ended key signed is refused at once.
Specification: docs/spec/directory.md, "Keys of the relay".
"""

from collections.abc import Iterable

from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed, VerifiedRoots
from exchange.directory.fold import Directory
from exchange.directory.statements import RelayKeys
from exchange.errors import BadProof, BadSignature, Unavailable, VerificationFailed
from exchange.receipts.codec import decode_promise, decode_refusal
from exchange.receipts.model import Promise, Refusal
from exchange.receipts.verify import open_promise, open_refusal
from exchange.tlog.checkpoint import Checkpoint, directory_origin, read_checkpoint, traffic_origin
from exchange.tlog.note import read_note
from exchange.tlog.signing import open_checkpoint
from nodes.relay_port import Log


class EndedKey(BadSignature):
    """A key of the relay signed what names a directory under which it was not in force."""

    def __init__(self, signed: Signed, size: int) -> None:
        """`signed` holds under that key; it names the directory of `size` entries."""
        super().__init__(f"signed with a key that the relay does not have as of directory size {size}")
        self.signed = signed


class NotReplayed(Unavailable):
    """The relay signed with a key that is not known here, under a directory that is not replayed yet."""

    def __init__(self, size: int, known: int) -> None:
        """`size` is what it names, `known` what this directory has."""
        super().__init__(f"the relay signed under directory size {size}; {known} entries are known here")
        self.size = size


class EndedLogKeys(BadProof):
    """Keys of the relay signed a checkpoint of the directory in which they were not in force."""


class UnknownKeys(BadProof):
    """None of the keys that may sign here has signed; newer ones, which are not known here yet, may have."""


# -- promises and refusals


def opened_promise(signed: Signed, directory: Directory, exchange: str, seen: VerifiedRoots | None = None) -> Promise:
    """Return the promise that the relay signed with the key in force as of the directory size that it names.

    Raises:
        EndedKey: another key of the relay's signed it.
        NotReplayed: the key is not known here, and the directory that the promise names is not replayed yet.
        VerificationFailed, BadInput: it does not hold.
    """
    key = _promise_key(signed, directory)
    if key is None:
        raise _unknown(decode_promise(signed.payload).directory_size, directory)
    promise = open_promise(signed, key, exchange, seen)
    _check_in_force(signed, key, promise.directory_size, directory)
    return promise


def opened_refusal(signed: Signed, directory: Directory, exchange: str, seen: VerifiedRoots | None = None) -> Refusal:
    """Return the refusal that the relay signed with the key in force as of the size that it names; as above."""
    key = _promise_key(signed, directory)
    if key is None:
        raise _unknown(decode_refusal(signed.payload).directory_size, directory)
    refusal = open_refusal(signed, key, exchange, seen)
    _check_in_force(signed, key, refusal.directory_size, directory)
    return refusal


def _promise_key(signed: Signed, directory: Directory) -> PublicKey | None:
    """Return the key of the relay's, of any time, that claims to have signed."""
    claimed = {signature.key_id for signature in signed.signatures}
    keys = (each.keys.promise for each in directory.relay_key_history)
    return next((key for key in keys if key.key_id in claimed), None)


def _check_in_force(signed: Signed, key: PublicKey, size: int, directory: Directory) -> None:
    found = directory.relay_keys_at(min(size, directory.size))
    if found is None or found.keys.promise != key:
        raise EndedKey(signed, size)


def _unknown(size: int, directory: Directory) -> NotReplayed | BadSignature:
    if size > directory.size:
        return NotReplayed(size, directory.size)
    return BadSignature("not signed with a key of the relay's")


# -- checkpoints


def stated(note: str, log: Log, exchange: str) -> Checkpoint:
    """Return what a note states, whoever signed it; BadProof when it is no checkpoint of that log."""
    return read_checkpoint(read_note(note)[0], origin_of(log, exchange))


def origin_of(log: Log, exchange: str) -> str:
    """Return the origin of one of the two logs."""
    return directory_origin(exchange) if log is Log.DIRECTORY else traffic_origin(exchange)


def opened_directory(note: str, directory: Directory) -> Checkpoint:
    """Return the checkpoint of the directory log that the keys in force as of its own size signed.

    One of a size that is not replayed is judged by the newest keys that are known.

    Raises:
        EndedLogKeys: other keys of the relay's signed it.
        BadProof: it does not hold.
    """
    checkpoint = stated(note, Log.DIRECTORY, directory.exchange)
    found = directory.relay_keys_at(min(checkpoint.size, directory.size))
    keys = directory.relay_keys if found is None else found.keys
    try:
        return open_checkpoint(note, checkpoint.origin, keys.log)
    except BadProof:
        if _signed_by_any(note, checkpoint.origin, (each.keys for each in directory.relay_key_history)):
            size = checkpoint.size
            raise EndedLogKeys(f"signed with keys that the relay does not have as of its {size} entries") from None
        raise


def opened_ever(note: str, log: Log, directory: Directory) -> Checkpoint:
    """Return a checkpoint that keys of the relay's signed, whenever these were in force; BadProof otherwise."""
    keys = [each.keys for each in directory.relay_key_history]
    return _opened_by(note, origin_of(log, directory.exchange), keys)


def opened_since(note: str, directory: Directory, size: int) -> Checkpoint:
    """Return the checkpoint of the traffic log that keys signed which the relay has as of a directory size or later.

    Raises:
        UnknownKeys: keys signed it that this directory does not show.
        EndedLogKeys: keys that the relay had before signed it.
        BadProof: it does not hold.
    """
    origin = traffic_origin(directory.exchange)
    try:
        return _opened_by(note, origin, _since(directory, size))
    except UnknownKeys:
        if _signed_by_any(note, origin, (each.keys for each in directory.relay_key_history)):
            raise EndedLogKeys("signed with keys that the relay has no more") from None
        raise


def _since(directory: Directory, size: int) -> list[RelayKeys]:
    """Return the keys in force as of some directory size or later."""
    then = directory.relay_keys_at(size)
    first = 0 if then is None else then.index
    return [each.keys for each in directory.relay_key_history if each.index >= first]


def _opened_by(note: str, origin: str, sets: Iterable[RelayKeys]) -> Checkpoint:
    for keys in sets:
        if _claims(note, origin, keys):
            return open_checkpoint(note, origin, keys.log)
    read_checkpoint(read_note(note)[0], origin)
    raise UnknownKeys("the note carries no signature by the log's keys")


def _signed_by_any(note: str, origin: str, sets: Iterable[RelayKeys]) -> bool:
    try:
        _opened_by(note, origin, sets)
    except VerificationFailed:
        return False
    return True


def _claims(note: str, origin: str, keys: RelayKeys) -> bool:
    return any(line.by(origin, keys.log.ed25519) for line in read_note(note)[1])
