"""What a report is made of, and what that lets its label say. Pure: nodes/desk.py opens the sources.

A report that is made of others names them: its label holds their items in `derived_from`, and their originators beside
this party, each of which must consent to its release (step 8). It may not say more than they do together; what it does
not say, they say for it. Specification: docs/spec/policy.md, "Combination".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from exchange.errors import BadLabel, MalformedInput
from exchange.names import PartyId
from exchange.policy.codec import encode_label
from exchange.policy.combine import Combination, Source, combine
from exchange.policy.model import Label
from exchange.policy.product import NO_SCALES, defaults_of, wider
from exchange.policy.readers import Scales
from exchange.policy.text import ParsedLabel


@dataclass(frozen=True, slots=True)
class Origin:
    """The sources of a report, put together."""

    items: frozenset[bytes]
    """Hashes of the reports that its author names."""
    allowed: Combination
    """What they allow together."""
    defaults: Mapping[str, Any]
    """The same as label fields, for what the author's label leaves out."""
    scales: Scales
    """By which this party compares clearances."""

    @classmethod
    def of(
        cls, items: Sequence[bytes], sources: Sequence[Source], *, me: PartyId, scales: Scales = NO_SCALES
    ) -> "Origin":
        """Put sources together; this party becomes an originator beside theirs.

        Raises:
            BadLabel: they cannot go into one report.
        """
        found = combine(sources)
        allowed = replace(found, originators=found.originators | {me})
        return cls(frozenset(items), allowed, defaults_of(allowed, scales=scales), scales)


def derived(parsed: ParsedLabel, origin: Origin | None) -> ParsedLabel:
    """Return the label with its sources in it.

    Raises:
        BadLabel: it is wider than its sources allow, and names every field; or it names a source that is none.
    """
    label = parsed.label
    named = origin.items | origin.allowed.derived_from if origin else frozenset()
    unknown = [item.hex() for item in label.derived_from if item not in named]
    if unknown:
        raise BadLabel(
            f"{unknown[0][:12]} is no source of this report",
            place="provenance.derived_from",
            hint=f"name it in the push: --derived-from {unknown[0][:12]}",
        )
    if origin is None:
        return parsed
    allowed = origin.allowed
    label = replace(
        label,
        originators=_sorted(allowed.originators),
        derived_from=_sorted(named),
        root_sources=_sorted({*label.root_sources, *allowed.root_sources}),
    )
    found = wider(
        label, parsed.release, than=replace(allowed, derived_from=frozenset(label.derived_from)), scales=origin.scales
    )
    if found:
        told = "; ".join(f"{each.field}: {each.found}, allowed is {each.allowed}" for each in found)
        raise BadLabel(
            f"the label is wider than what the report is made of: {told}",
            place=found[0].field,
            hint="narrow these fields, or leave them out: the sources then fill them in",
        )
    return replace(parsed, label=_within_limits(label))


def _within_limits(label: Label) -> Label:
    try:
        encode_label(label)
    except MalformedInput as error:
        raise BadLabel(f"too much for one label: {error}", hint="make two reports of fewer sources") from error
    return label


def _sorted(values: Any) -> tuple[Any, ...]:  # Any: names or hashes
    return tuple(sorted(values))
