"""Sensors in the store. Functions on an open transaction; `scope` is bytes that nodes/sensors.py understands."""

from dataclasses import dataclass, field

import sqlalchemy as sa

from nodes.store.tables import sensor


@dataclass(frozen=True, slots=True)
class SensorRow:
    """One sensor as stored."""

    name: str
    token_digest: bytes = field(repr=False)
    scope: bytes
    until_ms: int
    added_ms: int
    revoked_ms: int
    pushed: int
    refused: int
    last_ms: int
    ca_ms: int
    """When it was last given the CAs that it is to pin."""


def put_sensor(connection: sa.Connection, row: SensorRow) -> None:
    """Add a sensor, in place of a revoked or expired one of the same name."""
    connection.execute(sa.delete(sensor).where(sensor.c.name == row.name))
    connection.execute(
        sa.insert(sensor).values(
            name=row.name,
            token_digest=row.token_digest,
            scope=row.scope,
            until_ms=row.until_ms,
            added_ms=row.added_ms,
            revoked_ms=row.revoked_ms,
            pushed=row.pushed,
            refused=row.refused,
            last_ms=row.last_ms,
            ca_ms=row.ca_ms,
        )
    )


def sensor_by_name(connection: sa.Connection, name: str) -> SensorRow | None:
    """Return the sensor of this name."""
    return _one(connection, sensor.c.name == name)


def sensor_by_digest(connection: sa.Connection, digest: bytes) -> SensorRow | None:
    """Return the sensor whose token has this digest."""
    return _one(connection, sensor.c.token_digest == digest)


def all_sensors(connection: sa.Connection) -> list[SensorRow]:
    """Return every sensor by name, revoked ones too."""
    rows = connection.execute(sa.select(sensor).order_by(sensor.c.name))
    return [SensorRow(**row._mapping) for row in rows]  # noqa: SLF001 - the documented way


def revoke_sensor(connection: sa.Connection, name: str, now_ms: int) -> bool:
    """Revoke it, once; say whether there is one of this name."""
    found = sensor_by_name(connection, name)
    if found is not None and not found.revoked_ms:
        connection.execute(sa.update(sensor).where(sensor.c.name == name).values(revoked_ms=now_ms))
    return found is not None


def count_push(connection: sa.Connection, name: str, *, accepted: bool, now_ms: int) -> None:
    """Count one push."""
    column = sensor.c.pushed if accepted else sensor.c.refused
    connection.execute(
        sa.update(sensor).where(sensor.c.name == name).values({column.name: column + 1, "last_ms": now_ms})
    )


def set_ca_ms(connection: sa.Connection, name: str, now_ms: int) -> None:
    """Note when it was given the CAs that it is to pin."""
    connection.execute(sa.update(sensor).where(sensor.c.name == name).values(ca_ms=now_ms))


def _one(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> SensorRow | None:
    row = connection.execute(sa.select(sensor).where(condition)).first()
    return None if row is None else SensorRow(**row._mapping)  # noqa: SLF001
