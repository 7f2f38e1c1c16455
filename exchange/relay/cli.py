"""`concord relay`: make a relay, run it, ask how it is."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import grpc
import orjson
import typer

from exchange.directory.ceremony import draft_genesis
from exchange.directory.relay_keys import spoken
from exchange.directory.statements import CouncilMember, ExchangeLimits, Witnesses
from exchange.envelope.model import SUITE, Lane
from exchange.errors import BadInput, ConfigurationError, MalformedInput, Unavailable
from exchange.limits import KIB, MIB, RECIPIENTS, REPORT_BYTES
from exchange.names import exchange_name
from exchange.relay.config import ENV_PREFIX, RelaySettings
from exchange.relay.home import GENESIS_REQUEST, SETS_MOST, KeySet, RelayHome, RelaySecrets, new_home
from exchange.runtime.armour import write_armour
from exchange.runtime.clock import now_ms
from exchange.runtime.config import load_config
from exchange.runtime.grpc_options import local_options
from exchange.runtime.interceptors import from_rpc_error
from exchange.runtime.lifecycle import Drain, run
from exchange.runtime.logs import configure_logging
from exchange.runtime.progress import bar
from exchange.runtime.relay_info import RelayKeysFile, RootFile, check_address, read_root_file, write_relay_keys
from exchange.runtime.secrets import read_passphrase, write_private
from exchange.runtime.seen_file import LogsSeen, read_logs_seen
from exchange.runtime.watching import INTERVAL_LEAST_S, INTERVAL_MOST_S, INTERVAL_S, Shown, watch, watch_json
from exchange.v1 import relay_admin_service_pb2 as pb
from exchange.v1.relay_admin_service_pb2_grpc import RelayAdminServiceStub

app = typer.Typer(
    help="The shared service: stores sealed envelopes, forwards them, answers for it.",
    no_args_is_help=True,
)

DEFAULT_HOME = Path("~/.concord/relay").expanduser()
STATUS_S = 5.0
RELOAD_S = 60.0

Home = Annotated[
    Path, typer.Option("--home", envvar="CONCORD_RELAY_HOME", help="The relay's home directory.", show_default=True)
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="Read the passphrase from this file (mode 0600) or systemd credential."),
]
PassphraseFd = Annotated[
    int | None, typer.Option("--passphrase-fd", help="Read the passphrase from this open file descriptor.")
]


@app.command()
def init(
    exchange: Annotated[
        str, typer.Option("--exchange", help="Name of the exchange, for example demo.concord.example.")
    ],
    council: Annotated[list[Path], typer.Option("--council", help="A council member's root.pub; once for each.")],
    home: Home = DEFAULT_HOME,
    threshold: Annotated[int, typer.Option(help="Council parties that must sign.", min=1)] = 1,
    witness_quorum: Annotated[
        int,
        typer.Option(
            "--witness-quorum", help="Least quorum of every set of witnesses; 0 leaves it to the council.", min=0
        ),
    ] = 0,
    address: Annotated[str, typer.Option(help="Host and port where partners connect.")] = "127.0.0.1:7001",
    join_address: Annotated[str, typer.Option(help="Host and port where newcomers connect.")] = "127.0.0.1:7002",
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    memory_mib: Annotated[int, typer.Option(help="Memory that each guess of the passphrase costs.", min=64)] = 256,
) -> None:
    """Make a relay: configuration, keys, and the genesis that the council is to sign.

    Example: concord relay init --home relay --exchange demo.concord.example --council xa/root.pub
    """
    name = exchange_name(exchange)
    if check_address(address) == check_address(join_address) and not address.endswith(":0"):
        raise BadInput(f"partners and newcomers cannot both connect to {address}", hint="give another --join-address")
    members = [_read_root(path) for path in council]
    made = new_home(home)
    passphrase = read_passphrase(fd=passphrase_fd, file=passphrase_file, confirm=True)
    now = now_ms()
    secrets = RelaySecrets.new(now)
    genesis = draft_genesis(
        exchange=name,
        council=[CouncilMember(member.party, member.root) for member in members],
        threshold=threshold,
        relay=secrets.sets[0].public,
        limits=ExchangeLimits(min_suite=SUITE, report_bytes=REPORT_BYTES, recipients=RECIPIENTS),
        now_ms=now,
        witnesses=Witnesses((), witness_quorum),
    )
    # The keys last: a home without them is unfinished, and init may be run again.
    write_private(made.genesis_request, write_armour(GENESIS_REQUEST, genesis).encode())
    write_private(made.config, _configuration(name, address, join_address).encode())
    secrets.save(made.keys, passphrase, memory_kib=memory_mib * KIB)
    _say(f"made a relay for {name} in {made.root}")
    for member in members:
        _say(f"council: {member.party}  {member.fingerprint}")
    _say(f"next: compare these fingerprints, then let {threshold} of {len(members)} sign {made.genesis_request}:")
    _say(f"  concord root sign {made.genesis_request} --out {made.genesis}")
    _say(f"  concord relay serve --home {made.root}")


@app.command()
def serve(
    home: Home = DEFAULT_HOME, passphrase_file: PassphraseFile = None, passphrase_fd: PassphraseFd = None
) -> None:
    """Run the relay until SIGTERM or SIGINT; then finish what is under way and stop.

    Example: concord relay serve --home relay --passphrase-file relay.pass
    """
    here = _existing(home)
    settings = load_config(RelaySettings, here.config, env_prefix=ENV_PREFIX)
    here.read_genesis()
    configure_logging(json=settings.log_json, level=settings.log_level)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    secrets = RelaySecrets.load(here.keys, read_passphrase(fd=passphrase_fd, file=passphrase_file))
    # Imported here: the other commands need no server.
    from exchange.relay import app as relay_app  # noqa: PLC0415

    async def main(drain: Drain) -> None:
        await relay_app.serve(here, settings, secrets, drain)

    run(main)


@app.command()
def rotate(
    out: Annotated[Path, typer.Option("--out", help="Where to write the public halves, for the council.")],
    home: Home = DEFAULT_HOME,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    memory_mib: Annotated[int, typer.Option(help="Memory that each guess of the passphrase costs.", min=64)] = 256,
) -> None:
    """Make keys that are to follow those in force; the relay goes on with those until the council has named the new.

    The secret halves stay in relay.keys. The relay, running or not, signs with the new ones from the entry on by which
    the council names them, without a restart.

    Example: concord relay rotate --home relay --out relay.next --passphrase-file relay.pass
    """
    here = _existing(home)
    if out.exists():
        raise BadInput(f"{out} exists already", hint="give another --out")
    exchange = exchange_name(load_config(RelaySettings, here.config, env_prefix=ENV_PREFIX).exchange)
    passphrase = read_passphrase(fd=passphrase_fd, file=passphrase_file)
    secrets = RelaySecrets.load(here.keys, passphrase)
    running = here.admin_socket.is_socket()
    kept = _still_needed(secrets.sets, _reload(here, passphrase)) if running else secrets.sets
    if len(kept) >= SETS_MOST:
        raise ConfigurationError(f"{here.keys} holds {len(kept)} sets of keys", hint="start the relay, then rotate")
    following = KeySet.new(now_ms())
    made = RelaySecrets((*kept, following), secrets.join)
    made.save(here.keys, passphrase, memory_kib=memory_mib * KIB)
    if running:
        _reload(here, passphrase)
    out.write_text(write_relay_keys(RelayKeysFile(exchange, following.public)))
    print(out)
    _say(f"fingerprint, for the council to compare: {spoken(following.public)}")
    _say(f"next, at a council party with a node: concord root relay-keys {out} --out relay-keys.request")


@app.command()
def reload(
    home: Home = DEFAULT_HOME, passphrase_file: PassphraseFile = None, passphrase_fd: PassphraseFd = None
) -> None:
    """Let the running relay read its keystore again: `rotate` does it itself, where it runs.

    Where several processes are one relay, copy relay.keys to each home, and reload there, before the council names the
    keys: a process without them could not go on.

    Example: concord relay reload --home relay-two --passphrase-file relay.pass
    """
    here = _existing(home)
    needed = _reload(here, read_passphrase(fd=passphrase_fd, file=passphrase_file))
    _say(f"it holds {len(needed)} sets of keys")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the backup.")],
    home: Home = DEFAULT_HOME,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    memory_mib: Annotated[int, typer.Option(help="Memory that each guess of the passphrase costs.", min=64)] = 256,
) -> None:
    """Back the relay up, running or not, and verify the backup by restoring it to a temporary place.

    The file opens with the relay's passphrase of today and holds its keys. Of a store in PostgreSQL it holds nothing:
    take that with pg_basebackup and archived WAL, or from a synchronous replica.

    Example: concord relay backup relay-friday.backup --home relay
    """
    from exchange.relay.backup import back_up  # noqa: PLC0415 - loads the database, which the other commands do without

    here = _existing(home)
    passphrase = read_passphrase(fd=passphrase_fd, file=passphrase_file)
    made = back_up(here, file, passphrase, now_ms=now_ms(), memory_kib=memory_mib * KIB, bar=bar)
    print(file)
    _say(f"{made.size:,} bytes; verified by restoring it")
    if made.server:
        _say("it holds the keys alone: back the store up with PostgreSQL's own tools (pg_basebackup and archived WAL)")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Backup of a relay.")],
    home: Annotated[Path, typer.Option("--home", help="Home to make; it must be new.")],
    seen: Annotated[
        list[Path], typer.Option("--seen", help="What a party has seen (concord log witness --seen); once for each.")
    ],
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Make a relay's home of a backup, if that holds everything that partners have seen of its logs.

    With witnesses so many of them must say what they have seen that every quorum is among them; without, every member.
    A store that lacks entries is refused, and what is lost is said: a relay that went on would write a second history.
    The relay that was backed up must never run again.

    Example: concord relay restore relay-friday.backup --home relay --seen xa.seen --seen xv.seen
    """
    from exchange.relay.backup import restore as make  # noqa: PLC0415 - as above

    read = [_read_seen(path) for path in seen]
    made = make(file, home, read_passphrase(fd=passphrase_fd, file=passphrase_file), read, bar=bar)
    print(home)
    _say(f"{made.manifest.exchange}, as of {_when(made.manifest.made_ms)}")
    _say(f"{made.directory_size:,} directory and {made.traffic_size:,} traffic entries continue what was seen by")
    _say(f"  {', '.join(made.compared)}")
    _say(f"start it: concord relay serve --home {home}; the old home must never run again: destroy it")


