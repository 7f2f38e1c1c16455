"""Ask a person what the other side reads out."""

import sys

import typer

from exchange.errors import BadInput
from nodes.admin import output


def ask_fingerprint() -> str:
    """Return first and last group of the fingerprint that the other side reads; BadInput when nobody is there."""
    if not sys.stdin.isatty():
        raise BadInput("nobody is there to ask", hint="give --fingerprint, all of it, as the other side read it")
    output.say("let the other side read its fingerprint to you; every group must match")
    first = typer.prompt("First group that they read", err=True)
    last = typer.prompt("Last group that they read", err=True)
    return f"{first} {last}"
