"""`concord agreement`: draft, check, sign and follow agreements.

An agreement is a text that people read. Signing shows what it permits, clause by clause, and what only people can keep.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from exchange.errors import BadInput, Conflict, NotFound
from exchange.names import exchange_name, party_id
from exchange.policy.agreement import Term, promises_in
from exchange.policy.agreement_text import AgreementTerms, draft_agreement_text, parse_agreement_text
from exchange.receipts.codec import encode_agreement_text
from exchange.runtime.clock import now_ms
from exchange.runtime.secrets import read_passphrase
from nodes import agreement_file as files
from nodes import config
from nodes.admin import output
from nodes.admin.options import DEFAULT_HOME, Json, NodeHome, PassphraseFd, PassphraseFile, Yes
from nodes.admin.plain import plain
from nodes.node_client import connect
from nodes.reportfile import naming, read_bounded
from nodes.root_home import open_root
from nodes.v1 import node_service_pb2 as pb

app = typer.Typer(help="Draft, check, sign and follow agreements.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Agreement text (YAML) or signed file.")]
ID_LEAST = 6
"""So many digits of an id name an agreement."""

YEAR_MS = 365 * 24 * 60 * 60 * 1000


@app.command()
def draft(
    parties: Annotated[list[str], typer.Argument(metavar="PARTY...", help="Partner ids, as in XA XV.")],
    title: Annotated[str, typer.Option(help="Title of the agreement.")] = "Title of the agreement",
    years: Annotated[int, typer.Option(min=1, max=50, help="How long it is to hold.")] = 2,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write here; stdout when left out.")] = None,
) -> None:
    """Write an agreement text to edit: it is complete, and permits little.

    Example: concord agreement draft XA XV --title "Liaison protocol" --out liaison.yaml
    """
    now = now_ms() // 86_400_000 * 86_400_000
    members = [party_id(party) for party in parties]
    if len(set(members)) < max(2, len(members)):
        raise BadInput("an agreement is between two parties or more, each named once", hint="as in XA XV")
    text = draft_agreement_text(members, title, valid_from_ms=now, valid_until_ms=now + years * YEAR_MS)
    if out is None:
        output.data(text)
        return
    if out.exists():
        raise Conflict(f"{out} exists", hint="choose another name")
    out.write_text(text, encoding="utf-8")
    output.say(f"edit {out}, then: concord agreement check {out}")


@app.command()
def check(file: FileArgument, as_json: Json = False) -> None:
    """Check a text, or a signed file, and show what it permits, clause by clause. Nothing is stored or sent.

    Example: concord agreement check liaison.yaml
    """
    signatures = 0
    with naming(file):
        data = read_bounded(file, files.ARMOURED_BYTES, "agreement")
        if files.is_signed_file(data):
            opened = files.open_file(data)
            data, signatures = opened.agreement.text, len(opened.signed.agreement.signatures)
        terms = parse_agreement_text(data)
    if as_json:
        output.as_json(
            {
                "title": terms.title,
                "version": terms.version,
                "parties": list(terms.parties),
                "valid_from_ms": terms.valid_from_ms,
                "valid_until_ms": terms.valid_until_ms,
                "clauses": [term.clause for term in terms.terms],
                "promises": list(terms.promises),
                "signatures": signatures,
            }
        )
        return
    _show(terms, promises_in(terms))
    if signatures:
        output.say(f"it carries {signatures} of {len(terms.parties)} signatures; a node verifies them")


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
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Sign an agreement with your party's root, and hand it to the node.

    The node passes it to the other parties' nodes as soon as all have signed, and has the relay put it into force.

    Example: concord agreement sign liaison.yaml --root root-xa --out liaison.agreement
    """
    with naming(file):
        data = read_bounded(file, files.ARMOURED_BYTES, "agreement")
        signed = files.open_file(data) if files.is_signed_file(data) else None
        terms = parse_agreement_text(signed.agreement.text if signed else data)
    if root is not None:
        _show(terms, promises_in(terms))
        output.ask("sign this agreement with your root?", yes=yes, refusal="not signed")
        key = open_root(
            root, read_passphrase(fd=passphrase_fd, file=passphrase_file, prompt="Passphrase of the root: ")
        )
        if signed is None:
            name = exchange_name(exchange or config.load(home).exchange)
            signed = files.first_signature(data, key.key, exchange=name)
        else:
            signed = files.next_signature(signed, key.key)
        files.must_be_party(signed, key.party)
    if signed is None:
        raise BadInput(f"{file} is not signed yet", hint="concord agreement sign FILE --root ROOT")
    _deliver(signed, home, out, hand_over=hand_over)


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
    """List the agreements to which this node's party is a party.

    Example: concord agreement list
    """
    found = _agreements(home)
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