def _read_seen(path: Path) -> LogsSeen:
    try:
        return read_logs_seen(path.read_text())
    except (OSError, UnicodeDecodeError, MalformedInput) as error:
        raise BadInput(f"{path} does not say what a party has seen", hint="concord log witness --seen FILE") from error


@app.command()
def status(
    home: Home = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for machines.")] = False,
    watching: Annotated[bool, typer.Option("--watch", help="Ask again and again, until Ctrl-C.")] = False,
    interval: Annotated[
        float,
        typer.Option(min=INTERVAL_LEAST_S, max=INTERVAL_MOST_S, help="Seconds between two looks of --watch."),
    ] = INTERVAL_S,
) -> None:
    """Ask the running relay how it is; with --watch and --json as one object a line.

    Example: concord relay status --home relay --json
    Example: concord relay status --home relay --watch
    Example: concord relay status --home relay --watch --json
    """
    home_ = _existing(home)
    if watching and as_json:
        watch_json(lambda: _fields(_ask(home_)), interval_s=interval)
        return
    if watching:
        watch(lambda: _tables(_ask(home_), now_ms()), interval_s=interval)
        return
    answer = _ask(home_)
    if as_json:
        print(orjson.dumps(_fields(answer), option=orjson.OPT_INDENT_2).decode())
        return
    for label, value in (
        ("exchange", answer.exchange),
        ("started", _when(answer.started_ms)),
        ("state", "draining" if answer.draining else "running"),
        ("directory entries", f"{answer.directory_size:,}"),
        ("traffic entries", f"{answer.traffic_size:,}"),
        ("cosigned", _cosigned(answer)),
        ("envelopes held", f"{answer.envelopes:,}, {answer.held_bytes / MIB:,.1f} MiB"),
        ("deleted", f"{answer.deleted:,} since the start of this process"),
        ("store", _store(answer)),
        *(("promise key", f"{each.promise}  {each.standing}") for each in answer.keys),
        *((each.name, f"{each.value:,}  {'by the council' if each.by_council else ''}") for each in answer.limits),
        ("joining", ", ".join(answer.joining) or "-"),
    ):
        print(f"{label:<18} {value}")
    for box in answer.mailboxes:
        print(f"{box.party:<18} {box.waiting:,} waiting, {'connected' if box.connections else 'not connected'}")


