"""Sensors: who may push to this node by machine, and how much.

A sensor proves itself by a bearer token of which the node keeps only a digest. Its scope is a ceiling: categories,
a TLP, reports and files in an hour, recipients of one report: nobody asks a machine whether something unusual was
meant. Whatever lies outside is refused whole. A missing, unknown, expired and revoked token get the same answer.
"""

import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import orjson
import sqlalchemy as sa

from exchange.crypto.random import token, token_digest
from exchange.errors import BadInput, Conflict, NotAuthenticated, NotFound, PolicyDenied, RateLimited
from exchange.limits import MIB, RECIPIENTS
from exchange.names import sensor_name
from exchange.policy.model import Category, Label, Tlp
from exchange.runtime.clock import now_ms
from exchange.runtime.database import Database
from nodes.store.sensors import (
    SensorRow,
    all_sensors,
    count_push,
    put_sensor,
    revoke_sensor,
    sensor_by_digest,
    sensor_by_name,
    set_ca_ms,
)

HOUR_S = 3600.0
PER_HOUR_MAX = 100_000
ATTACH_MIB_MAX = 1_000_000
DAYS_MAX = 90
DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Scope:
    """What a sensor may push."""

    name: str
    categories: tuple[Category, ...]
    ceiling: Tlp
    per_hour: int
    default_label: bytes
    """Label (YAML) of reports that bring none; may be empty."""
    until_ms: int
    recipients_most: int = 0
    """Recipients that a report may reach; 0 means as many as are usual for the node."""
    attach_mib: int = 0
    """MiB of files that it may attach in an hour; 0 means none."""

    @property
    def who(self) -> str:
        """Its name among everybody who pushes."""
        return f"sensor/{self.name}"


@dataclass(frozen=True, slots=True)
class Sensor:
    """A sensor as an operator sees it."""

    scope: Scope
    status: str
    """active, expired or revoked."""
    pushed: int
    refused: int
    last_ms: int
    ca_ms: int
    """When it was last given the CAs that it is to pin."""


class Sensors:
    """The sensors of one node. The rate is counted in memory: a restart of the node begins a new hour."""

    def __init__(self, database: Database) -> None:
        """Use the node's database."""
        self._database = database
        self._spent: dict[str, deque[float]] = {}
        self._attached: dict[str, deque[tuple[float, int]]] = {}

    async def add(self, scope: Scope) -> str:
        """Let a sensor push; return its token, which is kept nowhere.

        Raises:
            BadInput: the scope is empty or over a limit.
            Conflict: an active sensor has this name.
        """
        _check(scope)
        secret = token()
        at_ms = now_ms()
        row = SensorRow(scope.name, token_digest(secret), _encode(scope), scope.until_ms, at_ms, 0, 0, 0, 0, at_ms)
        await self._database.write(lambda connection: _put(connection, row))
        return secret

    async def list(self) -> Sequence[Sensor]:
        """Return every sensor by name."""
        rows = await self._database.read(all_sensors)
        return [Sensor(_decode(row), _status(row), row.pushed, row.refused, row.last_ms, row.ca_ms) for row in rows]

    async def revoke(self, name: str) -> None:
        """Refuse a sensor from now on; raise NotFound when there is none of this name."""
        if not await self._database.write(lambda connection: revoke_sensor(connection, name, now_ms())):
            raise NotFound(f"no sensor {name[:80]!r}", hint="concord sensor list")

    async def admit(self, presented: str) -> Scope:
        """Return the scope of the sensor whose token was presented, or raise NotAuthenticated."""
        digest = token_digest(presented)
        row = await self._database.read(lambda connection: sensor_by_digest(connection, digest))
        if row is None or _status(row) != "active":
            raise NotAuthenticated("no active sensor has this token")
        return _decode(row)

    async def named(self, name: str) -> Scope | None:
        """Return the scope of an active sensor by name; None when there is none."""
        row = await self._database.read(lambda connection: sensor_by_name(connection, name))
        return _decode(row) if row is not None and _status(row) == "active" else None

    async def note_ca(self, scope: Scope) -> None:
        """Note that a sensor was given the CAs that it is to pin from now on."""
        await self._database.write(lambda connection: set_ca_ms(connection, scope.name, now_ms()))

    async def count(self, scope: Scope, *, accepted: bool) -> None:
        """Count one push for the operator."""
        await self._database.write(lambda c: count_push(c, scope.name, accepted=accepted, now_ms=now_ms()))

    def spend(self, scope: Scope) -> None:
        """Take one report of the hour's allowance, or raise RateLimited with the time to wait."""
        spent = self._spent.setdefault(scope.name, deque())
        now = time.monotonic()
        while spent and spent[0] <= now - HOUR_S:
            spent.popleft()
        if len(spent) >= scope.per_hour:
            wait = int(spent[0] + HOUR_S - now) + 1
            raise RateLimited(f"{scope.name} has pushed {scope.per_hour} reports in an hour", hint=f"wait {wait} s")
        spent.append(now)

    def spend_bytes(self, scope: Scope, size: int) -> None:
        """Take a file's size of the hour's allowance.

        Raises:
            PolicyDenied: it may attach nothing, or never so much.
            RateLimited: the rest of the hour's allowance is less; with the time to wait.
        """
        permit_bytes(scope, size)
        spent = self._attached.setdefault(scope.name, deque())
        now = time.monotonic()
        while spent and spent[0][0] <= now - HOUR_S:
            spent.popleft()
        left = scope.attach_mib * MIB - sum(each for _, each in spent)
        if size > left:
            wait = int(spent[0][0] + HOUR_S - now) + 1
            raise RateLimited(f"{scope.name} may attach {left:,} bytes more in this hour", hint=f"wait {wait} s")
        spent.append((now, size))


