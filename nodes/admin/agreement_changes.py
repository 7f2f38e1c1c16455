"""`concord agreement accede | suspend | resume | terminate | acknowledge`: what a party says after the signatures.

All but the last are statements of the party's root. Where the root's machine has no node they are written to a file
(`--no-hand-over --out FILE`); the same command with that file in the place of the agreement hands it over.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from exchange.crypto.codec import encode_signed
from exchange.errors import BadInput
from exchange.names import ExchangeName, exchange_name
from exchange.policy.agreement import AgreementRef, held_sentence, ref_of
from exchange.policy.agreement_text import parse_agreement_text
from exchange.policy.changes.model import NoticeAction
from exchange.receipts.codec import encode_agreement_text
from exchange.runtime.armour import read_armour, write_armour
from exchange.runtime.clock import now_ms
from exchange.runtime.secrets import read_passphrase
from exchange.wire import strict_parse
from nodes import agreement_file as files
from nodes import config
from nodes.admin import output
from nodes.admin.agreement_names import known_agreements, named
from nodes.admin.agreement_views import show_terms
from nodes.admin.options import DEFAULT_HOME, NodeHome, PassphraseFd, PassphraseFile, Yes
from nodes.node_client import connect
from nodes.reportfile import naming, read_bounded
from nodes.root_home import Root, open_root
from nodes.v1 import agreements_pb2 as pb

KIND = "AGREEMENT CHANGE"
"""Kind of the armoured file that goes from an offline root to its node."""

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Signed agreement file, or a change file.")]
AgreementArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Id or the beginning of it, the title, the signed file, or a change file.")
]
RootOption = Annotated[Path | None, typer.Option("--root", help="Home of your party's root.")]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="Write the change file here.")]
HandOver = Annotated[
    bool, typer.Option("--hand-over/--no-hand-over", help="Give the signed statement to the running node.")
]
Exchange = Annotated[str, typer.Option(help="Exchange, when the root's machine has no node.")]
Text = Annotated[str, typer.Option("--text", help="Why, for the other parties.")]


def accede(
    file: FileArgument,
    root: RootOption = None,
    home: NodeHome = DEFAULT_HOME,
    out: OutOption = None,
    hand_over: HandOver = True,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Join an agreement that lets you, by one statement of your party's root. Shows first what it permits.

    Example: concord agreement accede corridor.agreement --root root-xo
    """
    with naming(file):
        data = read_bounded(file, files.ARMOURED_BYTES, "agreement")
        request = _change_file(data)
        if request is None:
            opened = files.open_file(data)
    if request is None:
        show_terms(parse_agreement_text(opened.agreement.text))
        output.ask("join this agreement with your root?", yes=yes, refusal="not joined")
        key = _opened(root, passphrase_file, passphrase_fd)
        signed = files.signed_accession(opened.view, key.key, party=key.party, now_ms=now_ms())
        request = pb.ChangeAgreementRequest(
            change=encode_signed(signed), agreement=encode_agreement_text(opened.signed)
        )
    _deliver(request, home, out, hand_over=hand_over)


