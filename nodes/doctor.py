"""Look for what is wrong with a node, and say how to mend it; works whether the node runs or not.

Without the passphrase: files and their modes, configuration, store version, free disk. From the running node: relay,
clock, membership, certificates, prekeys, alarms.
"""

import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from exchange.errors import ExchangeError, Unavailable
from exchange.limits import CLOCK_AHEAD_MS, MIB
from exchange.runtime.clock import now_ms
from exchange.runtime.engine import Use, make_engine, our_errors, sqlite_url
from exchange.runtime.migrate import examine, refuse_damaged
from exchange.runtime.relay_info import read_relay_info
from exchange.runtime.secrets import check_keystore_file, check_private_file
from nodes.config import NodeConfig, load
from nodes.figures_client import Running, ask
from nodes.operators import known
from nodes.permits import PEOPLE, who_may
from nodes.store import MIGRATIONS

DAY_MS = 24 * 60 * 60 * 1000
SKEW_MS = 60_000
PREKEYS_LEAST = 7
CERTIFICATE_LEAST_MS = 60 * DAY_MS
CERTIFICATE_URGENT_MS = 7 * DAY_MS
LEAF_LEAST_MS = 60 * 60 * 1000
SILENT_MS = 120_000
QUORUM_MS = 2 * 60 * 60 * 1000
KEYS_FILE = "keys.db"
PRIVATE = ("node.toml", "node.db", KEYS_FILE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `severity` is ok, warning or error."""

    severity: str
    subject: str
    message: str
    hint: str = ""

    def as_record(self) -> dict[str, str]:
        """Return it as plain data."""
        return asdict(self)


def diagnose(home: Path) -> list[Finding]:
    """Return what was found, in the order in which one would look."""
    findings = [*_home(home), *_files(home)]
    try:
        config = load(home)
    except ExchangeError as error:
        where = f"{error.place}: " if error.place else ""
        return [*findings, Finding("error", "configuration", f"{where}{error}", error.hint)]
    findings += [*_relay_info(home, config), *_store(home, config), *_disk(home, config)]
    try:
        running = ask(home)
    except Unavailable as error:
        return [*findings, Finding("warning", "node", str(error), error.hint)]
    except ExchangeError as error:
        return [*findings, Finding("error", "node", str(error), error.hint)]
    return [*findings, *_running(running)]


def _home(home: Path) -> Iterator[Finding]:
    mode = stat.S_IMODE(home.stat().st_mode)
    if mode & 0o077:
        yield Finding("error", "home", f"others may enter {home} (mode {mode:o})", f"chmod 700 {home}")
    else:
        yield Finding("ok", "home", f"{home}, only its owner may enter")


def _files(home: Path) -> Iterator[Finding]:
    if not (home / "node.keys").exists():
        yield Finding("error", "keystore", "node.keys is missing", "restore it from the backup, or make a new node")
    else:
        try:
            check_keystore_file(home / "node.keys")
        except ExchangeError as error:
            yield Finding("error", "keystore", str(error), error.hint)
    for name in PRIVATE:
        path = home / name
        if path.exists():
            try:
                check_private_file(path)
            except ExchangeError as error:
                yield Finding("error", "files", str(error), error.hint)


def _relay_info(home: Path, config: NodeConfig) -> Iterator[Finding]:
    path = home / "exchange" / "relay.info"
    try:
        info = read_relay_info(path.read_text())
    except (OSError, UnicodeDecodeError, ExchangeError) as error:
        yield Finding("error", "exchange", f"{path} cannot be read: {error}", "concord node init writes it")
        return
    if info.exchange != config.exchange:
        yield Finding("error", "exchange", f"{path} is of {info.exchange}, node.toml of {config.exchange}")


def _store(home: Path, config: NodeConfig) -> Iterator[Finding]:
    if not config.store_url and not (home / "node.db").exists():
        yield Finding("warning", "store", "there is no store yet", "concord node serve makes it")
        return
    try:
        current = examine(config.database_url(home), MIGRATIONS)
    except ExchangeError as error:
        yield Finding("error", "store", str(error), error.hint)
    else:
        if current:
            yield Finding("ok", "store", "of this version")
            yield from _backups(config.database_url(home))
        else:
            yield Finding("warning", "store", "of an older version", "the next start brings it to this one")
    try:
        if (home / KEYS_FILE).exists():
            refuse_damaged(sqlite_url(home / KEYS_FILE))
    except ExchangeError as error:
        yield Finding("error", KEYS_FILE, str(error), error.hint)


def _backups(url: str) -> Iterator[Finding]:
    """Say when nobody could back this node up: where there are operators it takes two of them."""
    engine = make_engine(url, Use.READ)
    try:
        with our_errors(), engine.connect() as connection, connection.begin():
            operators = known(connection, now_ms())
    finally:
        engine.dispose()
    may = who_may(operators)
    if operators and len(may) < PEOPLE:
        who = ", ".join(may) or "nobody"
        what = f"it takes {PEOPLE} operators to back this node up, and these may permit it: {who}"
        yield Finding("warning", "backup", what, "concord operator add NAME --key ... --role security-officer")


def _disk(home: Path, config: NodeConfig) -> Iterator[Finding]:
    free = shutil.disk_usage(home).free // MIB
    if free < config.disk_least_mib:
        yield Finding("error", "disk", f"{free:,} MiB are free", "make room: a full disk stops receiving")
    else:
        yield Finding("ok", "disk", f"{free:,} MiB are free")


def _running(running: Running) -> Iterator[Finding]:
    for look in _LOOKS:
        yield from look(running)


def _membership(running: Running) -> Iterator[Finding]:
    hints = {
        "joining": "let the council compare fingerprints and admit: concord root admit",
        "suspended": "talk to the council; retractions still arrive",
        "expelled": "talk to the council",
    }
    severity = "ok" if running.membership == "admitted" else "warning"
    yield Finding(severity, "membership", running.membership, hints.get(running.membership, ""))


def _link(running: Running) -> Iterator[Finding]:
    silent = now_ms() - running.relay_contact_ms > SILENT_MS
    if running.membership == "joining" and running.relay != "connected":
        yield Finding("warning", "relay", f"{running.relay}: the relay speaks with admitted parties only")
    elif running.relay != "connected" or silent:
        why = running.relay_error or "no word from it for two minutes"
        yield Finding("error", "relay", f"{running.relay}: {why}", "check the network and relay_address in node.toml")
    else:
        yield Finding("ok", "relay", "connected")


def _clock(running: Running) -> Iterator[Finding]:
    if not running.relay_contact_ms:
        yield Finding("warning", "clock", "not compared: the relay has said nothing yet")
        return
    skew = abs(running.clock_skew_ms)
    if skew > SKEW_MS:
        severity = "error" if skew > CLOCK_AHEAD_MS else "warning"
        hint = "keep the clock right with NTP; the relay refuses what is 5 minutes ahead"
        yield Finding(severity, "clock", f"{running.clock_skew_ms:+,} ms against the relay's", hint)
    else:
        yield Finding("ok", "clock", f"{running.clock_skew_ms:+,} ms against the relay's")


def _prekeys(running: Running) -> Iterator[Finding]:
    if running.membership != "admitted":
        return
    if running.prekey_days < PREKEYS_LEAST:
        hint = "partners cannot send without them; the node renews them as soon as it reaches the relay"
        severity = "error" if running.prekey_days == 0 else "warning"
        yield Finding(severity, "prekeys", f"published for {running.prekey_days} days", hint)
    else:
        yield Finding("ok", "prekeys", f"published for {running.prekey_days} days")


def _certificates(running: Running) -> Iterator[Finding]:
    left = running.node_cert_until_ms - now_ms()
    if running.node_cert_until_ms and left < CERTIFICATE_LEAST_MS:
        severity = "error" if left < CERTIFICATE_URGENT_MS else "warning"
        hint = "concord key rotate: docs/guides/rotate-a-key.md"
        yield Finding(severity, "certificate", f"the root's certificate ends in {left // DAY_MS} days", hint)
    if running.transport_until_ms and running.transport_until_ms - now_ms() < LEAF_LEAST_MS:
        yield Finding("warning", "transport", "the TLS certificate ends within the hour", "restart the node")


def _notices(running: Running) -> Iterator[Finding]:
    for notice in running.notices:
        # What is this node's own stands above, with its hint.
        if not notice.startswith("this node's"):
            yield Finding("warning", "partner", notice)


def _witnesses(running: Running) -> Iterator[Finding]:
    if not running.witnessed:
        hint = "let the council name witnesses: concord log witness, concord root witnesses"
        yield Finding("warning", "witnesses", "the exchange is unwitnessed: two nodes may be shown two histories", hint)
        return
    age = f"a quorum vouched for the directory {(now_ms() - running.quorum_ms) // 60_000:,} minutes ago"
    hint = "ask partners whether they see the same: concord log witness; then tell the council"
    if running.stale_since_ms:
        yield Finding("error", "witnesses", f"{age}: no report is sent", hint)
    elif now_ms() - running.quorum_ms > QUORUM_MS:
        yield Finding("warning", "witnesses", age, hint)
    else:
        yield Finding("ok", "witnesses", age)


def _alarms(running: Running) -> Iterator[Finding]:
    if running.limited:
        hint = "concord operator login, as a security officer, an auditor or an administrator"
        yield Finding("warning", "alarms", "shown only to roles that see the node as a whole", hint)
    for alarm in running.alarms:
        yield Finding("error", "alarm", alarm, "docs/operations/node.md says what each alarm means")
    if running.quarantined:
        hint = "concord report list does not show them; docs/operations/node.md"
        yield Finding("warning", "quarantine", f"{running.quarantined:,} deliveries failed a check", hint)


def look_at_missing(running: Running) -> Iterator[Finding]:
    """Say what is missing and who is silent."""
    if running.limited:
        return
    for gap in running.gaps:
        yield Finding("warning", "missing", f"numbers under which nothing came: {gap}", "the node asks by itself")
    for partner in running.silent:
        yield Finding("warning", "silent", f"nothing comes of {partner}", "call its people: is its node running?")
    if not running.gaps and not running.silent:
        yield Finding("ok", "missing", "nothing, as far as partners have told")


def _operators(running: Running) -> Iterator[Finding]:
    if running.open_mode:
        hint = "concord operator init, then: concord operator add NAME --key operator.pub --role administrator"
        yield Finding("warning", "operators", "none: whoever reaches the socket may do everything", hint)
    else:
        yield Finding("ok", "operators", "every call needs a session")


_LOOKS: tuple[Callable[[Running], Iterator[Finding]], ...] = (
    _membership,
    _link,
    _clock,
    _prekeys,
    _certificates,
    _notices,
    _operators,
    look_at_missing,
    _witnesses,
    _alarms,
)