def permit_bytes(scope: Scope, size: int) -> None:
    """Return when the scope permits to attach so much in an hour; PolicyDenied when it never does."""
    if not scope.attach_mib or size > scope.attach_mib * MIB:
        raise PolicyDenied(
            f"{scope.name} may attach {scope.attach_mib} MiB in an hour, not {size:,} bytes",
            hint="widen the sensor's scope: concord sensor add --attach-mib",
        )


def permit(scope: Scope, label: Label) -> None:
    """Return when the label lies within the scope; raise PolicyDenied naming what does not."""
    outside = sorted(set(label.categories) - set(scope.categories))
    if outside:
        words = ", ".join(category.word for category in outside)
        raise PolicyDenied(f"{scope.name} may not push {words}", hint="push it with another sensor, or widen its scope")
    if label.tlp > scope.ceiling:
        raise PolicyDenied(
            f"{scope.name} may push up to TLP:{scope.ceiling.word.upper()}, not TLP:{label.tlp.word.upper()}",
            hint="push it with another sensor, or raise its ceiling",
        )


def permit_audience(scope: Scope, recipients: Collection[str], usual: int) -> None:
    """Return when no more are reached than the scope permits: nobody can ask a machine whether that was meant."""
    most = scope.recipients_most or usual
    if len(recipients) > most:
        raise PolicyDenied(
            f"{scope.name} may reach {most} recipients, not {len(recipients)}",
            hint="narrow the release, or widen the sensor's scope: concord sensor add --recipients",
        )


def _put(connection: sa.Connection, row: SensorRow) -> None:
    found = sensor_by_name(connection, row.name)
    if found is not None and _status(found) == "active":
        raise Conflict(f"the sensor {row.name} exists", hint=f"concord sensor revoke {row.name}")
    put_sensor(connection, replace(row, pushed=found.pushed, refused=found.refused) if found else row)


def _check(scope: Scope) -> None:
    sensor_name(scope.name)
    if not scope.categories:
        raise BadInput("a sensor needs at least one category", hint="--category cyber_indicator")
    if not 1 <= scope.per_hour <= PER_HOUR_MAX:
        raise BadInput(f"{scope.per_hour} reports an hour", hint=f"1 to {PER_HOUR_MAX:,}")
    if not 0 <= scope.recipients_most <= RECIPIENTS:
        raise BadInput(f"{scope.recipients_most} recipients", hint=f"1 to {RECIPIENTS}, or 0 for as many as are usual")
    if not 0 <= scope.attach_mib <= ATTACH_MIB_MAX:
        raise BadInput(f"{scope.attach_mib} MiB of files an hour", hint=f"0 to {ATTACH_MIB_MAX:,}; 0 for none")
    if not now_ms() < scope.until_ms <= now_ms() + (DAYS_MAX + 1) * DAY_MS:
        raise BadInput("the token's end is not within the next days", hint=f"1 to {DAYS_MAX} days from now")


def _status(row: SensorRow) -> str:
    if row.revoked_ms:
        return "revoked"
    return "active" if now_ms() < row.until_ms else "expired"


def _encode(scope: Scope) -> bytes:
    return orjson.dumps(
        {
            "categories": [category.word for category in scope.categories],
            "ceiling": scope.ceiling.word,
            "per_hour": scope.per_hour,
            "default_label": scope.default_label.decode(),
            "recipients_most": scope.recipients_most,
            "attach_mib": scope.attach_mib,
        }
    )


def _decode(row: SensorRow) -> Scope:
    stored = orjson.loads(row.scope)
    return Scope(
        name=row.name,
        categories=tuple(Category[word.upper()] for word in stored["categories"]),
        ceiling=next(tlp for tlp in Tlp if tlp.word == stored["ceiling"]),
        per_hour=stored["per_hour"],
        default_label=stored["default_label"].encode(),
        until_ms=row.until_ms,
        recipients_most=stored.get("recipients_most", 0),
        attach_mib=stored.get("attach_mib", 0),
    )
