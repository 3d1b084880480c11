"""Every error that Tiercast raises by name.

TiercastError
 +-- ProtocolError            the peer's fault: what it sent breaks docs/protocol.md
 |    +-- MessageInvalid      bytes that do not decode to a known, well-typed message
 |    +-- SignatureInvalid    a signed body whose signature, key or proof does not agree
 +-- ChunkMissing             control flow: not in this store, try the next one
 +-- ChunkCorrupt             bytes that do not hash to their name; never control flow
 +-- StoreFull                quota or disk leaves no room for what must be written
 +-- BrokerLost               the connection to a broker is gone; repeated by whoever cares
 +-- StateError               the state directory can't be used (locked, newer, damaged)
 +-- UsageError               the human's fault: what, where, and what to do
      +-- ConfigError         all mistakes of one configuration file in one pass

Rules: errors carry fields, not sentences; `str()` composes the sentence.  What a human
reads says what is wrong, where, and what to do.  `raise ... from` always.
"""

from __future__ import annotations

from dataclasses import dataclass


class TiercastError(Exception):
    """Root of all errors raised by name."""


class ProtocolError(TiercastError):
    """What a peer sent breaks the protocol."""


@dataclass
class MessageInvalid(ProtocolError):
    """Bytes that do not decode to a known, well-typed message."""

    reason: str
    kind: str = ""

    def __str__(self) -> str:
        return f"invalid message{f' {self.kind}' if self.kind else ''}: {self.reason}"


@dataclass
class SignatureInvalid(ProtocolError):
    """A signed body whose signature, key or proof does not agree."""

    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what} is not what its signer signed: {self.reason}"


@dataclass
class ChunkMissing(TiercastError):
    """The store does not hold the chunk."""

    digest: bytes

    def __str__(self) -> str:
        return f"chunk {self.digest.hex()[:16]} is not held here"


@dataclass
class ChunkCorrupt(TiercastError):
    """Bytes that do not hash to the digest that names them, or do not unpack at all."""

    digest: bytes
    reason: str

    def __str__(self) -> str:
        return f"chunk {self.digest.hex()[:16]} is damaged: {self.reason}"


@dataclass
class StoreFull(TiercastError):
    """No room: `needed` bytes were wanted where `free` bytes are left (`where`: path, or "quota")."""

    needed: int
    free: int
    where: str

    def __str__(self) -> str:
        return f"no room for {self.needed} bytes at {self.where}: {self.free} bytes are free"


@dataclass
class BrokerLost(TiercastError):
    """The connection to a broker is gone."""

    url: str
    reason: str

    def __str__(self) -> str:
        return f"broker {self.url} is not reachable: {self.reason}"


@dataclass
class StateError(TiercastError):
    """A state directory that can't be used as it is."""

    path: str
    reason: str
    todo: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}. {self.todo}"


@dataclass
class UsageError(TiercastError):
    """A human asked for what can't be done.

    `code` is stable and documented ("package.unknown"); `what`, `where` and `todo` are for
    reading.  Travels over the control socket as a map of these four.
    """

    code: str
    what: str
    where: str = ""
    todo: str = ""

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        advice = f"\n  {self.todo}" if self.todo else ""
        return f"{self.what}{place}{advice}"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a configuration file: `key` is dotted, `expected` says what would be right; line 0 is unknown."""

    key: str
    problem: str
    expected: str
    line: int = 0


class ConfigError(UsageError):
    """All mistakes of one configuration file."""

    def __init__(self, path: str, mistakes: tuple[Mistake, ...]) -> None:
        self.path = path
        self.mistakes = mistakes
        lines = [f"{f'line {m.line}, ' if m.line else ''}{m.key}: {m.problem}; expected {m.expected}" for m in mistakes]
        super().__init__(
            code="config.invalid",
            what="\n".join([f"{len(mistakes)} mistake{'s' if len(mistakes) != 1 else ''} in {path}:", *lines]),
            todo="Correct the file and start again; nothing was changed.",
        )
