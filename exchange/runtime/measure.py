"""What relay and node measure alike: their store's commits, what waits for it, and the disk that it lies on."""

import shutil
from pathlib import Path

from exchange.errors import Unavailable
from exchange.runtime.database import Database
from exchange.runtime.health import Health
from exchange.runtime.metrics import Metrics


def measure_database(metrics: Metrics, part: str, database: Database, health: Health) -> None:
    """Show commits of `database`, what waits for them and whether it answers; `part` begins the names."""
    writes = metrics.sizes(f"{part}_commit_writes", "Writes that one commit made durable.")
    seconds = metrics.seconds(f"{part}_commit", "From a group's first write until its commit returned.")

    def observe(count: int, took_s: float) -> None:
        writes.observe(count)
        seconds.observe(took_s)

    database.observe(observe)
    metrics.gauge(f"{part}_writes_waiting", "Writes that wait for the store.").set_function(
        lambda: float(database.waiting)
    )
    metrics.gauge(f"{part}_database_up", "1 while the store answers.").set_function(lambda: float(health.serving))


def measure_disk(metrics: Metrics, part: str, folder: Path) -> None:
    """Show how much room there is where `folder` lies."""

    def measure() -> dict[tuple[str, ...], tuple[float, float]]:
        try:
            disk = shutil.disk_usage(folder)
        except OSError as error:
            raise Unavailable(f"{folder} cannot be measured") from error
        return {(): (disk.free, disk.total)}

    names = {
        f"{part}_disk_free_bytes": "Free bytes where the home lies.",
        f"{part}_disk_bytes": "All bytes where the home lies.",
    }
    metrics.gauges_together(names, (), measure)