def suspend(
    agreement: AgreementArgument,
    root: RootOption = None,
    text: Text = "",
    home: NodeHome = DEFAULT_HOME,
    out: OutOption = None,
    hand_over: HandOver = True,
    exchange: Exchange = "",
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Suspend an agreement for your party: nothing new flows to it or from it until you resume. The others are told.

    Example: concord agreement suspend 3f9a1c --root root-xa --text "Under review until the ministers have met"
    """
    given = _Given(agreement, root, text, home, out, hand_over, exchange, yes, passphrase_file, passphrase_fd)
    _notice(NoticeAction.SUSPEND, given)


def resume(
    agreement: AgreementArgument,
    root: RootOption = None,
    text: Text = "",
    home: NodeHome = DEFAULT_HOME,
    out: OutOption = None,
    hand_over: HandOver = True,
    exchange: Exchange = "",
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Lift your party's own suspension of an agreement. The others are told.

    Example: concord agreement resume 3f9a1c --root root-xa --text "The review is over"
    """
    given = _Given(agreement, root, text, home, out, hand_over, exchange, yes, passphrase_file, passphrase_fd)
    _notice(NoticeAction.RESUME, given)


def terminate(
    agreement: AgreementArgument,
    root: RootOption = None,
    text: Text = "",
    home: NodeHome = DEFAULT_HOME,
    out: OutOption = None,
    hand_over: HandOver = True,
    exchange: Exchange = "",
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Leave an agreement, for good. Says what becomes of held items; the others are told, and acknowledge.

    Example: concord agreement terminate 3f9a1c --root root-xa --text "Replaced by the treaty of 2027"
    """
    given = _Given(agreement, root, text, home, out, hand_over, exchange, yes, passphrase_file, passphrase_fd)
    _notice(NoticeAction.TERMINATE, given)


def acknowledge(
    agreement: Annotated[str, typer.Argument(metavar="ID", help="Id or the beginning of it, or the title.")],
    home: NodeHome = DEFAULT_HOME,
) -> None:
    """Acknowledge every notice that other parties gave on an agreement; they are told that you took note.

    Example: concord agreement acknowledge 3f9a1c
    """
    found = named(known_agreements(home), agreement)
    with connect(home) as node:
        answer = node.AcknowledgeAgreement(pb.AcknowledgeAgreementRequest(id=found[0].id))
    rows = [(output.when(each.at_ms), each.party, each.action, each.text) for each in answer.notices]
    output.table(("when", "party", "said", "why"), rows, empty="no notice waits")
    if any(each.action == NoticeAction.TERMINATE.word for each in answer.notices):
        output.say(found[0].held_items)


@dataclass(frozen=True, slots=True)
class _Given:
    """What the three notices have in common."""

    agreement: str
    root: Path | None
    text: str
    home: Path
    out: Path | None
    hand_over: bool
    exchange: str
    yes: bool
    passphrase_file: Path | None
    passphrase_fd: int | None


@dataclass(frozen=True, slots=True)
class _About:
    """The agreement that a notice is about."""

    ref: AgreementRef
    title: str
    held_items: str


_QUESTIONS = {
    NoticeAction.SUSPEND: "suspend {!r} for your party? Nothing new flows to it or from it",
    NoticeAction.RESUME: "resume {!r} for your party?",
    NoticeAction.TERMINATE: "leave {!r} for good?",
}


def _notice(action: NoticeAction, given: _Given) -> None:
    path = Path(given.agreement)
    data = read_bounded(path, files.ARMOURED_BYTES, "agreement") if path.is_file() else b""
    request = None
    if data:
        with naming(path):
            request = _change_file(data)
    if request is None:
        if not given.text.strip():
            raise BadInput("a notice says why", hint='--text "..."')
        about = _about(data, path, given)
        if action is NoticeAction.TERMINATE:
            output.say(about.held_items)
        output.ask(_QUESTIONS[action].format(about.title), yes=given.yes, refusal="nothing was said")
        key = _opened(given.root, given.passphrase_file, given.passphrase_fd)
        signed = files.signed_notice(
            about.ref,
            key.key,
            exchange=_exchange(given),
            party=key.party,
            action=action,
            text=given.text.strip(),
            now_ms=now_ms(),
        )
        request = pb.ChangeAgreementRequest(change=encode_signed(signed))
    _deliver(request, given.home, given.out, hand_over=given.hand_over)


def _about(data: bytes, path: Path, given: _Given) -> _About:
    """Return the agreement by its signed file, or as the node knows it."""
    if data:
        with naming(path):
            view, text = (opened := files.open_file(data)).view, opened.agreement.text
        held = held_sentence(view.held_items, view.held_within_days)
        return _About(ref_of(view), parse_agreement_text(text).title, held)
    found = max(named(known_agreements(given.home), given.agreement), key=lambda each: each.version)
    ref = AgreementRef(bytes.fromhex(found.id), found.version, bytes.fromhex(found.commitment))
    return _About(ref, found.title, found.held_items)


def _exchange(given: _Given) -> ExchangeName:
    return exchange_name(given.exchange or config.load(given.home).exchange)


def _opened(root: Path | None, passphrase_file: Path | None, passphrase_fd: int | None) -> Root:
    if root is None:
        raise BadInput("this needs your party's root", hint="--root ROOT, or a change file that it has signed")
    prompt = "Passphrase of the root: "
    return open_root(root, read_passphrase(fd=passphrase_fd, file=passphrase_file, prompt=prompt))


def _change_file(data: bytes) -> pb.ChangeAgreementRequest | None:
    """Return what a change file holds; None for another kind of file."""
    if not data.lstrip().startswith(f"-----BEGIN CONCORD {KIND}-----".encode()):
        return None
    _, payload = read_armour(data.decode("ascii", "replace"), {KIND})
    return strict_parse(pb.ChangeAgreementRequest, payload, limit=files.ARMOURED_BYTES, what="a change file")


def _deliver(request: pb.ChangeAgreementRequest, home: Path, out: Path | None, *, hand_over: bool) -> None:
    if out is not None:
        out.write_text(write_armour(KIND, request.SerializeToString(deterministic=True)), encoding="ascii")
        output.data(str(out))
    if not hand_over:
        if out is None:
            raise BadInput("the statement would be lost", hint="--out FILE, or hand it over")
        return
    with connect(home) as node:
        answer = node.ChangeAgreement(request)
    summary = answer.agreement
    if answer.counts:
        output.say(f"{summary.title}: {summary.status}; in force for {', '.join(summary.parties) or 'nobody'}")
    else:
        # How it stands until then is between two states, and would only mislead.
        output.say(f"{summary.title}: it is kept, and holds once the relay has logged it: concord agreement show")