@app.command()
def show(
    agreement: Annotated[str, typer.Argument(metavar="ID", help="Id or the beginning of it, or the title.")],
    home: NodeHome = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Show one agreement: its standing, what it permits, what only people can keep, and its text.

    Example: concord agreement show 3f9a1c
    """
    begins = agreement.lower() if len(agreement) >= ID_LEAST else None
    found = [a for a in _agreements(home) if a.title == agreement or (begins and a.id.startswith(begins))]
    if len({a.id for a in found}) > 1:
        raise Conflict(f"{agreement[:80]!r} names several agreements", hint="give more of the id")
    if not found:
        raise NotFound(f"no agreement {agreement[:80]!r}", hint="concord agreement list")
    summary = max(found, key=lambda a: a.version)
    if as_json:
        output.as_json(plain(summary))
        return
    output.fields(
        {
            "agreement": summary.id,
            "status": summary.status,
            "commitment": summary.commitment,
            **({"still to sign": ", ".join(summary.missing)} if summary.missing else {}),
        }
    )
    if summary.text:
        _show(parse_agreement_text(summary.text), summary.promises)
        output.data("\n" + output.printable(summary.text.decode()).rstrip())


def _agreements(home: Path) -> list[pb.AgreementSummary]:
    with connect(home) as node:
        return list(node.ListAgreements(pb.ListAgreementsRequest()).agreements)


def _show(terms: AgreementTerms, promises: Sequence[str]) -> None:
    """Show what the text permits in words, so that nobody signs what they did not see."""
    output.fields(
        {
            "title": terms.title,
            "version": str(terms.version),
            "parties": ", ".join(terms.parties),
            "rests on": f"{terms.legal_basis.kind}: {terms.legal_basis.citation}",
            "in force": f"{output.when(terms.valid_from_ms)} to {output.when(terms.valid_until_ms)}",
        }
    )
    rows = [_term(term) for term in terms.terms]
    output.table(("clause", "from", "to", "up to", "categories", "purposes", "personal data", "places"), rows)
    output.data("")
    columns = ("clause", "use in", "actions", "onward", "cleared in advance", "as evidence", "national", "kept")
    output.table(columns, [_limits(term) for term in terms.terms])
    for promise in promises:
        output.data(f"only people can keep: {output.printable(promise)}")


def _limits(term: Term) -> tuple[str, ...]:
    national = (f"{each.policy_id}: {', '.join(each.classifications)}" for each in term.national)
    return (
        term.clause,
        ", ".join(term.use_in) or "any",
        term.actions_max.word,
        term.onward_default.word,
        ", ".join(term.pre_cleared) or "-",
        term.evidence_use.word,
        "; ".join(national) or "-",
        f"{term.retention_max_days} days" if term.retention_max_days else "unlimited",
    )


def _term(term: Term) -> tuple[str, ...]:
    return (
        term.clause,
        ", ".join(term.senders) or "any",
        ", ".join(term.recipients) or "any",
        f"TLP:{term.ceiling.word.upper()}",
        ", ".join(c.word for c in term.categories if c not in term.denied_categories),
        ", ".join(p.word for p in term.purposes),
        term.personal_data.word + (", special categories too" if term.special_categories else ""),
        "any" if term.about_any else ", ".join(term.about),
    )
