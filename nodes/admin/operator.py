"""`concord operator`: people at this node's socket, each with a key of their own, roles and clearances."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exchange.errors import BadInput, NotFound
from exchange.policy.model import Tlp
from exchange.runtime.clock import now_ms
from exchange.runtime.secrets import read_passphrase, write_private
from nodes import operator_home, session
from nodes.admin import output
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome, PassphraseFd, PassphraseFile
from nodes.admin.plain import plain
from nodes.operator_home import operator_fingerprint
from nodes.reportfile import naming, read_bounded
from nodes.roles import Role, compatible, role
from nodes.v1 import operator_pb2 as pb

if TYPE_CHECKING:
    from nodes.permits import Act

app = typer.Typer(help="People at this node's socket: who they are, and what each may do.", no_args_is_help=True)

DAY_MS = 24 * 60 * 60 * 1000
KEY_FILE_BYTES = 64 * 1024

Name = Annotated[str, typer.Argument(help="Lower-case letters, digits and dashes.")]
OperatorHome = Annotated[
    Path,
    typer.Option("--operator-home", envvar=session.HOME_VARIABLE, help="Your own home, not the node's."),
]
DEFAULT_OPERATOR_HOME = session.DEFAULT_HOME.expanduser()
Key = Annotated[Path, typer.Option("--key", help="The operator's operator.pub.")]
Roles = Annotated[list[str], typer.Option("--role", help=f"One of {', '.join(Role)}; repeat it for more.")]
Ceiling = Annotated[str, typer.Option("--ceiling", help="Strictest TLP that may be pushed or released.")]
Clearances = Annotated[
    list[str] | None, typer.Option("--clearance", help="SCALE:LEVEL, as node.toml names them; one a scale.")
]
Attributes = Annotated[list[str] | None, typer.Option("--attribute", help="As node.toml names it; repeat it for more.")]
PermitFile = Annotated[Path, typer.Option("--out", help="Where to write the permit.")]
PermitDays = Annotated[int, typer.Option("--days", min=1, max=92, help="Days for which it counts.")]
Days = Annotated[int, typer.Option("--days", min=1, max=1095, help="Days until it ends.")]


@app.command()
def init(
    home: OperatorHome = DEFAULT_OPERATOR_HOME,
    memory_mib: Annotated[
        int, typer.Option("--memory-mib", min=64, max=4096, help="Memory that each guess at the passphrase costs.")
    ] = operator_home.MEMORY_MIB,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Make your key, on your own machine, and print its fingerprint. Hand operator.pub to an administrator.

    Example: concord operator init --operator-home ada
    """
    operator_home.check_free_home(home)
    passphrase = read_passphrase(
        fd=passphrase_fd, file=passphrase_file, prompt="Passphrase for the new key: ", confirm=True
    )
    key = operator_home.init_operator(home, passphrase, memory_mib=memory_mib)
    output.data(operator_fingerprint(key))
    output.say(f"hand {home / operator_home.PUBLIC} to an administrator of the node, and read them this fingerprint")