def _tables(answer: pb.GetRelayStatusResponse, now_ms: int) -> Sequence[Shown]:
    """Return what --watch shows: the partners with what waits for them in each lane, the answers, the store."""
    lanes = [lane.name.lower() for lane in Lane]
    boxes = []
    for box in sorted(answer.mailboxes, key=lambda box: min([each.since_ms for each in box.lanes], default=1 << 63)):
        waiting = {each.lane: each.waiting for each in box.lanes}
        since = [each.since_ms for each in box.lanes]
        oldest = f"{max(0, now_ms - min(since)) // 1000:,} s" if since else "-"
        boxes.append(
            [box.party, "yes" if box.connections else "no", *(f"{waiting.get(x, 0):,}" for x in lanes), oldest]
        )
    held = f"{answer.envelopes:,} held, {answer.held_bytes / MIB:,.1f} MiB, {answer.writes_waiting:,} writes wait"
    return (
        Shown(f"{answer.exchange}, {_when(now_ms)}: {held}", ["partner", "connected", *lanes, "oldest"], boxes),
        Shown(
            "submissions answered", ["answer", "count"], [[each.reason, f"{each.count:,}"] for each in answer.answers]
        ),
    )


def _still_needed(sets: Sequence[KeySet], needed: Sequence[bool]) -> tuple[KeySet, ...]:
    """Return the sets that the relay needs, and the one made last: the council may be signing it."""
    return tuple(each for each, used in zip(sets, needed, strict=True) if used or each is sets[-1])


