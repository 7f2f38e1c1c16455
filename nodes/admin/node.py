"""`concord node`: make a node, let it join, run it, and see how it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exchange.errors import BadInput, ConfigurationError, NotFound
from exchange.names import party_id
from exchange.runtime.clock import now_ms
from exchange.runtime.relay_info import read_relay_info
from exchange.runtime.secrets import read_passphrase
from exchange.runtime.watching import INTERVAL_LEAST_S, INTERVAL_MOST_S, INTERVAL_S, Shown, watch, watch_json
from nodes import ceremony, joining, keystore, rejoining
from nodes.admin import output
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome, PassphraseFd, PassphraseFile
from nodes.admin.plain import plain
from nodes.hsm import Place
from nodes.reportfile import naming, read_bounded
from nodes.root_home import read_text
from nodes.statement_file import read_statement
from nodes.v1 import missing_pb2
from nodes.v1 import node_service_pb2 as pb

if TYPE_CHECKING:
    from nodes.permits import Permit

app = typer.Typer(help="Make a node, let it join, run it, and see how it is.", no_args_is_help=True)

FILE_BYTES = 256 * 1024
"""Largest file of the ceremony."""

NAMED = 5
"""Reports that are named of those with attachments that no backup holds."""

OF_REPORTS = frozenset(
    {"reports", "receipts", "quarantined", "waiting", "reviews due", "overdue", "missing", "silent", "asked of us"}
)
"""Figures of a node's status for those who see the node as a whole."""

Permits = Annotated[
    list[Path] | None,
    typer.Option("--permit", help="What one of the two operators has signed whom a node with operators takes."),
]
Invitation = Annotated[Path, typer.Option("--invitation", help="Invitation file from the council.")]


