"""What is about to end, here and at partners: certificates of node keys, transport CAs, the supply of prekeys.

A notice begins 60 days before the end and grows more urgent at 30 and at 7; with 7 days left it is an alarm, too, and
so is what has ended. A supply of prekeys is 30 days long when it is fresh, so of that only the last 7 days are worth a
notice.
Both ends see it: whoever lets a key run out is told by its own node, and by its partners' people.
A party that goes on under another root is an alarm until a person has compared the new root's fingerprint.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exchange.crypto.x509 import validity
from exchange.directory.fold import Directory
from exchange.directory.state import KeyUse, PartyRecord, Status
from exchange.names import PartyId
from exchange.runtime.logs import get_logger
from nodes import alarms
from nodes.core import Core
from nodes.store.partners import Verified, all_verified

DAY_MS = 24 * 60 * 60 * 1000
NOTICE_DAYS = (60, 30, 7)
URGENT_DAYS = 7

CERTIFICATE = "certificate"
TRANSPORT = "transport CA"
PREKEYS = "prekeys"


@dataclass(frozen=True, slots=True)
class Expiry:
    """Something of a party that ends at a time."""

    party: PartyId
    what: str
    until_ms: int

    def within(self, now_ms: int) -> int | None:
        """Return the shortest notice period that it ends within; 0 once it has ended, None while there is time."""
        left = self.until_ms - now_ms
        if left <= 0:
            return 0
        return min((days for days in NOTICE_DAYS if left <= days * DAY_MS), default=None)

    def words(self, now_ms: int, *, own: bool) -> str:
        """Return it for people."""
        left = (self.until_ms - now_ms) // DAY_MS
        when = "has ended" if left < 0 else "ends today" if left == 0 else f"ends in {left} days"
        whose = "this node's" if own else f"{self.party}'s"
        return f"{whose} {_NAMES[self.what]} {when}: {_DEEDS[self.what, own]}"


_NAMES = {
    CERTIFICATE: "certificate of statement and envelope key",
    TRANSPORT: "transport CA",
    PREKEYS: "supply of prekeys",
}
_DEEDS = {
    (CERTIFICATE, True): "concord key rotate",
    (CERTIFICATE, False): "ask it to rotate its keys; afterwards it can send nothing",
    (TRANSPORT, True): "concord node doctor says whether the relay is reached; a node that is follows it by itself",
    (TRANSPORT, False): "its node has not been with the relay; afterwards it cannot connect",
    (PREKEYS, True): "partners cannot send without them; the node renews them as soon as it reaches the relay",
    (PREKEYS, False): "its node has not been with the relay; afterwards nothing can be sealed for it",
}


def expiries_of(directory: Directory, party: PartyId) -> Iterator[Expiry]:
    """Yield when the newest of each kind ends at a member, as the directory shows it."""
    for key in directory.keys_of(party, KeyUse.STATEMENT)[:1]:
        if key.until_ms:
            yield Expiry(party, CERTIFICATE, key.until_ms)
    for key in directory.keys_of(party, KeyUse.TRANSPORT)[:1]:
        yield Expiry(party, TRANSPORT, validity(key.certificate)[1])
    days = [each.statement.first_day + each.statement.days for each in directory.bundles(party)]
    if days:
        yield Expiry(party, PREKEYS, max(days) * DAY_MS)


def due(expiries: Iterable[Expiry], now_ms: int) -> list[Expiry]:
    """Return what is worth a notice, the most urgent first."""
    found = [(within, each) for each in expiries if (within := each.within(now_ms)) is not None]
    worth = [each for within, each in found if each.what != PREKEYS or within <= URGENT_DAYS]
    return sorted(worth, key=lambda each: each.until_ms)


class Reminders:
    """What is about to end, looked at now and then. For one event loop."""

    def __init__(self, core: Core) -> None:
        """Nothing is known before the first look."""
        self._core = core
        self._told: set[tuple[PartyId, str, int]] = set()
        self._log = get_logger(__name__)

    def now(self) -> list[Expiry]:
        """Return what is worth a notice, of this party and of the admitted others."""
        core, directory = self._core, self._core.trust.now.directory
        parties = [
            each.party for each in directory.parties() if each.status is Status.ADMITTED or each.party == core.me
        ]
        return due((expiry for party in parties for expiry in expiries_of(directory, party)), core.clock())

    def notices(self) -> list[str]:
        """Return the notices for people."""
        core = self._core
        return [each.words(core.clock(), own=each.party == core.me) for each in self.now()]

    def days_left(self, *, own: bool) -> float:
        """Return in how many days the first certificate ends, here or among the others; -1 when none has an end."""
        core, directory = self._core, self._core.trust.now.directory
        ends = [
            expiry.until_ms
            for record in directory.parties()
            if (record.party == core.me) is own and record.status is Status.ADMITTED
            for expiry in expiries_of(directory, record.party)
            if expiry.what == CERTIFICATE
        ]
        return max(0.0, (min(ends) - core.clock()) / DAY_MS) if ends else -1.0

    async def look(self) -> None:
        """Log what has come closer, and keep alarms on what is urgent and on roots that nobody has compared."""
        core, now_ms = self._core, self._core.clock()
        urgent = []
        for each in self.now():
            within = each.within(now_ms) or 0
            words = each.words(now_ms, own=each.party == core.me)
            if (each.party, each.what, within) not in self._told:
                self._told.add((each.party, each.what, within))
                self._log.warning("ending", party=each.party, what=each.what, within_days=within, detail=words)
            if within <= URGENT_DAYS:
                subject = f"{each.party}/{each.what}"
                urgent.append(subject)
                await core.alarms.raise_(alarms.ENDING, subject, words)
        await core.alarms.close_others(alarms.ENDING, urgent)
        await self._look_at_roots()

    async def _look_at_roots(self) -> None:
        core, directory = self._core, self._core.trust.now.directory
        compared = await core.database.read(all_verified)
        subjects = []
        for record in directory.parties():
            words = new_root(directory, record, compared.get(record.party), me=core.me, now_ms=core.clock())
            if words:
                subject = f"{record.party}/{record.root.key_id.hex()[:16]}"
                subjects.append(subject)
                await core.alarms.raise_(alarms.ROOT, subject, words)
        await core.alarms.close_others(alarms.ROOT, subjects)


def new_root(directory: Directory, record: PartyRecord, compared: Verified | None, *, me: PartyId, now_ms: int) -> str:
    """Return what people must know of a root that took over; empty when it is the admitted one, or was compared."""
    root = directory.key_record(record.root.key_id)
    took_over = root is not None and record.admitted_at is not None and root.since_index > record.admitted_at
    if root is None or not took_over:
        return ""
    if compared is not None and compared.root_key_id == root.key_id:
        return ""
    party = record.party
    if root.counts_from_ms > now_ms:
        days = (root.counts_from_ms - now_ms) // DAY_MS
        return (
            f"the council puts a root in the place of {party}'s in {days} days; whoever knows better objects until then"
        )
    if party == me:
        return f"{party} goes on under another root: if its people did not do that, the council must know at once"
    return f"{party} goes on under another root: compare its fingerprint (concord partner verify {party})"