@app.command()
def add(
    name: Name,
    key: Key,
    roles: Roles,
    ceiling: Ceiling = "amber",
    clearance: Clearances = None,
    attribute: Attributes = None,
    days: Days = 365,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="With the node's passphrase while it is stopped: no administrator is left."),
    ] = False,
    home: NodeHome = DEFAULT_HOME,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Admit an operator. The first is an administrator, and closes the node to everybody without a session.

    Example: concord operator add ada --key operator.pub --role author --role auditor --ceiling amber
    """
    profile = _profile(name, key, roles, ceiling, clearance or [], attribute or [], days)
    if offline:
        passphrase = read_passphrase(fd=passphrase_fd, file=passphrase_file, prompt="Passphrase of the node: ")
        from nodes.operator_service import profile_of  # noqa: PLC0415 - loads what the other commands do without
        from nodes.recovery import add_offline  # noqa: PLC0415

        add_offline(home, passphrase, profile_of(profile))
        output.say(f"{name} is admitted; start the node, then: concord operator login")
        return
    from nodes.node_client import connect  # noqa: PLC0415 - loads gRPC, which `init` does without

    with connect(home) as node:
        added = node.AddOperator(pb.AddOperatorRequest(profile=profile)).operator
    if as_json:
        output.as_json(plain(added))
    else:
        output.data(added.fingerprint)
    output.say(f"compare this fingerprint with the one that {name} reads to you; revoke {name} if they differ")
    output.say(f"{name} can log in: concord operator login")


def _profile(
    name: str, key: Path, roles: list[str], ceiling: str, clearances: list[str], attributes: list[str], days: int
) -> pb.OperatorProfile:
    if ceiling not in {t.word for t in Tlp}:
        raise typer.BadParameter(f"{ceiling!r}; one of {', '.join(t.word for t in Tlp)}", param_hint="--ceiling")
    compatible([role(word) for word in roles])
    with naming(key):
        public = operator_home.read_operator_key(
            read_bounded(key, KEY_FILE_BYTES, "operator's key").decode("ascii", "replace")
        )
    return pb.OperatorProfile(
        name=name,
        key=public.raw,
        roles=roles,
        ceiling=ceiling,
        clearances=[_clearance(text) for text in clearances],
        attributes=attributes,
        until_ms=now_ms() + days * DAY_MS,
    )


def _clearance(text: str) -> pb.Clearance:
    scale, colon, level = text.partition(":")
    if not colon or not scale or not level:
        raise typer.BadParameter(f"{text!r} is not SCALE:LEVEL", param_hint="--clearance")
    return pb.Clearance(scale=scale, level=level)


@app.command("list")
def list_operators(home: NodeHome = DEFAULT_HOME, as_json: Json = False) -> None:
    """List the operators with their roles, ceilings and clearances.

    Example: concord operator list
    """
    from nodes.node_client import connect  # noqa: PLC0415

    with connect(home) as node:
        operators = node.ListOperators(pb.ListOperatorsRequest()).operators
    if as_json:
        output.as_json([plain(each) for each in operators])
        return
    rows = [
        (
            each.profile.name,
            each.status,
            ", ".join(each.profile.roles),
            each.profile.ceiling.upper(),
            ", ".join(f"{one.scale}:{one.level}" for one in each.profile.clearances) or "-",
            ", ".join(each.profile.attributes) or "-",
            output.when(each.profile.until_ms),
            output.when(each.login_ms),
            each.fingerprint,
        )
        for each in operators
    ]
    columns = ("operator", "status", "roles", "ceiling", "clearances", "attributes", "until", "login", "fingerprint")
    output.table(columns, rows, empty="no operators: whoever reaches the socket may do everything")


@app.command()
def revoke(name: Name, home: NodeHome = DEFAULT_HOME) -> None:
    """Refuse an operator from now on, and end every session.

    Example: concord operator revoke ada
    """
    from nodes.node_client import connect  # noqa: PLC0415

    with connect(home) as node:
        node.RevokeOperator(pb.RevokeOperatorRequest(name=name))
    output.say(f"{name} is refused from now on")


@app.command()
def login(
    own: OperatorHome = DEFAULT_OPERATOR_HOME,
    home: NodeHome = DEFAULT_HOME,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    as_json: Json = False,
) -> None:
    """Prove to the node who you are; the session lasts eight hours.

    Example: concord operator login --operator-home ada
    """
    passphrase = read_passphrase(fd=passphrase_fd, file=passphrase_file, prompt="Passphrase of your key: ")
    key = operator_home.open_operator(own, passphrase)
    from nodes.login_client import log_in  # noqa: PLC0415

    begun, profile = log_in(home, key)
    session.keep_session(own, home, begun)
    if as_json:
        output.as_json({**plain(profile), "session_until_ms": begun.until_ms})
        return
    output.data(f"{begun.operator} at {begun.party}: {', '.join(profile.roles)}")
    output.say(f"until {output.when(begun.until_ms)}; concord operator logout ends it earlier")


@app.command()
def logout(own: OperatorHome = DEFAULT_OPERATOR_HOME, home: NodeHome = DEFAULT_HOME) -> None:
    """End your session.

    Example: concord operator logout
    """
    if session.current_session(own, home) is None:
        raise BadInput(f"nobody is logged in at {home} from {own}", hint="concord operator login")
    from nodes.node_client import connect  # noqa: PLC0415

    try:
        with connect(home, operator_home=own) as node:
            node.Logout(pb.LogoutRequest())
    finally:
        # Also when the node is away: who leaves this machine must not leave the token on it.
        session.forget_session(own, home)
    output.say("logged out")


@app.command("permit-backup")
def permit_backup(
    out: PermitFile,
    own: OperatorHome = DEFAULT_OPERATOR_HOME,
    home: NodeHome = DEFAULT_HOME,
    days: PermitDays = 1,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Permit backups of a node for some days, as one of the two operators that it takes. The node may be stopped.

    Example: concord operator permit-backup --out rana.permit --days 30
    """
    from nodes import config, permits  # noqa: PLC0415 - load what the other commands do without

    settings = config.load(home)
    subject = permits.node_subject(settings.exchange, settings.party)
    _permit(permits.Act.BACKUP, subject, out, own, days, passphrase_file, passphrase_fd)


@app.command("permit-restore")
def permit_restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Backup that may be restored.")],
    out: PermitFile,
    own: OperatorHome = DEFAULT_OPERATOR_HOME,
    days: PermitDays = 1,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Permit that a node is made of this very backup, as one of the two operators that it takes.

    Example: concord operator permit-restore xv-friday.backup --out rana.permit
    """
    from exchange.runtime.backup_file import digest_of  # noqa: PLC0415
    from nodes import permits  # noqa: PLC0415

    if not file.is_file():
        raise NotFound(f"no file {file}", hint="check the name of the backup")
    subject = digest_of(file).hex()
    _permit(permits.Act.RESTORE, subject, out, own, days, passphrase_file, passphrase_fd)


def _permit(
    act: "Act",
    subject: str,
    out: Path,
    own: Path,
    days: int,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
) -> None:
    from nodes.permits import write_permit  # noqa: PLC0415

    passphrase = read_passphrase(fd=passphrase_fd, file=passphrase_file, prompt="Passphrase of your key: ")
    key = operator_home.open_operator(own, passphrase)
    write_private(out, write_permit(act, subject, key, now_ms=now_ms(), days=days).encode())
    output.data(str(out))
    output.say(
        f"to {act.verb} {subject}, until {output.when(now_ms() + days * DAY_MS)} UTC; it takes another operator's too"
    )


@app.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest first.")] = 100,
    before: Annotated[int, typer.Option(min=0, help="Go on before this number.")] = 0,
    home: NodeHome = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """List changes of operators, logins, and calls that were refused, newest first.

    Example: concord operator audit --json
    """
    from nodes.node_client import connect  # noqa: PLC0415

    with connect(home) as node:
        entries = node.ListAudit(pb.ListAuditRequest(limit=limit, before=before)).entries
    if as_json:
        output.as_json([plain(each) for each in entries])
        return
    rows = [
        (str(each.number), output.when(each.at_ms), each.operator or "-", each.action, each.subject, each.detail)
        for each in entries
    ]
    output.table(("number", "at", "operator", "action", "subject", "detail"), rows, empty="nothing yet")
    if len(entries) == limit:
        output.say(f"more: --before {entries[-1].number}")
