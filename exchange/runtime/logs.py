"""Structured logs on stderr: one JSON object a line for machines, or coloured lines for people.

Logs name ids and reasons, never contents: a value under a key that sounds like a secret or a content is dropped, bytes
are shown by their length, long text is cut. Tracebacks are plain, without the values of local variables.
Lines of other libraries (standard logging) take the same way.
"""

import logging
import re
import sys
from collections.abc import Mapping

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

VALUE_CHARACTERS = 500
"""A longer value is cut."""

DROPPED = "(dropped)"

_LEVELS = ("debug", "info", "warning", "error")
_SECRET = re.compile(
    r"(^|_)(passphrases?|passwords?|tokens?|seeds?|secrets?|keys?|contents?|body|bodies|plaintext|payloads?|labels?)$"
)
_DEPTH = 4
_OURS = ("exception", "exc_info", "_record", "_from_structlog")
"""Entries that the logging libraries put there: a traceback, and the record that a line came as."""


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Drop what a log must not hold; `key_id` and the like, which end otherwise, stay."""
    return {name: value if name in _OURS else _safe(name, value, 0) for name, value in event.items()}


def configure_logging(*, json: bool, level: str = "info") -> None:
    """Send all logs of this process to stderr, from `level` on (debug, info, warning, error)."""
    if level not in _LEVELS:
        raise ValueError(f"no such log level: {level}")
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([structlog.processors.format_exc_info] if json else []),
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(json=json)],
        )
    )
    logging.basicConfig(handlers=[handler], level=threshold, force=True)
    # At its info level it tells of every start, also when it changed nothing.
    logging.getLogger("alembic").setLevel(max(threshold, logging.WARNING))


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a module; `log.info("submitted", envelope=short_hash, party=party)`.

    Before configure_logging, or without it, warnings and errors go to stderr, as carefully as later.
    """
    if not structlog.is_configured():
        # The library's own defaults would write to stdout, tracebacks with the values of variables.
        structlog.configure(
            processors=[structlog.stdlib.add_log_level, redact, _renderer(json=False)],
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            logger_factory=structlog.stdlib.LoggerFactory(),
            cache_logger_on_first_use=False,
        )
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def _renderer(*, json: bool) -> Processor:
    if json:
        return structlog.processors.JSONRenderer(serializer=_dumps)
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )


def _dumps(event: EventDict, **_: object) -> str:
    return orjson.dumps(event, default=repr).decode()


def _safe(name: str, value: object, depth: int) -> object:
    if _SECRET.search(name.lower()):
        return DROPPED
    match value:
        case bytes() | bytearray() | memoryview():
            return f"({len(value)} bytes)"
        case str() if len(value) > VALUE_CHARACTERS:
            return f"{value[:VALUE_CHARACTERS]}... ({len(value)} characters)"
        case Mapping() if depth < _DEPTH:
            return {str(key): _safe(str(key), inner, depth + 1) for key, inner in value.items()}
        case list() | tuple() if depth < _DEPTH:
            return [_safe(name, inner, depth + 1) for inner in value[:VALUE_CHARACTERS]]
    return value
