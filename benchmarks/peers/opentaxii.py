"""OpenTAXII: TAXII 2.1 over HTTP on SQLite, behind gunicorn, with one public collection.

The database is new for each measurement. One fault of 0.9.3 is mended (drivers/opentaxii_served.py).
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.environment import DRIVERS, HOST, Child, Environment, a_driver, a_server, port
from benchmarks.peers.figures import Measured, measured
from benchmarks.peers.jetstream import listens
from exchange.crypto.random import token

NAME = "OpenTAXII"
WORKERS, THREADS = 2, 8
KEPT_S = 75
"""How long an idle connection is kept: nobody has to connect anew."""

PAUSE_S = 0.05
"""Before a recipient that found nothing new asks again."""

CONFIGURATION = """\
domain: "{host}:{port}"
taxii1:
taxii2:
  persistence_api:
    class: opentaxii.persistence.sqldb.Taxii2SQLDatabaseAPI
    parameters: {{db_connection: "sqlite:///{scratch}/data.db", create_tables: yes}}
  title: Benchmark
  public_discovery: true
  max_content_length: 209715200
auth_api:
  class: opentaxii.auth.sqldb.SQLDatabaseAPI
  parameters: {{db_connection: "sqlite:///{scratch}/auth.db", create_tables: yes, secret: "{secret}"}}
logging: {{opentaxii: error, root: error}}
"""


@dataclass(frozen=True, slots=True)
class OpenTaxii:
    """How it is run."""

    environment: Environment
    port: int = 0
    """0: a free one."""
    pause_s: float = PAUSE_S

    def deliver(self, *, reports: int, size: int, recipients: int, batch: int) -> Measured:
        """Post reports, so many at a time, and return when all recipients have polled them."""
        with self._running() as (server, scratch, url), ExitStack() as stack:
            receive = self.environment.driver("opentaxii_driver.py", "receive", url, reports, self.pause_s)
            receivers = [
                stack.enter_context(a_driver(f"opentaxii-recipient{number}", receive, scratch))
                for number in range(recipients)
            ]
            for receiver in receivers:
                receiver.wait_until_ready()
            send = self.environment.driver("opentaxii_driver.py", "send", url, reports, size, batch)
            used = server.cpu_s()
            with a_driver("opentaxii-sender", send, scratch) as sender:
                sent, received = sender.line(), [each.line() for each in receivers]
            return measured(sent, received, expected=reports * recipients, server_s=server.cpu_s() - used)

    @contextmanager
    def _running(self) -> Iterator[tuple[Child, Path, str]]:
        """A server with one collection; yields it, where it has its files, and the collection's address."""
        number = port(self.port, "--opentaxii-port")
        with tempfile.TemporaryDirectory(prefix="bench-opentaxii-") as made:
            scratch = Path(made)
            configuration = scratch / "opentaxii.yaml"
            configuration.write_text(CONFIGURATION.format(host=HOST, port=number, scratch=scratch, secret=token()))
            settings = {"OPENTAXII_CONFIG": str(configuration)}
            root = self._a_collection(scratch, settings)
            with a_server("opentaxii", self._serve(number), scratch, settings) as server:
                server.wait_until(lambda: listens(number))
                yield server, scratch, f"http://{HOST}:{number}/taxii2/{root}/collections/reports/objects/"

    def _a_collection(self, scratch: Path, settings: Mapping[str, str]) -> str:
        """Make an API root and a collection in the new database; return the root's id."""
        command = self.environment.driver("opentaxii_setup.py")
        with a_driver("opentaxii-setup", command, scratch, settings) as setup:
            return setup.line()

    def _serve(self, number: int) -> list[str]:
        options = ("--workers", WORKERS, "--worker-class", "gthread", "--threads", THREADS, "--keep-alive", KEPT_S)
        where = ("--bind", f"{HOST}:{number}", "--pythonpath", DRIVERS, "--log-level", "error")
        return [self.environment.program("gunicorn"), "opentaxii_served:app", *map(str, (*where, *options))]
