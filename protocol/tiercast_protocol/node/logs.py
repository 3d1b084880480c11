"""Logs: a constant event and fields, never a composed sentence.

Rules
- `structlog.get_logger()` everywhere; the event is a constant lower-case text, the rest are fields.
- Lines go to stderr: JSON, one object per line, unless stderr is a terminal.
- Libraries that log by the standard library come out in the same form; their chatter below
  warning stays out unless we log at debug.
- `cause` names one unit of work at every tier; bind it with `cause_of(...)` around the work.
"""

from __future__ import annotations

import logging
import sys
from contextlib import AbstractContextManager
from typing import Literal, TextIO

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.typing import Processor

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]
# without the local variables: they may hold secrets
_tracebacks = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
_QUIET = ("asyncio", "mqtt", "paho", "alembic", "sqlalchemy", "aiosqlite", "aiomqtt")


def configure(level: Level = "info", format_: Format = "auto", *, stream: TextIO | None = None) -> None:
    """Set up logging of the whole process; a second call replaces the first."""
    out = stream if stream is not None else sys.stderr
    as_json = format_ == "json" or (format_ == "auto" and not out.isatty())
    threshold = getattr(logging, level.upper())
    shared: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
    ]
    final: list[Processor] = (
        [_tracebacks, structlog.processors.JSONRenderer(default=_plain)]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in _QUIET:
        logging.getLogger(name).setLevel(threshold if level == "debug" else logging.WARNING)


def cause_of(cause: str, **fields: object) -> AbstractContextManager[None]:
    """While this is open, every line of this task carries `cause` and `fields`."""
    return bound_contextvars(cause=cause, **fields)


def _plain(value: object) -> object:
    return bytes(value).hex() if isinstance(value, (bytes, bytearray, memoryview)) else str(value)
