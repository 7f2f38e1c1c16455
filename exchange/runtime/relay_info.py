"""Public files that the relay and the partners' roots hand each other: RELAY INFO, RELAY KEYS and PARTY ROOT.

All are armour around strict JSON. Nothing in them is secret and nothing in them is trusted by itself: the genesis
carries its council's signatures, and a root, or the relay's next keys, are compared by fingerprint.
"""

import re
from dataclasses import dataclass

from exchange.crypto.keys import KeyAlgorithm, PublicKey, admit_public_key, fingerprint
from exchange.crypto.logkeys import LogPublicKeys
from exchange.directory.fold import Directory
from exchange.directory.seats import named_keys, with_seats
from exchange.directory.statements import RelayKeys, RelayKeySet
from exchange.errors import BadStatement, MalformedInput
from exchange.names import ExchangeName, PartyId, exchange_name, hash_bytes, party_id
from exchange.runtime.armour import read_armour, write_armour
from exchange.runtime.json_record import decode_record, encode_record, from_base64, from_hex, to_base64

RELAY_INFO = "RELAY INFO"
RELAY_KEYS = "RELAY KEYS"
PARTY_ROOT = "PARTY ROOT"

ADDRESS_LENGTH = 260
ADDRESSES = 16
"""Of one relay."""

_ADDRESS = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")

_INFO_FIELDS: dict[str, type] = dict.fromkeys(
    ("exchange", "address", "join_address", "join_ca_pem", "genesis_hash", "genesis", "seats", "relay_keys"), str
)
_KEYS_FIELDS: dict[str, type] = dict.fromkeys(("exchange", "promise", "log", "log_mldsa", "transport_ca"), str)
_ROOT_FIELDS: dict[str, type] = dict.fromkeys(("party", "root"), str)


@dataclass(frozen=True, slots=True)
class RelayInfo:
    """Where the relay of an exchange is, how its join port is recognised, and how the exchange began."""

    exchange: ExchangeName
    address: str
    """HOST:PORT for members, mutual TLS; several with commas between them when several processes are one relay."""
    join_address: str
    """HOST:PORT of the join port, server-only TLS."""
    join_ca_pem: str
    """The CA that the join port's certificate is issued by."""
    genesis_hash: bytes
    """SHA-256 of the genesis payload."""
    genesis: bytes
    """The first entry of the directory log."""
    seats: tuple[bytes, ...] = ()
    """Entries that show which roots took over seats of the council since (exchange/directory/seats.py)."""
    relay_keys: bytes = b""
    """The entry that named the relay's keys last; empty while those of the genesis hold."""

    def directory(self) -> Directory:
        """Return the directory of the genesis and what changed the council's seats.

        Whoever leaves the newest of them out shows a council of before: what that signs, the whole log refuses.

        Raises:
            BadStatement: genesis, its hash and the name disagree, or an entry on the seats does not hold.
        """
        directory = Directory.found(self.genesis, expected_hash=self.genesis_hash)
        if directory.exchange != self.exchange:
            raise BadStatement(f"the genesis is of {directory.exchange}, not {self.exchange}")
        return with_seats(directory, self.seats)

    def named_keys(self) -> RelayKeySet | None:
        """Return the statement that named the relay's keys last; None while those of the genesis hold.

        Raises:
            BadStatement: it, or what shows the council, does not hold.
        """
        return named_keys(self.relay_keys, self.directory()) if self.relay_keys else None


def info_to_json(info: RelayInfo) -> bytes:
    """Return the bytes that info_from_json accepts."""
    return encode_record(
        {
            "exchange": info.exchange,
            "address": info.address,
            "join_address": info.join_address,
            "join_ca_pem": info.join_ca_pem,
            "genesis_hash": info.genesis_hash.hex(),
            "genesis": to_base64(info.genesis),
            "seats": " ".join(map(to_base64, info.seats)),
            "relay_keys": to_base64(info.relay_keys),
        }
    )


