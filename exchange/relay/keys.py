"""Which of its keys the relay signs with: what its own directory says, entry by entry, so nothing has to be restarted.

The relay may hold keys that the council has not named yet, and keeps those that were followed while their CA still
serves. A statement that names keys which it does not hold is refused before it is logged: it could not go on after it.
Specification: docs/spec/directory.md, "Keys of the relay".
"""

import asyncio
from collections.abc import Callable, Sequence

from exchange.crypto.keys import PublicKey
from exchange.crypto.logkeys import LogKeys, LogPublicKeys
from exchange.crypto.signing import Ed25519Key
from exchange.directory.statements import RelayKeys
from exchange.errors import ConfigurationError, NotAllowed
from exchange.relay.directory import LiveDirectory
from exchange.relay.home import CertificateAuthority, KeySet, RelayHome, RelaySecrets
from exchange.relay.sequencer import Log


class RelayKeyring:
    """The keys that the relay holds. For one event loop; what it returns is for any thread."""

    def __init__(self, secrets: RelaySecrets, directory: LiveDirectory, clock: Callable[[], int]) -> None:
        """Choose by `directory`, which need not be loaded yet."""
        self._secrets = secrets
        self._directory = directory
        self._clock = clock

    def replace(self, secrets: RelaySecrets) -> None:
        """Go on with these.

        Raises:
            ConfigurationError: the keys in force, or those whose CA serves, are not among them.
        """
        before, self._secrets = self._secrets, secrets
        try:
            self.check()
        except ConfigurationError:
            self._secrets = before
            raise

    def check(self) -> None:
        """Return when every key is held that is needed now; ConfigurationError otherwise."""
        self._promise(self._directory.now.directory.relay_keys)
        self._log(self._directory.now.directory.relay_keys)
        self.transport()

    def check_held(self, keys: RelayKeys) -> None:
        """Return when the relay could go on with these keys, as a whole; NotAllowed otherwise."""
        self._need(keys.promise in {each.promise.public for each in self._secrets.sets})
        self._need(keys.log in {each.log.public for each in self._secrets.sets})
        self._need(keys.transport_ca in {each.transport.certificate for each in self._secrets.sets})

    def needed(self) -> tuple[bool, ...]:
        """Say of each set that is held whether something of it is in force, or its CA still serves."""
        directory = self._directory.now.directory
        now, cas = directory.relay_keys, directory.relay_cas(at_ms=self._clock())
        return tuple(
            each.promise.public == now.promise or each.log.public == now.log or each.transport.certificate in cas
            for each in self._secrets.sets
        )

    def standings(self) -> tuple[tuple[KeySet, str], ...]:
        """Return each set that is held, with whether it is in force, followed, or to follow."""
        now = self._directory.now.directory.relay_keys
        ever = {each.keys.promise for each in self._directory.now.directory.relay_key_history}
        return tuple((each, _standing(each.promise.public, now.promise, ever)) for each in self._secrets.sets)

    def promise_at(self, size: int) -> Ed25519Key:
        """Return the promise key in force as of a directory size, at most the newest."""
        return self._promise(self._keys_at(size))

    async def log_keys(self, log: Log, size: int) -> LogKeys:
        """Return the keys that sign a checkpoint of `size` entries now: the directory's by that size itself."""
        # Another process on this database may have logged the entry that changes them.
        if log is Log.TRAFFIC or size > self._directory.now.size:
            await self._directory.catch_up()
        now = self._directory.now.size
        return self._log(self._keys_at(size if log is Log.DIRECTORY else now))

    def still_sign(self, keys: LogPublicKeys, directory_size: int) -> bool:
        """Say whether these sign the traffic log under a directory of so many entries; False when it is not known."""
        found = self._directory.now.directory.relay_keys_at(directory_size)
        return found is not None and found.keys.log == keys

    def log_keys_ever(self) -> Sequence[LogPublicKeys]:
        """Return all with which a checkpoint in the store, or one that was handed out, may be signed."""
        named = [each.keys.log for each in self._directory.now.directory.relay_key_history]
        return [*(each.log.public for each in self._secrets.sets), *named]

    def transport(self) -> CertificateAuthority:
        """Return the CA by which the relay answers its partners now."""
        serving = self._directory.now.directory.relay_cas(at_ms=self._clock())[0]
        for each in self._secrets.sets:
            if each.transport.certificate == serving:
                return each.transport
        raise _missing("transport CA")

    def _keys_at(self, size: int) -> RelayKeys:
        found = self._directory.now.directory.relay_keys_at(size)
        if found is None:
            raise ConfigurationError(f"the directory has fewer than {size} entries")
        return found.keys

    def _promise(self, keys: RelayKeys) -> Ed25519Key:
        for each in self._secrets.sets:
            if each.promise.public == keys.promise:
                return each.promise
        raise _missing("promise key")

    def _log(self, keys: RelayKeys) -> LogKeys:
        for each in self._secrets.sets:
            if each.log.public == keys.log:
                return each.log
        raise _missing("log's keys")

    @staticmethod
    def _need(held: bool) -> None:  # noqa: FBT001 - reads as a sentence
        if not held:
            raise NotAllowed(
                "the statement names keys that this relay does not hold", hint="concord relay rotate, at the relay"
            )


class Keystore:
    """The keystore of a running relay, read again when keys were made."""

    def __init__(self, home: RelayHome, keys: RelayKeyring) -> None:
        """Read it from `home` into `keys`."""
        self._home = home
        self.keys = keys

    async def reload(self, passphrase: bytes) -> tuple[bool, ...]:
        """Take up what it holds now; return which of its sets are needed.

        Raises:
            WrongPassphrase: the passphrase does not open it.
            ConfigurationError: it cannot be read, or lacks keys that are in use.
        """
        # A guess at the passphrase takes a second and much memory.
        self.keys.replace(await asyncio.to_thread(RelaySecrets.load, self._home.keys, passphrase))
        return self.keys.needed()


def _standing(key: PublicKey, now: PublicKey, ever: set[PublicKey]) -> str:
    if key == now:
        return "in-force"
    return "followed" if key in ever else "to-follow"


def _missing(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"the directory names another relay's keys: {what}",
        hint="sign this home's genesis.unsigned, or restore relay.keys",
    )
