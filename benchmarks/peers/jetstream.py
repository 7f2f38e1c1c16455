"""NATS JetStream: a server for one measurement, file storage, each write flushed before it is acknowledged, mutual TLS.

The certificates are made for the run. The store is new for each measurement.
"""

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.environment import HOST, Child, Environment, a_driver, a_server, port
from benchmarks.peers.figures import Measured, measured
from exchange.crypto import x509
from exchange.runtime.clock import now_ms

NAME = "JetStream"
DRIVER = "jetstream_driver.py"
CONFIGURATION = """\
listen: "{host}:{port}"
jetstream {{
  store_dir: "{scratch}/store"
  sync_interval: always
}}
tls {{
  cert_file: "{scratch}/server.pem"
  key_file: "{scratch}/server.key"
  ca_file: "{scratch}/ca.pem"
  verify: true
}}
"""


@dataclass(frozen=True, slots=True)
class JetStream:
    """How it is run."""

    environment: Environment
    port: int = 0
    """0: a free one."""

    def deliver(self, *, reports: int, size: int, recipients: int, rate: float = 0.0) -> Measured:
        """Hand reports to all recipients, all at once or so many a second, and return when the last has the last."""
        with self._running() as (server, scratch, url):
            receive = self.environment.driver(DRIVER, "receive", url, scratch, recipients, reports)
            with a_driver("jetstream-recipients", receive, scratch) as receivers:
                receivers.wait_until_ready()
                send = self.environment.driver(DRIVER, "send", url, scratch, reports, size, rate)
                used = server.cpu_s()
                with a_driver("jetstream-sender", send, scratch) as sender:
                    sent, received = sender.line(), [receivers.line()]
                return measured(sent, received, expected=reports * recipients, server_s=server.cpu_s() - used)

    @contextmanager
    def _running(self) -> Iterator[tuple[Child, Path, str]]:
        """A server; yields it, where it has its files, and its address."""
        number = port(self.port, "--jetstream-port")
        with tempfile.TemporaryDirectory(prefix="bench-jetstream-") as made:
            scratch = Path(made)
            _certificates(scratch)
            configuration = scratch / "server.conf"
            configuration.write_text(CONFIGURATION.format(host=HOST, port=number, scratch=scratch))
            command = [self.environment.program("nats-server"), "-c", str(configuration)]
            with a_server("jetstream", command, scratch, {}) as server:
                server.wait_until(lambda: listens(number))
                yield server, scratch, f"tls://{HOST}:{number}"


def _certificates(scratch: Path) -> None:
    """Write an authority's certificate, and one with key for the server and one for its clients."""
    now = now_ms()
    authority, key = x509.new_ca("benchmark", now_ms=now, days=1)
    (scratch / "ca.pem").write_bytes(x509.pem_of(authority))
    for name in ("server", "client"):
        certificate, secret = x509.issue_leaf(
            authority,
            key,
            uri=f"concord://benchmark/{name}",
            dns_names=[],
            ip_addresses=[HOST],
            now_ms=now,
            hours=24,
            client=name == "client",
            server=name == "server",
        )
        (scratch / f"{name}.pem").write_bytes(certificate)
        (scratch / f"{name}.key").write_bytes(secret)


def listens(number: int) -> bool:
    """Say whether somebody takes connections on this port."""
    with suppress(OSError), socket.create_connection((HOST, number), timeout=1.0):
        return True
    return False
