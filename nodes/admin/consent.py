"""`concord consent`: ask originators to let a report be passed on, answer partners who ask, see who has answered."""

from collections.abc import Iterable, MutableSequence, Sequence
from typing import Annotated

import typer

from exchange.errors import BadInput
from exchange.policy.fields import moment
from exchange.policy.strict_yaml import node_of
from exchange.runtime.clock import now_ms
from nodes.admin import output
from nodes.admin.options import DEFAULT_HOME, Accept, Json, NodeHome, Yes
from nodes.admin.plain import plain
from nodes.admin.views import confirm_unusual, tell_unusual
from nodes.node_client import connect
from nodes.v1 import consent_pb2 as pb
from nodes.v1.node_service_pb2_grpc import NodeServiceStub

app = typer.Typer(help="Pass on what others originated, with their consent.", no_args_is_help=True)

Request = Annotated[str, typer.Argument(metavar="REQUEST", help="6 or more digits of the request.")]
To = Annotated[list[str], typer.Option("--to", help="Partner that it is for; repeat it for more.")]
OnlyTo = Annotated[list[str] | None, typer.Option("--to", help="Only about this partner; repeat it for more.")]
Purposes = Annotated[list[str], typer.Option("--purpose", help="What for: the label's word; repeat it for more.")]
OnlyFor = Annotated[list[str] | None, typer.Option("--purpose", help="Only for this purpose; repeat it for more.")]


@app.command()
def request(
    report: Annotated[str, typer.Argument(metavar="ID", help="Item (12 characters do), or the report's STIX id.")],
    to: To,
    purpose: Purposes,
    until: Annotated[str, typer.Option("--until", help="Until when: +30d, +12h, or as in 2026-01-31T12:00:00Z.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in words for the originators.")],
    ask_only: Annotated[bool, typer.Option("--ask-only", help="Do not pass it on when it is granted.")] = False,
    home: NodeHome = DEFAULT_HOME,
    accept: Accept = None,
    as_json: Json = False,
) -> None:
    """Ask every originator of a report to let you pass it on.

    When all of them have, the node passes it on by itself, if your agreement with the partner permits that. Whatever is
    unusual about that is asked about first, unless --ask-only.

    Example: concord consent request 3f9a1c --to XT --purpose protect_life --until +30d --reason "Embassy nearby."
    """
    wanted = pb.RequestConsentRequest(
        id=report,
        to=to,
        purposes=purpose,
        until_ms=_until(until),
        reason=reason,
        ask_only=ask_only,
        confirmed=accept or [],
    )
    with connect(home) as node:
        _look(node, pb.RehearseConsentRequest(ask=wanted), wanted.confirmed)
        reply = node.RequestConsent(wanted)
    if as_json:
        output.as_json(plain(reply))
        return
    output.data(reply.request)
    output.say(f"{', '.join(reply.originators)} must consent; who has: concord consent list")


@app.command("list")
def list_consents(
    home: NodeHome = DEFAULT_HOME,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest first.")] = 50,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only what somebody still has to answer.")] = False,
    as_json: Json = False,
) -> None:
    """List requests: asked by you, and received from partners; who has answered what, and who has not.

    Example: concord consent list --waiting
    """
    with connect(home) as node:
        reply = node.ListConsents(pb.ListConsentsRequest(limit=limit, unsettled_only=waiting))
    if as_json:
        output.as_json(plain(reply)["consents"])
        return
    columns = ("request", "way", "item", "asker", "state", "until", "partner", "answer", "words")
    output.table(columns, [row for each in reply.consents for row in _rows(each)], empty="no requests")
    if any(each.direction == "received" and each.state == "open" for each in reply.consents):
        output.say("answer with: concord consent grant REQUEST, or: concord consent refuse REQUEST --reason ...")


