"""Communities as values. A value that exists is valid: creating one checks every field, or raises BadInput.

Numbers are those of protos/exchange/v1/community.proto. The owner is a publisher of its community in every epoch, and
so a member. `since_epoch` counts membership without a break: who left and came back is new.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from exchange.crypto.signed import Signed
from exchange.errors import MalformedInput
from exchange.limits import SLOTS
from exchange.names import HASH_BYTES, ID_BYTES, ExchangeName, PartyId
from exchange.policy import shape
from exchange.policy.model import Category, Label, Vocabulary
from exchange.policy.terms import AgreementStatus

MEMBERS_MOST = SLOTS
PUBLISHERS_MOST = 32
EPOCH_MAX = (1 << 63) - 1
"""What every store can hold."""

PATH_STEPS = 8
"""Of a seat among 256, whatever the number of members."""

SEED_BYTES = 32

_ID_LABEL = b"concord/v1/community-id\x00"
_SHOWN_LABEL = b"concord/v1/community\x00"
_VIA = re.compile(r"([0-9a-f]{32})@([1-9][0-9]{0,18})", re.ASCII)


class Visibility(Vocabulary):
    """Who may know the members, besides the owner and the publishers."""

    OWNER_ONLY = 1
    COUNT_ONLY = 2
    MEMBERS = 3


class History(Vocabulary):
    """What a new member may have of what was written before it came."""

    NONE = 1
    FROM_START = 2
    FROM_DATE = 3


class MemberRole(Vocabulary):
    """What a member may do; a publisher receives as well."""

    MEMBER = 1
    PUBLISHER = 2


@dataclass(frozen=True, slots=True)
class CommunityTerms:
    """What a community is for."""

    name: str
    agreement_id: bytes
    """Whatever goes by way of the community cites an agreement with this id."""
    visibility: Visibility = Visibility.OWNER_ONLY
    categories: tuple[Category, ...] = ()
    """Empty means any that the agreement allows."""
    about_any: bool = True
    about: tuple[str, ...] = ()
    valid_until_ms: int = 0
    """0 means no end."""
    history: History = History.NONE
    history_from_ms: int = 0

    def __post_init__(self) -> None:
        """Check every field."""
        shape.word(self.name, "community: name")
        shape.octets(self.agreement_id, ID_BYTES, "community: agreement_id")
        shape.as_set(self.categories, "community: categories")
        shape.as_set(shape.each(shape.place, self.about, "community: about"), "community: about")
        shape.instant(self.valid_until_ms, "community: valid_until_ms")
        shape.instant(self.history_from_ms, "community: history_from_ms")
        if self.about_any == bool(self.about):
            raise MalformedInput("community: about is any, or a list of places")
        if (self.history is History.FROM_DATE) != bool(self.history_from_ms):
            raise MalformedInput("community: history_from_ms is set exactly with FROM_DATE")

    def covers(self, label: Label) -> bool:
        """Say whether a report with this label may go by way of the community."""
        categories = not self.categories or set(label.categories) <= set(self.categories)
        places = self.about_any or (bool(label.about) and set(label.about) <= set(self.about))
        return categories and places


@dataclass(frozen=True, slots=True)
class CommunityHead:
    """One epoch of a community, as its owner signs it."""

    exchange: ExchangeName
    origin: bytes
    owner: PartyId
    epoch: int
    previous_sha256: bytes
    """SHA-256 of the head before; empty in the first."""
    terms: CommunityTerms
    publishers: tuple[PartyId, ...]
    """Ascending; the owner is one of them."""
    members_root: bytes
    members: int
    """How many; 0 when nobody else may know."""
    at_ms: int
    salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check every field."""
        shape.octets(self.origin, ID_BYTES, "community: origin")
        shape.number(self.epoch, "community: epoch", least=1, most=EPOCH_MAX)
        if self.epoch > 1 or self.previous_sha256:
            shape.octets(self.previous_sha256, HASH_BYTES if self.epoch > 1 else 0, "community: previous_sha256")
        shape.as_list(self.publishers, "community: publishers", least=1, most=PUBLISHERS_MOST)
        shape.as_set(shape.each(shape.party, self.publishers, "community: publisher"), "community: publishers")
        if self.owner not in self.publishers:
            raise MalformedInput("community: the owner is one of the publishers")
        shape.octets(self.members_root, HASH_BYTES, "community: members_root")
        hidden = self.terms.visibility is Visibility.OWNER_ONLY
        shape.number(self.members, "community: members", least=0 if hidden else 1, most=0 if hidden else MEMBERS_MOST)
        shape.number(self.at_ms, "community: at_ms", least=1, most=shape.MS_MAX)
        shape.octets(self.salt, ID_BYTES, "community: salt")

    @property
    def community_id(self) -> bytes:
        """What names the community."""
        return community_id(self.origin, self.owner)


