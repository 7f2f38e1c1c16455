"""`concord root`: the party root and the council, usually on a machine without network."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from exchange.errors import BadInput
from exchange.names import party_id
from exchange.policy.model import Tlp
from exchange.runtime.clock import now_ms
from exchange.runtime.relay_info import read_relay_info
from exchange.runtime.secrets import read_passphrase
from nodes import root as party_root
from nodes.admin import output
from nodes.admin.options import PassphraseFd, PassphraseFile, Yes
from nodes.ceremony import write_admission, write_invitation
from nodes.reportfile import naming
from nodes.root_home import (
    MEMORY_MIB,
    Root,
    check_free_file,
    check_free_home,
    init_root,
    open_root,
    public_root,
    read_text,
    write_file,
)

app = typer.Typer(help="The party root and the council: keep them on a machine without network.", no_args_is_help=True)

HomeOption = Annotated[Path, typer.Option("--home", help="The root's home directory.")]
DEFAULT_ROOT_HOME = Path("~/.concord/root").expanduser()
PartyOption = Annotated[str, typer.Option("--party", help="Partner id, as in XA or FR.foreign-office.")]
CEILINGS = {level.word: level for level in Tlp}


@app.command()
def init(
    party: PartyOption,
    home: HomeOption = DEFAULT_ROOT_HOME,
    memory_mib: Annotated[
        int, typer.Option("--memory-mib", min=64, max=4096, help="Memory that each guess at the passphrase costs.")
    ] = MEMORY_MIB,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Make a party root and print its fingerprint. The home must be new.

    Example: concord root init --party XA --home xa-root
    """
    name = party_id(party)
    check_free_home(home)
    passphrase = read_passphrase(
        fd=passphrase_fd, file=passphrase_file, prompt="Passphrase for the new root: ", confirm=True
    )
    public = init_root(home, name, passphrase, memory_mib=memory_mib)
    output.data(public.fingerprint)
    output.say(f"the root of {name} is in {home}; hand out {home / 'root.pub'} and keep the rest")


@app.command()
def sign(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Genesis, node request, or a statement on a partner.")],
    home: HomeOption = DEFAULT_ROOT_HOME,
    out: Annotated[Path | None, typer.Option("--out", help="Where to write; FILE.signed when left out.")] = None,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Sign a genesis or a statement on a partner as a council root, or the request of this party's node.

    What needs more than one signature goes from root to root: sign what the root before has signed.

    Example: concord root sign node.request --home xv-root --out xv.credentials
    """
    target = out or file.with_name(f"{file.name}.signed")
    check_free_file(target)
    with naming(file):
        task = party_root.read_task(read_text(file))
    for line in task.words():
        output.say(line)
    output.ask(f"Sign this as {public_root(home).party}?", yes=yes, refusal="not signed")
    root = _open(home, passphrase_file, passphrase_fd)
    write_file(target, task.sign(root, now_ms()), secret=False)
    output.data(str(target))


@app.command()
def invite(
    party: Annotated[str, typer.Argument(metavar="PARTY", help="Partner id to invite, as in XV.")],
    relay: Annotated[Path, typer.Option("--relay", help="relay.info of the exchange.")],
    country: Annotated[str, typer.Option("--country", help="Country code of two capital letters.")],
    name: Annotated[str, typer.Option("--name", help="The partner's name for people.")],
    ceiling: Annotated[str, typer.Option("--ceiling", help=f"Strictest TLP it may receive: {', '.join(CEILINGS)}.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the invitation. It is secret.")],
    home: HomeOption = DEFAULT_ROOT_HOME,
    days: Annotated[int, typer.Option("--days", min=1, max=90, help="How long it can be used.")] = 14,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Invite a partner, as the council. Whoever holds the file can join once in its name.

    Example: concord root invite XV --home xa-root --relay relay.info --country XV --name "Velkar Office" --ceiling red
    --out xv.invitation
    """
    if ceiling not in CEILINGS:
        raise typer.BadParameter(f"{ceiling!r} is not one of {', '.join(CEILINGS)}", param_hint="--ceiling")
    check_free_file(out)
    with naming(relay):
        info = read_relay_info(read_text(relay))
    invited = party_id(party)
    root = _open(home, passphrase_file, passphrase_fd)
    invitation = party_root.invite(
        root,
        home,
        info,
        party=invited,
        country=country,
        display_name=name,
        ceiling=CEILINGS[ceiling],
        days=days,
        now_ms=now_ms(),
    )
    write_file(out, write_invitation(invitation), secret=True)
    output.data(str(out))
    output.say(f"genesis hash {info.genesis_hash.hex()}")
    output.say(f"hand {out} to {invited} by a way that nobody else reads; it ends in {days} days")


@app.command()
def admit(
    file: Annotated[Path, typer.Argument(metavar="REQUEST", help="Join request.")],
    home: HomeOption = DEFAULT_ROOT_HOME,
    fingerprint: Annotated[str, typer.Option(help="The other side's fingerprint, all of it: do not ask.")] = "",
    relay: Annotated[Path | None, typer.Option("--relay", help="relay.info: hand the admission to this relay.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where to write the admission.")] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Admit a partner after comparing its root's fingerprint by voice or in person.

    Example: concord root admit XV.join --home xa-root --relay relay.info
    """
    if relay is None and out is None:
        raise typer.BadParameter("give --relay to hand the admission over, --out to write it, or both")
    if out is not None:
        check_free_file(out)
    public_root(home)
    info = None
    if relay is not None:
        with naming(relay):
            info = read_relay_info(read_text(relay))
    with naming(file):
        applicant = party_root.judge_request(read_text(file), home, info)
    for line in applicant.words():
        output.say(line)
    party_root.compare_fingerprint(applicant, read_out=fingerprint or _ask_fingerprint())
    root = _open(home, passphrase_file, passphrase_fd)
    admission = party_root.admit(root, home, applicant, now_ms())
    if out is not None:
        write_file(out, write_admission(admission), secret=False)
        output.data(str(out))
    if info is not None:
        from nodes import join_client  # noqa: PLC0415 - loads gRPC, which a machine without network does not need

        index = join_client.admit(info, admission)
        output.say(f"{applicant.claims.party} is admitted: entry {index} of the directory")


def _ask_fingerprint() -> str:
    if not sys.stdin.isatty():
        raise BadInput("nobody is there to ask", hint="give --fingerprint, all of it, as the other side read it")
    output.say("let the other side read its fingerprint to you; every group must match")
    first = typer.prompt("First group that they read", err=True)
    last = typer.prompt("Last group that they read", err=True)
    return f"{first} {last}"


def _open(home: Path, passphrase_file: Path | None, passphrase_fd: int | None) -> Root:
    return open_root(home, read_passphrase(fd=passphrase_fd, file=passphrase_file, prompt="Passphrase of the root: "))
