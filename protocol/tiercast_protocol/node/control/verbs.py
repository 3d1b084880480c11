"""The verbs of a control socket: one table of name, role and handler.

Rules
- A verb without a role can't be registered, nor one twice: the daemon fails at start, not at the call.
- A handler is an async function (one result) or an async generator (a stream of items); both give
  plain msgpack values.
- Arguments are taken by `call.text("name")` and its kin, which say what was wrong with them.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.peers import ROLES, Role
from tiercast_protocol.node.kernel import Peer

T = TypeVar("T")
Handler = Callable[["Call"], Awaitable[Any]] | Callable[["Call"], AsyncIterator[Any]]

_REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class Call:
    """One call: what was asked, by whom, and the `cause` under which its work is logged."""

    verb: str
    args: dict[str, Any]
    peer: Peer
    role: Role
    user: str
    cause: str

    def text(self, name: str, default: str = _REQUIRED) -> str:
        """The text argument `name`.  Raises UsageError (code "argument.invalid"), as all of these do."""
        return self._typed(name, str, "a text", default)

    def number(self, name: str, default: int = _REQUIRED) -> int:
        """The whole number `name`."""
        return self._typed(name, int, "a whole number", default)

    def flag(self, name: str, default: bool = _REQUIRED) -> bool:  # noqa: FBT001 - the default of a flag
        """The yes-or-no `name`."""
        return self._typed(name, bool, "true or false", default)

    def data(self, name: str, default: bytes = _REQUIRED) -> bytes:
        """The byte string `name`."""
        return self._typed(name, bytes, "bytes", default)

    def texts(self, name: str, default: list[str] = _REQUIRED) -> list[str]:
        """The list of texts `name`."""
        found = self._typed(name, list, "a list of texts", default)
        if not all(isinstance(item, str) for item in found):
            raise self._wrong(name, "a list of texts")
        return found

    def mapping(self, name: str, default: dict[str, Any] = _REQUIRED) -> dict[str, Any]:
        """The map `name`."""
        return self._typed(name, dict, "a map", default)

    def _typed(self, name: str, type_: type[T], words: str, default: T) -> T:
        found = self.args.get(name)
        if found is None:
            if default is _REQUIRED:
                raise self._wrong(name, words)
            return default
        if type(found) is not type_:
            raise self._wrong(name, words)
        return found

    def _wrong(self, name: str, words: str) -> UsageError:
        state = "is missing" if self.args.get(name) is None else f"is a {type(self.args[name]).__name__}"
        return UsageError(
            code="argument.invalid",
            what=f'The argument "{name}" of {self.verb} {state}; it must be {words}.',
            where=self.verb,
            todo="Client and daemon may be of different versions: compare `tiercast --version` with the daemon's.",
        )


@dataclass(frozen=True, slots=True)
class Verb:
    """One row of the table."""

    name: str
    role: Role
    handler: Handler
    streams: bool
    doc: str


@dataclass(slots=True)
class Verbs:
    """The table of one socket."""

    table: dict[str, Verb] = field(default_factory=dict)

    def add(self, name: str, role: Role, handler: Handler) -> None:
        """Register `handler` for `name`.  Raises ValueError: no such role, or the name is taken."""
        if role not in ROLES:
            raise ValueError(f"verb {name} has no role of {', '.join(ROLES)}")
        if name in self.table:
            raise ValueError(f"verb {name} is registered twice")
        streams = inspect.isasyncgenfunction(handler)
        if not streams and not inspect.iscoroutinefunction(handler):
            raise ValueError(f"the handler of {name} is neither an async function nor an async generator")
        self.table[name] = Verb(name, role, handler, streams, inspect.getdoc(handler) or "")

    def named(self, name: object) -> Verb:
        """The verb `name`.  Raises UsageError (code "verb.unknown")."""
        found = self.table.get(name) if isinstance(name, str) else None
        if found is None:
            raise UsageError(
                code="verb.unknown",
                what=f"This daemon knows no verb {str(name)[:80]!r}.",
                todo="Ask another tier, or bring command line and daemon to the same version.",
            )
        return found
