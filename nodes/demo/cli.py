"""`concord demo`: the whole story on this machine, in about a minute."""

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from exchange.errors import Conflict
from nodes.admin import output
from nodes.demo import cast, enrol, lying_disk, proofs, rule_acts
from nodes.demo import play as play_
from nodes.demo.enrol import Home
from nodes.demo.exchange import Exchange, until_audited, until_in_force, until_ready
from nodes.demo.play import Act
from nodes.demo.processes import Processes
from nodes.demo.stage import Proven, Stage
from nodes.session import HOME_VARIABLE

app = typer.Typer(
    help="Eight partners exchange real reports on this machine, in about a minute.", invoke_without_command=True
)

MARKER = ".concord-demo"
"""Stands in a home that a demo made: only such a home is ever cleared."""

DemoHome = Annotated[Path, typer.Option("--home", help="Where everything is kept.")]
DEFAULT = Path("demo-home")


@app.callback()
def demo(
    context: typer.Context,
    home: DemoHome = DEFAULT,
    stop_after: Annotated[bool, typer.Option("--stop", help="Stop everything at the end.")] = False,
) -> None:
    """Play the demo: found an exchange, let eight partners join, sign agreements, exchange reports, prove it.

    It leaves the exchange running and says how to look around and how to stop it. Running it again starts anew.

    Example: concord demo
    """
    if context.invoked_subcommand is None:
        play(home.resolve(), stop_after=stop_after)


@app.command()
def stop(home: DemoHome = DEFAULT) -> None:
    """Stop the processes of a demo that was left running.

    Example: concord demo stop
    """
    stopped = Processes(home.resolve()).stop()
    output.say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


def play(path: Path, *, stop_after: bool) -> None:
    """Play the whole demo; whatever ends it early leaves nothing running."""
    clear(path)
    start = time.monotonic()
    home, processes = Home(path), Processes(path)
    finished = False
    # A pipe has no width of its own; tables should not be squeezed into 80 columns.
    console = Console() if Console().is_terminal else Console(width=140)
    try:
        with Stage(cast.players(), console) as stage:
            # A request to stop ends the demo as Ctrl-C does: through the same way out.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_, stage=stage: stage.stop())
            shown = _play(Exchange(home, processes, stage))
        finished = True
    finally:
        if stop_after or not finished:
            processes.stop()
    _summary(console, shown, seconds=time.monotonic() - start)
    if not stop_after:
        _look_around(console, path)


def _play(exchange: Exchange) -> list[Proven]:
    stage, home, processes = exchange.stage, exchange.home, exchange.processes
    stage.act("An exchange is founded")
    enrol.prepare(home)
    with stage.step("the council's root signs the genesis; the relay starts"):
        fingerprint = enrol.found(home, processes)
    for player in cast.players():
        with stage.step(f"{player.party}, {player.name}: invited, compared, admitted; its node starts"):
            enrol.join(home, player, processes, fingerprint)
    with stage.step("all eight nodes are connected and hold each other's prekeys"):
        until_ready(exchange)
    with stage.step("every party's root signs its agreements; they come into force"):
        enrol.sign_agreements(home)
        until_in_force(exchange)
    with stage.step(f"the council names all eight nodes as witnesses of the relay's logs; {enrol.QUORUM} must agree"):
        enrol.name_witnesses(home, cast.PLAYERS)
    with stage.step(
        "every node admits an administrator, a duty officer, a release desk; from now on calls need a session"
    ):
        os.environ[HOME_VARIABLE] = str(enrol.staff(home, cast.PLAYERS))
    shown = [_act(exchange, act) for act in play_.ACTS]
    stage.act("A relay that is killed, and whose disk lies")
    shown += lying_disk.play(exchange)
    shown += [_act(exchange, act) for act in (play_.EMBARGO_ENDS, play_.PROOF)]
    stage.act("What it proves, from the disks alone")
    with stage.step("promises, receipts and both logs are checked offline; the relay's files are searched"):
        until_audited(exchange)
        shown += proofs.offline(home)
    return [*shown, _act(exchange, play_.LAST)]


def _act(exchange: Exchange, act: Act) -> Proven:
    title, play_it = act
    exchange.stage.act(title)
    shown = play_it(exchange)
    exchange.stage.tell(shown.evidence, mark="→")
    return shown


def clear(path: Path) -> None:
    """Stop what an earlier demo left running here and make an empty home.

    Raises:
        Conflict: the directory holds something that no demo made.
    """
    if path.exists() and any(path.iterdir()) and not (path / MARKER).exists():
        raise Conflict(f"{path} holds something else", hint="choose another --home")
    if path.exists():
        Processes(path).stop()
        shutil.rmtree(path)
    path.mkdir(parents=True, mode=0o700)
    (path / MARKER).touch()


def _summary(console: Console, shown: list[Proven], *, seconds: float) -> None:
    took = Proven("quick to start", f"the whole story took {seconds:.0f} seconds")
    stage = Stage(cast.players(), console)
    stage.act("Promises and evidence")
    stage.rows(("promise", "evidence"), [(each.claim, each.evidence) for each in (*shown, took)])


def _look_around(console: Console, path: Path) -> None:
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    lines = [
        "The exchange is still running. Look around, as the duty officer of every node:",
        f"  export {HOME_VARIABLE}={shown}/operators/{enrol.DUTY_OFFICER}",
        f"  concord report list --home {shown}/xv",
        f"  concord report trace ITEM --home {shown}/xa      (an item of `concord report list --home {shown}/xa`)",
        f"  concord partner list --home {shown}/xo",
        f"  concord agreement list --home {shown}/xh",
        f"  concord log verify --full --home {shown}/xa",
        f"  concord verify {shown}/{rule_acts.PROOF}      (anywhere: it needs no node)",
        f"  concord relay status --home {shown}/relay",
        f"Stop it:  concord demo stop --home {shown}",
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