def _existing(root: Path) -> RelayHome:
    home = RelayHome(root)
    if not home.config.exists():
        raise ConfigurationError(f"there is no relay in {root}", hint="concord relay init, or give --home")
    return home


def _read_root(path: Path) -> RootFile:
    try:
        return read_root_file(path.read_text())
    except (OSError, UnicodeDecodeError, MalformedInput) as error:
        raise BadInput(f"{path} is not a party root", hint="concord root init makes a root.pub") from error


def _ask(home: RelayHome) -> pb.GetRelayStatusResponse:
    if not home.admin_socket.is_socket():
        raise Unavailable("the relay is not running", hint=f"concord relay serve --home {home.root}")
    with _asked(home) as relay:
        return relay.GetStatus(pb.GetRelayStatusRequest(), timeout=STATUS_S)


def _reload(home: RelayHome, passphrase: bytes) -> Sequence[bool]:
    with _asked(home) as relay:
        return relay.ReloadKeys(pb.ReloadKeysRequest(passphrase=passphrase), timeout=RELOAD_S).needed


@contextmanager
def _asked(home: RelayHome) -> Iterator[RelayAdminServiceStub]:
    with grpc.insecure_channel(f"unix:{home.admin_socket}", options=local_options()) as channel:
        try:
            yield RelayAdminServiceStub(channel)
        except grpc.RpcError as error:
            found = from_rpc_error(error)
            if isinstance(found, Unavailable):
                raise Unavailable(
                    "the relay does not answer", hint=f"concord relay serve --home {home.root}"
                ) from error
            raise found from error


def _fields(answer: pb.GetRelayStatusResponse) -> dict[str, object]:
    return {
        "exchange": answer.exchange,
        "started_ms": answer.started_ms,
        "draining": answer.draining,
        "directory_size": answer.directory_size,
        "traffic_size": answer.traffic_size,
        "directory_checkpoint": answer.directory_checkpoint,
        "traffic_checkpoint": answer.traffic_checkpoint,
        "witnessed": answer.witnessed,
        "directory_cosigned_size": answer.directory_cosigned_size,
        "traffic_cosigned_size": answer.traffic_cosigned_size,
        "directory_cosigned": answer.directory_cosigned,
        "traffic_cosigned": answer.traffic_cosigned,
        "envelopes": answer.envelopes,
        "held_bytes": answer.held_bytes,
        "deleted": answer.deleted,
        "store_bytes": answer.store_bytes,
        "store_free_bytes": answer.store_free_bytes,
        "mailboxes": [
            {
                "party": box.party,
                "waiting": box.waiting,
                "connections": box.connections,
                "lanes": {each.lane: {"waiting": each.waiting, "since_ms": each.since_ms} for each in box.lanes},
            }
            for box in answer.mailboxes
        ],
        "answers": {each.reason: each.count for each in answer.answers},
        "writes_waiting": answer.writes_waiting,
        "joining": list(answer.joining),
        "keys": [{"promise": each.promise, "standing": each.standing} for each in answer.keys],
        "limits": {each.name: {"value": each.value, "by_council": each.by_council} for each in answer.limits},
    }


def _cosigned(answer: pb.GetRelayStatusResponse) -> str:
    if not answer.witnessed:
        return "by nobody: the council has named no witnesses"
    sizes = f"{answer.directory_cosigned_size:,} directory and {answer.traffic_cosigned_size:,} traffic entries"
    return f"{sizes} by a quorum of witnesses"


def _store(answer: pb.GetRelayStatusResponse) -> str:
    if not answer.store_bytes:
        return "a database server"
    return f"{answer.store_bytes / MIB:,.1f} MiB, of which {answer.store_free_bytes / MIB:,.1f} free"


def _configuration(exchange: str, address: str, join_address: str) -> str:
    return (
        "# The relay's configuration; docs/operations/relay.md lists every setting.\n"
        f'exchange = "{exchange}"\n'
        f'address = "{address}"\n'
        f'join_address = "{join_address}"\n'
        "# Addresses that others are told, when the relay stands behind another one.\n"
        '# public_address = "relay.example:7001"\n'
        '# public_join_address = "relay.example:7002"\n'
    )


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _say(words: str) -> None:
    typer.echo(words, err=True)
