"""What an attachment may be called and how large it may be: sender, relay and recipient keep to the same.

A name is one to suggest, never a path: whoever saves a file under it stays in the folder that was chosen, and sees the
name that was meant. The media type is what the sender declares; nobody looks into the file for it.
"""

import re
import unicodedata
from collections.abc import Sequence

from exchange.envelope.model import Attachment
from exchange.errors import MalformedInput, TooLarge
from exchange.limits import ATTACHMENT_BYTES, ATTACHMENTS, ATTACHMENTS_BYTES

NAME_BYTES = 255
"""Of a name in UTF-8: the longest that file systems take."""

MEDIA_TYPE = "application/octet-stream"
"""Of a file of which nothing better is known."""

_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}", re.ASCII)
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.ASCII | re.IGNORECASE)


def file_name(value: str) -> str:
    """Return `value` when it is a name for a file; MalformedInput when it could be a path, or mislead whoever reads it.

    Not printable are control characters and all that change the direction of writing.
    """
    if not value or not value.isprintable() or value != unicodedata.normalize("NFC", value):
        raise MalformedInput("an attachment's name has printable characters, in Unicode normal form C")
    if len(value.encode()) > NAME_BYTES:
        raise MalformedInput(f"an attachment's name has at most {NAME_BYTES} bytes")
    if (
        value[0] in ". "
        or value[-1] in ". "
        or any(char in value for char in '/\\:*?"<>|')
        or _DEVICES.fullmatch(value)
    ):
        raise MalformedInput("an attachment's name is not a file name")
    return value


def media_type(value: str) -> str:
    """Return `value` when it is TYPE/SUBTYPE in small letters; MalformedInput otherwise."""
    if not _MEDIA_TYPE.fullmatch(value):
        raise MalformedInput("an attachment's media type is TYPE/SUBTYPE in small letters")
    return value


def check_size(size: int) -> None:
    """Refuse a file that is too large; TooLarge."""
    if size > ATTACHMENT_BYTES:
        raise TooLarge(f"an attachment has {size:,} bytes; the limit is {ATTACHMENT_BYTES:,}")


def check_attachments(attachments: Sequence[Attachment]) -> None:
    """Refuse a list of attachments that is too long or too large, or in which a name stands twice."""
    if len(attachments) > ATTACHMENTS:
        raise TooLarge(f"{len(attachments)} attachments; the limit is {ATTACHMENTS}")
    for each in attachments:
        check_size(each.size)
    total = sum(each.size for each in attachments)
    if total > ATTACHMENTS_BYTES:
        raise TooLarge(f"the attachments have {total:,} bytes together; the limit is {ATTACHMENTS_BYTES:,}")
    # Alike where upper and lower case are: on some file systems one would take the other's place.
    if len({each.name.casefold() for each in attachments}) != len(attachments):
        raise MalformedInput("two attachments have the same name")
