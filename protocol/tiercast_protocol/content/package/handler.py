"""The section `[handler]`: a package that knows how to install things of some kind (docs/actions.md).

Rules
- A handler is a package like any other: signed, versioned, installed before whoever names it.
- It has three programs.  Each gets its facts by environment (`TIERCAST_NAME`, `TIERCAST_SOURCE`, `TIERCAST_PREFIX`, and
  `TIERCAST_WITH_*` for properties).  `query` ends with 0 where the thing is there and prints its version, with 1 where
  it is not; any other status is a failure.
- `idempotent` says that `install` and `remove` may be run again after they were not seen to finish.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiercast_protocol.content.package.programs import DEFAULT_OUTPUT, MAX_OUTPUT, MAX_TIMEOUT_S, read_argv
from tiercast_protocol.content.package.reader import UNITS_B, UNITS_S, Reader, written

_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Handler:
    """The programs of a handler: argument lists, as those of any program of a package."""

    install: tuple[str, ...]
    remove: tuple[str, ...]
    query: tuple[str, ...]
    timeout_s: int = _TIMEOUT_S
    idempotent: bool = False
    output_limit: int = DEFAULT_OUTPUT


def read_handler(parent: Reader) -> Handler | None:
    """The section of the definition; None where there is none."""
    reader = parent.inner("handler")
    if reader is None:
        return None
    reader.known("install", "remove", "query", "timeout", "idempotent", "output_limit")
    return Handler(
        install=read_argv(reader, "install"),
        remove=read_argv(reader, "remove"),
        query=read_argv(reader, "query"),
        timeout_s=reader.amount("timeout", _TIMEOUT_S, MAX_TIMEOUT_S, UNITS_S, 'seconds, as in "60s" or "5m"'),
        idempotent=reader.flag("idempotent"),
        output_limit=reader.amount(
            "output_limit", DEFAULT_OUTPUT, MAX_OUTPUT, UNITS_B, 'bytes, as in 65536 or "64KiB"'
        ),
    )


def handler_lines(handler: Handler | None) -> list[str]:
    """It again, as lines of TOML."""
    if handler is None:
        return []
    return [
        "",
        "[handler]",
        f"install = {written(handler.install)}",
        f"remove = {written(handler.remove)}",
        f"query = {written(handler.query)}",
        f'timeout = "{handler.timeout_s}s"',
        f"idempotent = {written(handler.idempotent)}",
        f"output_limit = {handler.output_limit}",
    ]
