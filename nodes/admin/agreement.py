"""`concord agreement`: draft, check, sign and follow agreements.

An agreement is a text that people read. Signing shows what it permits, clause by clause, and what only people can keep.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from exchange.errors import BadInput, Conflict, NotFound
from exchange.names import exchange_name, party_id
from exchange.policy.agreement import payload_sha256, promises_in
from exchange.policy.agreement_diff import difference
from exchange.policy.agreement_lint import lint
from exchange.policy.agreement_text import AgreementTerms, draft_agreement_text, parse_agreement_text
from exchange.receipts.codec import decode_agreement_text, encode_agreement_text
from exchange.runtime.clock import now_ms
from exchange.runtime.secrets import read_passphrase
from nodes import agreement_file as files
from nodes import config
from nodes.admin import agreement_changes as changes
from nodes.admin import output
from nodes.admin.agreement_names import known_agreements, named
from nodes.admin.agreement_simulate import simulate
from nodes.admin.agreement_views import (
    difference_json,
    show_differences,
    show_standing,
    show_terms,
    show_warnings,
    warning_json,
)
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome, PassphraseFd, PassphraseFile, Yes
from nodes.admin.plain import plain
from nodes.node_client import connect
from nodes.reportfile import naming, read_bounded
from nodes.root_home import open_root
from nodes.v1 import agreements_pb2 as pb

app = typer.Typer(help="Draft, check, sign and follow agreements.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Agreement text (YAML) or signed file.")]
YEAR_MS = 365 * 24 * 60 * 60 * 1000


@app.command()
def draft(
    parties: Annotated[list[str], typer.Argument(metavar="PARTY...", help="Partner ids, as in XA XV.")],
    title: Annotated[str, typer.Option(help="Title of the agreement.")] = "Title of the agreement",
    years: Annotated[int, typer.Option(min=1, max=50, help="How long it is to hold.")] = 2,
    accession: Annotated[
        str, typer.Option(help="Who may join later by a signed statement: none, any, or parties as in XO,XH.")
    ] = "none",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write here; stdout when left out.")] = None,
) -> None:
    """Write an agreement text to edit: it is complete, and permits little.

    Example: concord agreement draft XA XV --title "Liaison protocol" --out liaison.yaml
    """
    now = now_ms() // 86_400_000 * 86_400_000
    members = [party_id(party) for party in parties]
    closed = accession == "none"
    if len(set(members)) < max(2 if closed else 1, len(members)):
        raise BadInput("an agreement is between two parties or more, each named once", hint="as in XA XV")
    joining = accession if accession in ("none", "any") else f"[{', '.join(map(party_id, accession.split(',')))}]"
    text = draft_agreement_text(
        members, title, valid_from_ms=now, valid_until_ms=now + years * YEAR_MS, accession=joining
    )
    parse_agreement_text(text.encode())
    if out is None:
        output.data(text)
        return
    if out.exists():
        raise Conflict(f"{out} exists", hint="choose another name")
    out.write_text(text, encoding="utf-8")
    output.say(f"edit {out}, then: concord agreement check {out}")


@app.command()
def check(
    file: FileArgument,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Show what differs from this text or signed file, clause by clause."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a text, or a signed file, and show what it permits, clause by clause. Nothing is stored or sent.

    Warns of clauses that never count, and of what deserves a second look; says what only people can keep.

    Example: concord agreement check liaison.yaml
    """
    read = _read(file)
    terms, signed = read.terms, read.signed
    signatures = len(signed.signed.agreement.signatures) if signed else 0
    warnings = lint(terms, now_ms=now_ms())
    differences = difference(_read(against).terms, terms) if against else ()
    if as_json:
        output.as_json(
            {
                "title": terms.title,
                "version": terms.version,
                "parties": list(terms.parties),
                "may_accede": "any" if terms.anyone_may_accede else list(terms.may_accede),
                "valid_from_ms": terms.valid_from_ms,
                "valid_until_ms": terms.valid_until_ms,
                "clauses": [term.clause for term in terms.terms],
                "promises": promises_in(terms),
                "signatures": signatures,
                "warnings": [warning_json(each) for each in warnings],
                "differences": [difference_json(each) for each in differences],
            }
        )
        return
    show_terms(terms)
    if against:
        output.data("")
        show_differences(differences, against=str(against))
    show_warnings(warnings)
    _say_promises(terms)
    if signatures:
        output.say(f"it carries {signatures} of {len(terms.parties)} signatures; a node verifies them")