@app.command()
def grant(
    request: Request,
    to: OnlyTo = None,
    purpose: OnlyFor = None,
    until: Annotated[str, typer.Option("--until", help="Not as long as asked for: +12h, or a time.")] = "",
    text: Annotated[str, typer.Option("--text", help="Words for the asker.")] = "",
    home: NodeHome = DEFAULT_HOME,
    yes: Yes = False,
    accept: Accept = None,
    as_json: Json = False,
) -> None:
    """Let a partner pass your report on, as it asked or to less. A grant is not taken back: retract the report instead.

    Whatever is unusual about it is asked about one by one; --yes does not answer that, --accept does.

    Example: concord consent grant 8c41d0 --to XT --until +7d
    """
    wish = pb.GrantConsentRequest(
        request=request,
        to=to or [],
        purposes=purpose or [],
        until_ms=_until(until) if until else 0,
        text=text,
        confirmed=accept or [],
    )
    with connect(home) as node:
        rehearsal = node.RehearseConsent(pb.RehearseConsentRequest(grant=wish))
        _show(node.ListConsents(pb.ListConsentsRequest(limit=1000)).consents, request, as_json=as_json)
        _confirm(rehearsal, wish.confirmed)
        output.ask("let it be passed on?", yes=yes, refusal="nothing was granted")
        reply = node.GrantConsent(wish)
    if as_json:
        output.as_json(plain(reply))
        return
    for each in reply.granted:
        output.data(
            f"{reply.asker} may pass it on to {each.partner} until {output.when(each.until_ms)},"
            f" for {', '.join(each.purposes)}; hop {each.hop}"
        )


@app.command()
def refuse(
    request: Request,
    reason: Annotated[str, typer.Option("--reason", help="Why, in words for the asker.")],
    to: OnlyTo = None,
    home: NodeHome = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Answer a partner that it may not pass your report on. It may still be granted later.

    Example: concord consent refuse 8c41d0 --reason "Our source would be known."
    """
    with connect(home) as node:
        reply = node.RefuseConsent(pb.RefuseConsentRequest(request=request, to=to or [], reason=reason))
    if as_json:
        output.as_json(plain(reply))
        return
    output.data(f"{reply.asker} may not pass it on to {', '.join(reply.to)}")


@app.command("pass-on")
def pass_on(request: Request, home: NodeHome = DEFAULT_HOME, accept: Accept = None, as_json: Json = False) -> None:
    """Pass on what every originator has granted: after --ask-only, or once more to whom it could not go before.

    What is granted later goes by itself, so whatever is unusual is asked about for all whom the request names.

    Example: concord consent pass-on 8c41d0 --accept FIRST_TIME_TO_PARTNER:XT
    """
    wish = pb.PassOnRequest(request=request, confirmed=accept or [])
    with connect(home) as node:
        _look(node, pb.RehearseConsentRequest(pass_on=wish), wish.confirmed)
        reply = node.PassOn(wish)
    if as_json:
        output.as_json(plain(reply))
        return
    output.data(f"to {', '.join(reply.partners)}")
    output.say(f"follow it with: concord report trace {output.short(reply.item)}")


def _look(node: NodeServiceStub, call: pb.RehearseConsentRequest, confirmed: MutableSequence[str]) -> None:
    """Show what a call would come to, and ask about whatever is unusual."""
    _confirm(node.RehearseConsent(call), confirmed)


def _confirm(rehearsal: pb.RehearseConsentResponse, confirmed: MutableSequence[str]) -> None:
    rows = [(each.partner, each.gets_it, each.why or "-") for each in rehearsal.going]
    output.table(("partner", "gets it", "why"), rows, empty="nobody", to_stderr=True)
    tell_unusual(rehearsal.hints)
    confirm_unusual(rehearsal.hints, confirmed)


def _show(consents: Iterable[pb.Consent], request: str, *, as_json: bool) -> None:
    """Show what is asked before it is granted; the node says what is wrong with a request that is not here."""
    found = [each for each in consents if request and each.request.startswith(request)]
    if as_json or len(found) != 1:
        return
    asked = found[0]
    for name, value in {
        "asker": asked.asker,
        "item": asked.item,
        "to": ", ".join(asked.to),
        "for": ", ".join(asked.purposes),
        "until": output.when(asked.until_ms),
        "because": asked.reason or "-",
    }.items():
        output.say(f"{name}: {value}")


def _rows(consent: pb.Consent) -> list[Sequence[str]]:
    """Return one row for each answer; what they share stands in the first."""
    shared = (
        output.short(consent.request),
        consent.direction,
        output.short(consent.item),
        consent.asker,
        consent.state,
        output.when(consent.until_ms),
    )
    rows: list[Sequence[str]] = []
    for answer in consent.answers:
        words = (answer.partner, f"{answer.originator} {answer.state}", answer.reason or "-")
        rows.append((*(shared if not rows else ("",) * len(shared)), *words))
    return rows


def _until(text: str) -> int:
    try:
        return moment(now_ms())(node_of(text, error=BadInput, path="--until"))
    except BadInput as error:
        raise typer.BadParameter(
            f"{text[:80]!r} is not a time, as in +30d or 2026-01-31T12:00:00Z", param_hint="--until"
        ) from error
