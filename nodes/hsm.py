"""Ed25519 keys in a device that signs and never shows them, spoken to by PKCS#11 (crypto.md 3.5).

Only the Ed25519 half of a key lies in the device: few of them know ML-DSA, and none can unwrap HPKE. Both halves of a
composite signature must hold, so a stolen disk, or a stolen device, signs nothing alone.
The device is asked again after it was away: `sign` then fails with Unavailable, and what wanted a signature waits.
The package python-pkcs11 is an extra (`pip install concord-exchange[hsm]`); it is loaded when a device is named.
"""

import importlib
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from exchange.crypto.keys import KeyAlgorithm, PublicKey, admit_public_key
from exchange.crypto.random import random_bytes
from exchange.crypto.signing import SignEd25519
from exchange.errors import ConfigurationError, Unavailable

KEY_ID_BYTES = 16

T = TypeVar("T")

_CURVE = bytes.fromhex("130c") + b"edwards25519"
"""CKA_EC_PARAMS of PKCS#11 3.0: the curve's name as a PrintableString. Tokens know it by that, or by its OID."""
_CURVE_OID = bytes.fromhex("06032b6570")
_POINT = bytes.fromhex("0420")
"""Opens the OCTET STRING in which a token gives the 32 bytes of a public key; some give the bytes alone."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the device is, and what opens it; kept in the node's keystore."""

    module: str
    """Path of the PKCS#11 module."""
    token: str
    """Label of the token."""
    pin: str = field(repr=False)

    def open(self) -> "Device":
        """Open the device; raises as Device."""
        return Device(Path(self.module), self.token, self.pin)


class Device:
    """A token with an open session. For any thread: a session does one thing at a time."""

    def __init__(self, module: Path, token: str, pin: str) -> None:
        """Open the token of this label behind a PKCS#11 module.

        Raises:
            ConfigurationError: no such module or token, or another PIN: a token locks itself after some wrong ones.
        """
        self._pkcs11 = _library()
        self._token, self._pin = token, pin
        self._lock = threading.Lock()
        try:
            self._module = self._pkcs11.lib(str(module))
        except Exception as error:
            raise ConfigurationError(f"{module} is no PKCS#11 module: {error}", hint="check the path") from error
        self._session = self._open()

    def make_key(self, label: str) -> PublicKey:
        """Make a key that never leaves the device and return its public half; the label is what its own tools show."""
        key_id = random_bytes(KEY_ID_BYTES)
        try:
            point = self._ask(lambda: bytes(self._generate(label, key_id)[self._pkcs11.Attribute.EC_POINT]))
        except self._pkcs11.exceptions.PKCS11Error as error:
            raise ConfigurationError(
                f"the device makes no Ed25519 key: {type(error).__name__}", hint="it must know EdDSA (PKCS#11 3.0)"
            ) from error
        return admit_public_key(KeyAlgorithm.ED25519, point.removeprefix(_POINT)[-32:])

    def signer(self, public: PublicKey) -> SignEd25519:
        """Return what signs with the key of this public half; ConfigurationError when the device does not have it."""
        try:
            self._ask(lambda: self._private(public))
        except self._pkcs11.exceptions.PKCS11Error as error:
            raise ConfigurationError(
                f"the device {self._token} does not hold the key {public.key_id.hex()[:16]}",
                hint="is it the one that made the key?",
            ) from error
        return lambda message: self._sign(public, message)

    def _sign(self, public: PublicKey, message: bytes) -> bytes:
        try:
            return self._ask(lambda: self._sign_once(public, message))
        except (self._pkcs11.exceptions.PKCS11Error, ConfigurationError) as error:
            raise Unavailable(
                f"the device {self._token} does not sign: {type(error).__name__}", hint="check that it is connected"
            ) from error

    def _ask(self, work: Callable[[], T]) -> T:
        """Do something in the session, or in a new one: a device that was taken out and put in again wants one."""
        with self._lock:
            try:
                return work()
            except self._pkcs11.exceptions.PKCS11Error:
                with suppress(self._pkcs11.exceptions.PKCS11Error):
                    self._session.close()
            self._session = self._open()
            return work()

    def _sign_once(self, public: PublicKey, message: bytes) -> bytes:
        return bytes(self._private(public).sign(message, mechanism=self._pkcs11.Mechanism.EDDSA))

    def _private(self, public: PublicKey) -> Any:  # Any: the package has no types of its own objects
        """Return the private key; it has the id of the public object that shows this point."""
        attribute, kind = self._pkcs11.Attribute, self._pkcs11.ObjectClass
        for point in (_POINT + public.raw, public.raw):
            wanted = {attribute.CLASS: kind.PUBLIC_KEY, attribute.EC_POINT: point}
            for found in list(self._session.get_objects(wanted)):
                return self._session.get_key(object_class=kind.PRIVATE_KEY, id=found[attribute.ID])
        raise self._pkcs11.exceptions.NoSuchKey

    def _generate(self, label: str, key_id: bytes) -> Any:  # Any: as above
        attribute, failed = self._pkcs11.Attribute, None
        for curve in (_CURVE, _CURVE_OID):
            parameters = self._session.create_domain_parameters(
                self._pkcs11.KeyType.EC_EDWARDS, {attribute.EC_PARAMS: curve}, local=True
            )
            try:
                public, _ = parameters.generate_keypair(
                    mechanism=self._pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
                    store=True,
                    label=label,
                    id=key_id,
                    private_template={attribute.EXTRACTABLE: False, attribute.SENSITIVE: True},
                )
            except self._pkcs11.exceptions.PKCS11Error as error:
                failed = error
            else:
                return public
        raise failed or self._pkcs11.exceptions.PKCS11Error

    def _open(self) -> Any:  # Any: as above
        errors = self._pkcs11.exceptions
        try:
            return self._logged_in()
        except errors.NoSuchToken as error:
            raise ConfigurationError(f"no device has the label {self._token!r}", hint="is it connected?") from error
        except (errors.PinIncorrect, errors.PinInvalid, errors.PinLenRange, errors.PinLocked) as error:
            raise ConfigurationError(
                f"the device {self._token} does not take the PIN: {type(error).__name__}",
                hint="a device locks itself after some wrong ones",
            ) from error
        except errors.PKCS11Error as error:
            raise ConfigurationError(f"the device {self._token} cannot be opened: {type(error).__name__}") from error

    def _logged_in(self) -> Any:  # Any: as above
        token = self._module.get_token(token_label=self._token)
        try:
            return token.open(user_pin=self._pin, rw=True)
        except self._pkcs11.exceptions.UserAlreadyLoggedIn:
            # By another session of this process: the login is that of all of them.
            return token.open(rw=True)


def _library() -> ModuleType:
    try:
        return importlib.import_module("pkcs11")
    except ImportError as error:
        raise ConfigurationError(
            "keys in a device need the package python-pkcs11", hint="pip install 'concord-exchange[hsm]'"
        ) from error
