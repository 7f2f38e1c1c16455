"""The file that goes beside exported content: its marking, what was permitted, and what still holds. Pure.

Who opens the content with another program sees no label; this file carries it. It binds people, not software: nothing
outside the node keeps to it, and it says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import yaml

from exchange.envelope.model import Attachment
from exchange.policy.fields import instant_text
from exchange.policy.label_yaml import label_to_yaml
from exchange.policy.model import Label
from exchange.policy.use import Use
from nodes.vault import Opened

HEADER = """\
# Keep this file with the report: it says how that may be used. Outside the node only people can keep to it, and if its
# originator withdraws the report, this copy has to be found and destroyed by hand.
"""


@dataclass(frozen=True, slots=True)
class Handed:
    """Content that was handed out, to whom and for what."""

    item: bytes
    opened: Opened
    use: Use
    who: str
    at_ms: int


def handling_file(handed: Handed, attachment: Attachment | None = None) -> bytes:
    """Return the file, YAML; for one of the report's attachments if one is given."""
    opened, use = handed.opened, handed.use
    label = opened.label
    fields: Mapping[str, Any] = {  # what YAML knows
        "report": {
            "item": handed.item.hex(),
            "originator": str(opened.statement.originator),
            "kind": opened.statement.kind,
            "content_sha256": sha256(opened.statement.content).hexdigest(),
        },
        **({"attachment": _attachment(attachment)} if attachment is not None else {}),
        "marking": marking(label),
        "exported": {
            "at": instant_text(handed.at_ms),
            "by": handed.who,
            "for": use.action.word,
            "purpose": use.purpose.word,
            **({"in": use.place} if use.place else {}),
            "as_evidence": use.as_evidence,
        },
        "obligations": list(opened.duties) or ["none: this node's own report"],
        "label": yaml.safe_load(label_to_yaml(label, None)),
    }
    return (HEADER + yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=110)).encode()


def _attachment(attachment: Attachment) -> Mapping[str, Any]:
    """Any: what YAML knows."""
    return {
        "name": attachment.name,
        "media_type": attachment.media_type,
        "size": attachment.size,
        "sha256": attachment.sha256.hex(),
    }


def marking(label: Label) -> str:
    """Return the marking as it stands on the head of a page."""
    words = [f"TLP:{label.tlp.word.upper()}"]
    if label.national is not None:
        words.append(" ".join((label.national.classification, *label.national.caveats)))
    if label.orcon:
        words.append("ORCON")
    return " // ".join(words)