@dataclass(frozen=True, slots=True)
class _Read:
    """A text or a signed file, read once: what is shown is what is signed."""

    text: bytes
    terms: AgreementTerms
    signed: files.AgreementFile | None


def _read(file: Path) -> _Read:
    with naming(file):
        data = read_bounded(file, files.ARMOURED_BYTES, "agreement")
        signed = files.open_file(data) if files.is_signed_file(data) else None
        text = signed.agreement.text if signed else data
        return _Read(text, parse_agreement_text(text), signed)


def _say_promises(terms: AgreementTerms) -> None:
    count = len(promises_in(terms))
    above = "the clause" if len(terms.terms) == 1 else f"the {len(terms.terms)} clauses"
    output.say(f"software enforces {above} above; {count} more only people can keep")


@app.command()
def sign(
    file: FileArgument,
    root: Annotated[
        Path | None, typer.Option("--root", help="Home of your party's root. Without it the file is only handed over.")
    ] = None,
    home: NodeHome = DEFAULT_HOME,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the signed file here.")] = None,
    hand_over: Annotated[
        bool, typer.Option("--hand-over/--no-hand-over", help="Give the signed file to the running node.")
    ] = True,
    exchange: Annotated[str, typer.Option(help="Exchange, when the root's machine has no node.")] = "",
    previous: Annotated[
        Path | None, typer.Option("--previous", help="Signed file of the version before, for version 2 and later.")
    ] = None,
    counters: Annotated[
        Path | None, typer.Option("--counters", help="Signed file of the proposal that this text answers.")
    ] = None,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Sign an agreement with your party's root, and hand it to the node.

    The node passes it to the other parties' nodes as soon as all have signed, and has the relay put it into force.

    Example: concord agreement sign liaison.yaml --root root-xa --out liaison.agreement
    """
    read = _read(file)
    signed = read.signed
    if root is not None:
        before = _before(previous, counters, signed)
        _show_before_signing(read.terms, before)
        output.ask("sign this agreement with your root?", yes=yes, refusal="not signed")
        key = open_root(
            root, read_passphrase(fd=passphrase_fd, file=passphrase_file, prompt="Passphrase of the root: ")
        )
        if signed is None:
            signed = files.first_signature(
                read.text,
                key.key,
                exchange=exchange_name(exchange or config.load(home).exchange),
                previous=before.agreement if before and previous else None,
                counters=before.agreement if before and counters else None,
            )
        else:
            signed = files.next_signature(signed, key.key)
        files.must_be_party(signed, key.party)
    if signed is None:
        raise BadInput(f"{file} is not signed yet", hint="concord agreement sign FILE --root ROOT")
    _deliver(signed, home, out, hand_over=hand_over)


def _before(
    previous: Path | None, counters: Path | None, signed: files.AgreementFile | None
) -> files.AgreementFile | None:
    """Return the signed file that a text follows or answers."""
    path = previous or counters
    if path is None:
        return None
    if previous and counters:
        raise BadInput("a text follows a version or answers a proposal", hint="give --previous or --counters")
    before = _read(path).signed
    if before is None:
        raise BadInput(f"{path} is not a signed file", hint="name the file that concord agreement sign wrote")
    if signed and payload_sha256(before.agreement) not in (
        signed.agreement.previous_sha256,
        signed.agreement.counters_sha256,
    ):
        raise BadInput(f"the file to sign neither follows nor answers {path}", hint="ask who drafted it")
    return before


def _show_before_signing(terms: AgreementTerms, before: files.AgreementFile | None) -> None:
    show_terms(terms)
    if before is not None:
        differences = difference(parse_agreement_text(before.agreement.text), terms)
        output.data("")
        show_differences(differences, against=f"version {before.agreement.version} as it was proposed")
    show_warnings(lint(terms, now_ms=now_ms()))
    _say_promises(terms)


def _deliver(signed: files.AgreementFile, home: Path, out: Path | None, *, hand_over: bool) -> None:
    if out is not None:
        out.write_text(files.written(signed), encoding="ascii")
        output.data(str(out))
    missing = len(signed.agreement.parties) - len(signed.signed.agreement.signatures)
    if not hand_over:
        words = "1 signature is" if missing == 1 else f"{missing or 'no'} signatures are"
        output.say(f"{words} missing; a node verifies them when the file is handed over")
        return
    request = pb.ImportAgreementRequest(agreement=encode_agreement_text(signed.signed))
    with connect(home) as node:
        summary = node.ImportAgreement(request).agreement
    output.say(f"{summary.title}: {summary.status}")
    if summary.missing:
        output.say(f"still to sign: {', '.join(summary.missing)}")


@app.command("list")
def list_agreements(home: NodeHome = DEFAULT_HOME, as_json: Json = False) -> None:
    """List the agreements to which this node's party is a party, and those that it may accede to.

    Example: concord agreement list
    """
    found = known_agreements(home)
    if as_json:
        output.as_json([plain(summary) for summary in found])
        return
    rows = [
        (
            output.short(summary.id),
            str(summary.version),
            summary.status,
            ", ".join(summary.parties),
            output.when(summary.valid_until_ms),
            summary.title,
        )
        for summary in found
    ]
    output.table(("agreement", "version", "status", "parties", "until", "title"), rows, empty="no agreements yet")
    waiting = [summary for summary in found if any(event.acknowledge for event in summary.events)]
    for summary in waiting:
        output.say(f"a notice waits: concord agreement acknowledge {output.short(summary.id)}")


@app.command()
def show(
    agreement: Annotated[str, typer.Argument(metavar="ID", help="Id or the beginning of it, or the title.")],
    home: NodeHome = DEFAULT_HOME,
    version: Annotated[int, typer.Option(min=0, help="Version; the newest when left out.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the signed file here.")] = None,
    as_json: Json = False,
) -> None:
    """Show one agreement: its standing, what it permits, what only people can keep, and what changed since.

    Example: concord agreement show 3f9a1c
    """
    known = known_agreements(home)
    found = [each for each in named(known, agreement) if version in (0, each.version)]
    if not found:
        raise NotFound(f"no version {version} of {agreement[:80]!r}", hint="concord agreement list")
    summary = max(found, key=lambda each: each.version)
    if out is not None:
        with connect(home) as node:
            answer = node.ExportAgreement(pb.ExportAgreementRequest(commitment=summary.commitment))
        text = files.written(files.understood(decode_agreement_text(answer.agreement)))
        out.write_text(text, encoding="ascii")
        output.data(str(out))
        return
    if as_json:
        output.as_json(plain(summary))
        return
    show_standing(summary)
    if summary.text:
        terms = parse_agreement_text(summary.text)
        show_terms(terms)
        _show_what_changed(summary, terms, known)
        output.data("\n" + output.printable(summary.text.decode()).rstrip())


def _show_what_changed(
    summary: pb.AgreementSummary, terms: AgreementTerms, known: Sequence[pb.AgreementSummary]
) -> None:
    """Show the difference to the proposal that a text answers, or to the version before, where these are known."""
    for digest, said in ((summary.counters_sha256, "the proposal that it answers"), (summary.previous_sha256, "")):
        for other in known:
            if digest and other.payload_sha256 == digest and other.text:
                against = said or f"version {other.version}"
                output.data("")
                show_differences(difference(parse_agreement_text(other.text), terms), against=against)
                return


app.command()(simulate)
app.command()(changes.accede)
app.command()(changes.suspend)
app.command()(changes.resume)
app.command()(changes.terminate)
app.command()(changes.acknowledge)