@dataclass(frozen=True, slots=True)
class CommunityMember:
    """One member, as its leaf of the roster says."""

    party: PartyId
    role: MemberRole
    since_epoch: int
    salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check every field."""
        shape.party(self.party, "member: party")
        shape.number(self.since_epoch, "member: since_epoch", least=1, most=EPOCH_MAX)
        shape.octets(self.salt, ID_BYTES, "member: salt")


@dataclass(frozen=True, slots=True)
class Seat:
    """A member at its place of 256; `data` are the CommunityMember bytes that are hashed."""

    index: int
    data: bytes = field(repr=False)
    member: CommunityMember

    def __post_init__(self) -> None:
        """Check the place."""
        shape.number(self.index, "seat: index", most=SLOTS - 1)


@dataclass(frozen=True, slots=True)
class Roster:
    """All members, by ascending place, and the seed that fills the others."""

    seed: bytes = field(repr=False)
    seats: tuple[Seat, ...]

    def __post_init__(self) -> None:
        """Check that no place and no partner stands there twice."""
        shape.octets(self.seed, SEED_BYTES, "roster: seed")
        shape.as_list(self.seats, "roster: seats", least=1, most=MEMBERS_MOST)
        shape.as_set(self.seats, "roster: seats", key=lambda seat: seat.index)
        if len(self.by_party) != len(self.seats):
            raise MalformedInput("roster: a partner has two seats")

    @property
    def by_party(self) -> dict[PartyId, CommunityMember]:
        """Every member by its id."""
        return {seat.member.party: seat.member for seat in self.seats}


@dataclass(frozen=True, slots=True)
class CommunityMembership:
    """What a member gets. Nothing of it is verified; verify.py does that."""

    head: Signed
    seat: Seat
    path: tuple[bytes, ...] = field(repr=False)
    roster: Roster | None
    """Present exactly when members know each other or the recipient is a publisher."""

    def __post_init__(self) -> None:
        """Check the path's form: one of another length would tell something."""
        shape.as_list(self.path, "membership: path", least=PATH_STEPS, most=PATH_STEPS)
        for step in self.path:
            shape.octets(step, HASH_BYTES, "membership: a step of the path")


@dataclass(frozen=True, slots=True)
class CommunityNotice:
    """What the relay gets of an epoch, or of the end of a community (then without a commitment)."""

    exchange: ExchangeName
    origin: bytes
    owner: PartyId
    epoch: int
    commitment: bytes
    at_ms: int
    salt: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check every field."""
        shape.octets(self.origin, ID_BYTES, "notice: origin")
        shape.party(self.owner, "notice: owner")
        shape.number(self.epoch, "notice: epoch", least=1, most=EPOCH_MAX)
        if self.commitment:
            shape.octets(self.commitment, HASH_BYTES, "notice: commitment")
        shape.number(self.at_ms, "notice: at_ms", least=1, most=shape.MS_MAX)
        shape.octets(self.salt, ID_BYTES, "notice: salt")

    @property
    def community_id(self) -> bytes:
        """What names the community."""
        return community_id(self.origin, self.owner)


# -- what the decision knows -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HeldEpoch:
    """A verified epoch as a member holds it; decide() judges nothing else."""

    head: CommunityHead
    head_sha256: bytes
    shown: bytes
    """What the directory shows of it."""
    members: Mapping[PartyId, CommunityMember]
    """All of them, or only this node's own party."""
    whole: bool


@dataclass(frozen=True, slots=True)
class EpochInForce:
    """An epoch with its status in the directory; None while the directory does not show it. The relay holds no head."""

    epoch: int
    status: AgreementStatus | None
    owner: PartyId
    held: HeldEpoch | None = None


def community_id(origin: bytes, owner: PartyId) -> bytes:
    """Return the id of the community that `owner` made from these 16 random bytes; nobody else can own it."""
    return sha256(_ID_LABEL + origin + owner.encode()).digest()[:ID_BYTES]


def head_commitment(head_bytes: bytes, salt: bytes) -> bytes:
    """Return SHA-256(salt || CommunityHead bytes), `salt` being CommunityHead.salt."""
    return sha256(salt + head_bytes).digest()


def shown_commitment(community: bytes, epoch: int, commitment: bytes) -> bytes:
    """Return what the directory shows of an epoch.

    The relay derives it from a notice. It can therefore equal nothing that stands there already: an owner who could
    choose it freely would end agreements and communities of others with its next epoch.
    """
    return sha256(_SHOWN_LABEL + community + epoch.to_bytes(8, "big") + commitment).digest()


def via_text(community: bytes, epoch: int) -> str:
    """Return what a slot says of the epoch by way of which it goes."""
    return f"{community.hex()}@{epoch}"


def parse_via(via: str) -> tuple[bytes, int] | None:
    """Return the community's id and the epoch; None for what does not name one."""
    matched = _VIA.fullmatch(via)
    if matched is None or int(matched[2]) > EPOCH_MAX:
        return None
    return bytes.fromhex(matched[1]), int(matched[2])