def info_from_json(data: bytes) -> RelayInfo:
    """Return the relay info of these bytes; the genesis is not verified yet.

    Raises:
        MalformedInput, BadName, TooLarge: not one.
    """
    fields = decode_record(data, _INFO_FIELDS, what="the relay info")
    return RelayInfo(
        exchange=exchange_name(fields["exchange"]),
        address=",".join(check_addresses(fields["address"])),
        join_address=check_address(fields["join_address"]),
        join_ca_pem=fields["join_ca_pem"],
        genesis_hash=hash_bytes(from_hex(fields["genesis_hash"], what="the genesis hash"), "the genesis hash"),
        genesis=from_base64(fields["genesis"], what="the genesis"),
        seats=tuple(from_base64(each, what="an entry on the council's seats") for each in fields["seats"].split()),
        relay_keys=from_base64(fields["relay_keys"], what="the entry on the relay's keys"),
    )


def check_address(text: str) -> str:
    """Return `text` when it is HOST:PORT; MalformedInput otherwise."""
    # What is written into configuration files and handed to gRPC must be an address and nothing else.
    if len(text) > ADDRESS_LENGTH or not _ADDRESS.fullmatch(text):
        raise MalformedInput(f"{text[:100]!r} is not HOST:PORT", hint="as in 192.0.2.7:7001")
    return text


def check_addresses(text: str) -> tuple[str, ...]:
    """Return the addresses in `text`, one HOST:PORT or several with commas between them; raises as check_address.

    A blank may follow a comma.
    """
    found = tuple(check_address(each) for each in text.replace(", ", ",").split(",")[: ADDRESSES + 1])
    if len(found) > ADDRESSES:
        raise MalformedInput(f"more than {ADDRESSES} addresses of one relay")
    return found


def write_relay_info(info: RelayInfo) -> str:
    """Return the text of a relay.info file."""
    return write_armour(RELAY_INFO, info_to_json(info))


def read_relay_info(text: str) -> RelayInfo:
    """Return what a relay.info file says; raises as info_from_json."""
    return info_from_json(read_armour(text, {RELAY_INFO})[1])


@dataclass(frozen=True, slots=True)
class RelayKeysFile:
    """Keys that are to follow those of a relay, from `concord relay rotate` to `concord root relay-keys`."""

    exchange: ExchangeName
    keys: RelayKeys


def write_relay_keys(file: RelayKeysFile) -> str:
    """Return the text of such a file."""
    keys = file.keys
    record = {
        "exchange": file.exchange,
        "promise": to_base64(keys.promise.raw),
        "log": to_base64(keys.log.ed25519.raw),
        "log_mldsa": to_base64(keys.log.mldsa.raw),
        "transport_ca": to_base64(keys.transport_ca),
    }
    return write_armour(RELAY_KEYS, encode_record(record))


def read_relay_keys(text: str) -> RelayKeysFile:
    """Return what such a file says; the keys in it are admitted.

    Raises:
        MalformedInput, BadName, TooLarge: not one.
    """
    fields = decode_record(read_armour(text, {RELAY_KEYS})[1], _KEYS_FIELDS, what="the relay's keys")
    raw = {name: from_base64(fields[name], what=name) for name in ("promise", "log", "log_mldsa", "transport_ca")}
    log = LogPublicKeys(
        admit_public_key(KeyAlgorithm.ED25519, raw["log"]), admit_public_key(KeyAlgorithm.MLDSA_44, raw["log_mldsa"])
    )
    keys = RelayKeys(admit_public_key(KeyAlgorithm.ED25519, raw["promise"]), log, raw["transport_ca"])
    return RelayKeysFile(exchange_name(fields["exchange"]), keys)


@dataclass(frozen=True, slots=True)
class RootFile:
    """The public half of a party's root: `concord root init` writes it, `concord relay init --council` reads it."""

    party: PartyId
    root: PublicKey

    @property
    def fingerprint(self) -> str:
        """What people compare."""
        return fingerprint(self.party, self.root.raw)


def write_root_file(root: RootFile) -> str:
    """Return the text of a root.pub file."""
    return write_armour(PARTY_ROOT, encode_record({"party": root.party, "root": to_base64(root.root.raw)}))


def read_root_file(text: str) -> RootFile:
    """Return what a root.pub file says; the key in it is admitted.

    Raises:
        MalformedInput, BadName, TooLarge: not one.
    """
    fields = decode_record(read_armour(text, {PARTY_ROOT})[1], _ROOT_FIELDS, what="the party root")
    raw = from_base64(fields["root"], what="the root")
    return RootFile(party_id(fields["party"]), admit_public_key(KeyAlgorithm.COMPOSITE_65, raw))
