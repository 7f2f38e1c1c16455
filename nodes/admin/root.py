"""`concord root`: the party root and the council, usually on a machine without network."""

from pathlib import Path
from typing import Annotated

import typer

from exchange.errors import NotAllowed
from exchange.names import party_id
from exchange.policy.model import Tlp
from exchange.runtime.clock import now_ms
from exchange.runtime.relay_info import read_relay_info
from exchange.runtime.secrets import read_passphrase
from nodes import root as party_root
from nodes.admin import output
from nodes.admin.heard import ask_fingerprint
from nodes.admin.holdings import farewell, holdings_view, read_holdings
from nodes.admin.options import PassphraseFd, PassphraseFile, Yes
from nodes.admin.relay_terms import limits, relay_keys
from nodes.admin.witnesses import witnesses
from nodes.ceremony import read_admission, read_invitation, write_admission, write_invitation
from nodes.expulsion_file import read_expulsion
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
from nodes.statement_file import read_statement, write_statement

app = typer.Typer(help="The party root and the council: keep them on a machine without network.", no_args_is_help=True)
app.command("witnesses")(witnesses)
app.command("relay-keys")(relay_keys)
app.command("limits")(limits)

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
def expel(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `concord partner expel` has written at a node.")],
    home: HomeOption = DEFAULT_ROOT_HOME,
    out: Annotated[Path | None, typer.Option("--out", help="Where to write; FILE.signed when left out.")] = None,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Expel a partner, as the council, for good: show what it holds and under which duties, and what cannot be undone.

    What it holds is what the node knew that wrote the file: that party's own reports. Where several council parties
    must sign, the next roots sign what this one has signed (root sign); any node publishes (partner publish).

    Example: concord root expel xt.expulsion --home xa-root
    """
    target = out or file.with_name(f"{file.name}.signed")
    check_free_file(target)
    with naming(file):
        request = read_expulsion(read_text(file))
        party, found = request.statement.party, read_holdings(request.holdings)
    holdings_view(party, found, to_stderr=True)
    farewell(party)
    task = request.task()
    for line in task.words():
        output.say(line)
    output.ask(f"Expel {party}, for good, as {public_root(home).party}?", yes=yes, refusal="not signed")
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

    Where several council parties must sign, the invitation stays here while FILE.statement, which holds no secret, goes
    from root to root (`root sign`); `root complete` puts their signatures into it.

    Example: concord root invite XV --home xa-root --relay relay.info --country XV --name "Velkar Office" --ceiling red
    --out xv.invitation
    """
    if ceiling not in CEILINGS:
        raise typer.BadParameter(f"{ceiling!r} is not one of {', '.join(CEILINGS)}", param_hint="--ceiling")
    statement = out.with_name(f"{out.name}.statement")
    for target in (out, statement):
        check_free_file(target)
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
    missing = party_root.still_missing(invitation.invitation, info.directory())
    if missing:
        write_file(statement, write_statement(invitation.invitation), secret=False)
        output.say(f"it is not complete: {missing} more council parties must sign {statement}")
        output.say(f"let each of them: concord root sign {statement}; keep {out} here until then: it is secret")
        output.say(f"then: concord root complete {out} SIGNED --out {out}.complete")
        return
    output.say(f"hand {out} to {invited} by a way that nobody else reads; it ends in {days} days")


@app.command()
def complete(
    invitation: Annotated[Path, typer.Argument(metavar="INVITATION", help="Invitation that root invite wrote.")],
    signed: Annotated[
        Path, typer.Argument(metavar="SIGNED", help="Its statement, as the last council root signed it.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Where to write the complete invitation. It is secret.")],
) -> None:
    """Put the signatures of the other council roots into an invitation.

    Example: concord root complete xv.invitation xv.invitation.statement.signed --out xv.complete
    """
    check_free_file(out)
    with naming(invitation):
        file = read_invitation(read_text(invitation))
    with naming(signed):
        made = party_root.complete(file, read_statement(read_text(signed)), now_ms())
    write_file(out, write_invitation(made), secret=True)
    output.data(str(out))
    output.say(f"hand {out} to {made.content.party} by a way that nobody else reads, and destroy {invitation}")


@app.command()
def admit(
    file: Annotated[Path, typer.Argument(metavar="REQUEST", help="Join request.")],
    home: HomeOption = DEFAULT_ROOT_HOME,
    fingerprint: Annotated[str, typer.Option(help="The other side's fingerprint, all of it: do not ask.")] = "",
    relay: Annotated[Path | None, typer.Option("--relay", help="relay.info: hand the admission to this relay.")] = None,
    with_: Annotated[
        Path | None, typer.Option("--with", help="The admission as other council roots have signed it so far.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where to write the admission.")] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Admit a partner after comparing its root's fingerprint by voice or in person.

    Where several council parties must sign, each compares for itself: the first writes the admission with --out, the
    next add to it with --with, and the last hands it to the relay.

    Example: concord root admit XV.join --home xa-root --relay relay.info
    Example: concord root admit XV.join --home xo-root --with XV.admission --relay relay.info
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
    so_far = None
    if with_ is not None:
        with naming(with_):
            so_far = read_admission(read_text(with_))
            party_root.check_admission(so_far, applicant)
    for line in applicant.words():
        output.say(line)
    party_root.compare_fingerprint(applicant, read_out=fingerprint or ask_fingerprint())
    root = _open(home, passphrase_file, passphrase_fd)
    admission = party_root.admit(root, home, applicant, now_ms(), so_far=so_far)
    missing = party_root.check_admission(admission, applicant)
    if out is not None:
        write_file(out, write_admission(admission), secret=False)
        output.data(str(out))
    if missing:
        _say_missing(missing, file, out)
    elif info is not None:
        from nodes import join_client  # noqa: PLC0415 - loads gRPC, which a machine without network does not need

        index = join_client.admit(info, admission)
        output.say(f"{applicant.claims.party} is admitted: entry {index} of the directory")


def _say_missing(missing: int, request: Path, out: Path | None) -> None:
    """Tell who must sign next, or fail where the signature that was made would be lost."""
    if out is None:
        raise NotAllowed(
            f"{missing} more council parties must sign it, so it was not handed to the relay",
            hint="repeat this with --out FILE, and hand that file to the next council root",
        )
    output.say(f"{missing} more council parties must sign; each compares the fingerprint for itself:")
    output.say(f"concord root admit {request} --with {out}, with --out while more are missing, else with --relay")


def _open(home: Path, passphrase_file: Path | None, passphrase_fd: int | None) -> Root:
    return open_root(home, read_passphrase(fd=passphrase_fd, file=passphrase_file, prompt="Passphrase of the root: "))