@app.command()
def init(
    invitation: Invitation,
    home: NodeHome = DEFAULT_HOME,
    sensors: Annotated[str, typer.Option(help="HOST:PORT where sensors push over TLS; none when left out.")] = "",
    memory_mib: Annotated[int, typer.Option(min=64, max=4096, help="Memory that unlocking the keystore takes.")] = 256,
    device_module: Annotated[
        Path | None, typer.Option("--device-module", help="PKCS#11 module of a device for the signing keys.")
    ] = None,
    device_token: Annotated[str, typer.Option("--device-token", help="Label of the token in that device.")] = "",
    device_pin_file: Annotated[
        Path | None, typer.Option("--device-pin-file", help="Read the device's PIN from this file (mode 0600).")
    ] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Make a node's home and keys from an invitation.

    With a device, the Ed25519 halves of the signing keys are made there and never leave it: what is copied from the
    disk then signs nothing. The device must be connected whenever the node runs.

    Example: concord node init --home xv --invitation xv.invitation
    Example: concord node init --home xv --invitation xv.invitation --device-token concord
    --device-module /usr/lib/softhsm/libsofthsm2.so
    """
    file = _invitation(invitation)
    device = _device(device_module, device_token, device_pin_file)
    passphrase = read_passphrase(
        fd=passphrase_fd, file=passphrase_file, prompt="Passphrase for the new keystore: ", confirm=True
    )
    new = joining.NewNode(home, file, sensors, memory_mib * 1024, device)
    request = joining.init(new, passphrase, now_ms=now_ms())
    output.data(str(request))
    output.say(f"carry {request} to your party's root: concord root sign {request.name} --home ROOT --out FILE")


@app.command()
def join(
    invitation: Invitation,
    credentials: Annotated[Path, typer.Option("--credentials", help="What your root made of node.request.")],
    home: NodeHome = DEFAULT_HOME,
    offline: Annotated[bool, typer.Option("--offline", help="Only write the request, to be carried by hand.")] = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Ask to be let in. Safe to repeat; the council then compares fingerprints and admits.

    Example: concord node join --home xv --invitation xv.invitation --credentials xv.credentials
    """
    file = _invitation(invitation)
    with naming(credentials):
        text = read_bounded(credentials, FILE_BYTES, "credentials file").decode("ascii", "replace")
        signed = ceremony.read_node_credentials(text)
    passphrase = read_passphrase(fd=passphrase_fd, file=passphrase_file, prompt="Passphrase of the node: ")
    keys = keystore.load_keys(home, passphrase)
    request = joining.request_to_join(home, file, signed, keys, now_ms=now_ms())
    if offline:
        output.data(str(home / joining.JOIN_FILE))
        output.say("carry this file to the council: concord root admit FILE --home COUNCIL --out ADMISSION")
        return
    from nodes.join_client import join as ask  # noqa: PLC0415 - loads gRPC, which only this branch needs

    admitted = ask(joining.relay_info(home), request)
    output.say(
        "admitted: concord node serve"
        if admitted
        else "the relay has the request. Now the council compares fingerprints and admits; the node may already be "
        "started: concord node serve"
    )


@app.command()
def rejoin(
    home: NodeHome = DEFAULT_HOME,
    relay: Annotated[Path | None, typer.Option("--relay", help="relay.info of the exchange: begin.")] = None,
    party: Annotated[str, typer.Option("--party", help="This party's id, as in XV.")] = "",
    credentials: Annotated[Path | None, typer.Option("--credentials", help="What your root signed: finish.")] = None,
    sensors: Annotated[str, typer.Option(help="HOST:PORT where sensors push over TLS; none when left out.")] = "",
    memory_mib: Annotated[int, typer.Option(min=64, max=4096, help="Memory that unlocking the keystore takes.")] = 256,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Make another node for a member whose node is lost, and let it back in by the party's root alone.

    First --relay and --party: a new home with new keys, and a request for the root. Then --credentials with what the
    root signed. With a backup, restore that instead: concord node restore.

    Example: concord node rejoin --home xv2 --relay relay.info --party XV; concord root sign xv2/node.request;
    concord node rejoin --home xv2 --credentials xv2/node.request.signed
    """
    if (relay is None) == (credentials is None) or bool(relay) != bool(party):
        raise typer.BadParameter("give --relay and --party to begin, or --credentials to finish")
    passphrase = read_passphrase(
        fd=passphrase_fd, file=passphrase_file, prompt="Passphrase of the node: ", confirm=relay is not None
    )
    if relay is not None:
        with naming(relay):
            info = read_relay_info(read_text(relay))
        new = rejoining.Successor(home, info, party_id(party), sensors, memory_mib * 1024)
        request = rejoining.begin(new, passphrase, now_ms=now_ms())
        output.data(str(request))
        output.say(f"carry {request} to your party's root: concord root sign {request.name} --home ROOT --out FILE")
        return
    if credentials is not None:
        with naming(credentials):
            cert = read_statement(read_text(credentials))
        keys = keystore.load_keys(home, passphrase)
        transport = rejoining.transport_of(home, cert, keys, now_ms=now_ms())
        from nodes.join_client import rekey  # noqa: PLC0415 - loads gRPC, which only this branch needs

        index = rekey(joining.relay_info(home), cert, transport)
        output.data(str(index))
        output.say("let in; end the lost node's keys: concord key revoke; then: concord node serve")


def _device(module: Path | None, token: str, pin_file: Path | None) -> Place | None:
    if module is None and not token:
        return None
    if module is None or not token:
        raise typer.BadParameter("give both, or neither", param_hint="--device-module, --device-token")
    pin = read_passphrase(file=pin_file, prompt=f"PIN of the device {token}: ")
    try:
        return Place(str(module.resolve()), token, pin.decode())
    except UnicodeDecodeError as error:
        raise BadInput("the PIN is not text") from error


def _invitation(path: Path) -> ceremony.InvitationFile:
    with naming(path):
        return ceremony.read_invitation(read_bounded(path, FILE_BYTES, "invitation").decode("ascii", "replace"))


@app.command()
def serve(
    home: NodeHome = DEFAULT_HOME, passphrase_file: PassphraseFile = None, passphrase_fd: PassphraseFd = None
) -> None:
    """Run the node until it is told to stop (Ctrl-C or SIGTERM); what is under way is finished first.

    Example: concord node serve --home xv --passphrase-file xv.passphrase
    """
    joining.relay_info(home)
    passphrase = read_passphrase(fd=passphrase_fd, file=passphrase_file, prompt="Passphrase of the node: ")
    from nodes.app import serve as run  # noqa: PLC0415 - loads gRPC, which the other commands do without

    run(home, passphrase)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the backup.")],
    home: NodeHome = DEFAULT_HOME,
    permit: Permits = None,
    without_attachments: Annotated[
        bool, typer.Option("--without-attachments", help="Leave the files of reports out.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Back up a node, running or not, and verify the backup by restoring it to a temporary place.

    The file opens with the node's passphrase of today. Prekeys are not in it. It holds the node's keys: keep it as you
    keep the home. A node with operators takes the permits of two of them (concord operator permit-backup).

    Example: concord node backup xv-friday.backup --home xv
    Example: concord node backup xv-friday.backup --home xv --permit rana.permit --permit sami.permit
    """
    from nodes.backup import back_up  # noqa: PLC0415 - loads the database, which the other commands do without

    permits = _permits(permit)
    passphrase = read_passphrase(fd=passphrase_fd, file=passphrase_file, prompt="Passphrase of the node: ")
    made = back_up(
        home,
        file,
        passphrase,
        now_ms=now_ms(),
        permits=permits,
        attachments=not without_attachments,
        bar=output.bar,
    )
    output.data(str(file))
    held = f"keys of {made.reports:,} reports, {made.attachments:,} attachments"
    output.say(f"{output.size(made.size)}, {held}; verified by restoring it")
    if made.left_out:
        names = ", ".join(output.short(item.hex()) for item in made.left_out[:NAMED])
        output.say(f"damaged or gone, and so not in it: attachments of {len(made.left_out):,} reports: {names}")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Backup of a node.")],
    home: Annotated[Path, typer.Option("--home", help="Home to make; it must be new.")],
    permit: Permits = None,
    store_url: Annotated[
        str | None,
        typer.Option("--store-url", help="Empty database for its reports, '' for node.db; as backed up when left out."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Make a node's home of a backup. The node that was backed up must never run again.

    The restored node begins a new stream of numbers, tells its partners, and asks for what came since the backup. A
    node that had operators takes the permits of two of them (concord operator permit-restore).

    Example: concord node restore xv-friday.backup --home xv
    Example: concord node restore xv-friday.backup --home xv --store-url postgresql+psycopg:///xv2
    """
    from nodes.backup import restore as make  # noqa: PLC0415

    permits = _permits(permit)
    passphrase = read_passphrase(fd=passphrase_fd, file=passphrase_file, prompt="Passphrase of the node: ")
    made = make(file, home, passphrase, now_ms=now_ms(), permits=permits, store_url=store_url, bar=output.bar)
    output.data(str(home))
    if made.permitted:
        output.say(f"permitted by {' and '.join(made.permitted)}")
    output.say(f"{made.manifest.party} in {made.manifest.exchange}, as of {output.when(made.manifest.made_ms)} UTC")
    output.say(f"{made.attachments:,} attachments, each as it was sealed")
    output.say(f"start it: concord node serve --home {home}; the old home must never run again: destroy it")


def _permits(paths: Sequence[Path] | None) -> "list[Permit]":
    from nodes.permits import read_permit  # noqa: PLC0415 - loads the database, as above

    found = []
    for path in paths or ():
        with naming(path):
            found.append(read_permit(read_text(path)))
    return found


@app.command()
def status(
    home: NodeHome = DEFAULT_HOME,
    as_json: Json = False,
    watching: Annotated[bool, typer.Option("--watch", help="Ask again and again, until Ctrl-C.")] = False,
    interval: Annotated[
        float,
        typer.Option(min=INTERVAL_LEAST_S, max=INTERVAL_MOST_S, help="Seconds between two looks of --watch."),
    ] = INTERVAL_S,
) -> None:
    """Show how the running node is; with --watch and --json as one object a line.

    Example: concord node status --home xv
    Example: concord node status --home xv --watch
    Example: concord node status --home xv --watch --json
    """
    from nodes.node_client import connect  # noqa: PLC0415

    def ask() -> pb.GetStatusResponse:
        # Anew each time: a node that was away is found as soon as it is back.
        with connect(home) as node:
            return node.GetStatus(pb.GetStatusRequest())

    if watching and as_json:
        watch_json(lambda: plain(ask()), interval_s=interval)
        return
    if watching:
        watch(lambda: _tables(ask()), interval_s=interval)
        return
    reply = ask()
    if as_json:
        output.as_json(plain(reply))
        return
    output.fields(_shown(reply))
    if reply.limited:
        output.say(
            "figures about reports, and alarms, are for security officers, auditors and administrators: "
            "concord operator login"
        )
    for notice in reply.notices:
        output.say(f"notice: {notice}")
    for alarm in reply.alarms:
        output.say(f"alarm: {alarm}")


def _shown(reply: pb.GetStatusResponse) -> dict[str, str]:
    """Return what is said of the node, by name; of reports only to who may see them."""
    contact = f"last contact {output.when(reply.relay_contact_ms)}"
    skew = f"{reply.clock_skew_ms:+,} ms against the relay's" if reply.relay_contact_ms else "not compared yet"
    shown = {
        "party": f"{reply.party} in {reply.exchange}, {reply.membership}",
        "relay": f"{reply.relay}, {contact}{f': {reply.relay_error}' if reply.relay_error else ''}",
        "clock": skew,
        "directory": f"{reply.directory_size:,} entries, root {reply.directory_root[:16]}",
        "witnesses": _witnesses(reply),
        "prekeys": f"published for {reply.prekey_days} days",
        "reports": f"{reply.reports_sent:,} sent, {reply.reports_received:,} received",
        "receipts": f"{reply.unreceipted:,} missing",
        "quarantined": f"{reply.quarantined:,}",
        "waiting": ", ".join(f"{lane.lane} {lane.outbox:,}" for lane in reply.lanes) or "nothing",
        "reviews due": f"{reply.reviews_due:,}",
        "overdue": f"{reply.overdue:,}" + (", see: concord report overdue" if reply.overdue else ""),
        "missing": _missing(reply.missing),
        "asked of us": f"{reply.missing.asked_of_us:,} waiting, {reply.missing.answered_by_us:,} answered",
        "silent": ", ".join(f"{each.partner} since {output.when(each.since_ms)}" for each in reply.missing.silent)
        or "nobody",
        "operators": "none: whoever reaches the socket may do everything"
        if reply.open_mode
        else "every call needs a session",
        "disk free": output.size(reply.disk_free_bytes),
        "running since": output.when(reply.started_ms),
    }
    return {name: words for name, words in shown.items() if not (reply.limited and name in OF_REPORTS)}


def _tables(reply: pb.GetStatusResponse) -> Sequence[Shown]:
    """Return what --watch shows: the node, what waits for each partner, and what is open."""
    now = now_ms()
    oldest = sorted(reply.backlogs, key=lambda x: x.since_ms)
    backlogs = [[x.partner, x.stage, f"{x.reports:,}", output.age(x.since_ms, now)] for x in oldest]
    found = [["alarm", alarm] for alarm in reply.alarms] + [["notice", notice] for notice in reply.notices]
    rows = [[name, output.printable(words)] for name, words in _shown(reply).items()]
    tables = [Shown(f"{reply.party}, {output.when(now)} UTC", ["what", "how"], rows)]
    if backlogs:
        tables.append(Shown("without a receipt", ["partner", "stage", "reports", "oldest"], backlogs))
    if found:
        tables.append(Shown("open", ["kind", "text"], [[kind, output.printable(text)] for kind, text in found]))
    return tables


def _witnesses(reply: pb.GetStatusResponse) -> str:
    if not reply.witnessed:
        return "none: the exchange is unwitnessed"
    ago = output.age(reply.quorum_ms, now_ms())
    covered = f"a quorum vouched for {reply.quorum_size:,} entries {ago} ago, at {output.when(reply.quorum_ms)}"
    return f"{covered}; too old, no report is sent" if reply.stale_since_ms else covered


def _missing(found: missing_pb2.MissingStatus) -> str:
    gaps = [
        f"{gap.count:,} of {gap.partner} in lane {gap.lane}, since {output.when(gap.since_ms)}, asked {gap.asked} times"
        for gap in found.gaps
    ]
    return "; ".join(gaps) or "nothing"


@app.command()
def doctor(home: NodeHome = DEFAULT_HOME, as_json: Json = False) -> None:
    """Look for what is wrong with this node and say how to mend it. Works whether the node runs or not.

    Exit code 7 when something needs mending.

    Example: concord node doctor --home xv
    """
    if not home.is_dir():
        raise NotFound(f"no node at {home}", hint="concord node init --home ... --invitation ...")
    from nodes.doctor import diagnose  # noqa: PLC0415

    findings = diagnose(home)
    if as_json:
        output.as_json([finding.as_record() for finding in findings])
    else:
        for finding in findings:
            output.data(f"{finding.severity:7}  {finding.subject}: {output.printable(finding.message)}")
            if finding.hint:
                output.data(f"{'':7}  → {finding.hint}")
    bad = [finding for finding in findings if finding.severity == "error"]
    if bad:
        things = "1 thing needs" if len(bad) == 1 else f"{len(bad)} things need"
        raise ConfigurationError(f"{things} mending", hint="do what the lines with → say, then run it again")
