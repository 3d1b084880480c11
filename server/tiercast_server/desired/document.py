"""The document of the desired state as it goes over the socket and stands in rows (docs/desired-state.md).

Rules
- Its shape is checked here, what it names in `desired_apply`.
- `table` is an assignment as somebody wrote it: that is what is compared and exported; the other fields are what it
  means, so that what was asked for long ago can be applied again.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tiercast_protocol.content.jobs.assigned import Rule, wants
from tiercast_protocol.content.jobs.target import Expression
from tiercast_protocol.errors import UsageError
from tiercast_server.targeting import parsed

FORMAT = 1
MOST = 1_000
_DAYS_30 = 30 * 86_400


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group: nodes, or whoever `where` is true of; `self_join`: machines may join by themselves.

    `install_window` is one text, as the options of jobs have it: packages are installed on its members only inside.
    """

    name: str
    members: list[str] = []
    where: str = ""
    self_join: bool = False
    install_window: str = ""


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A window with a name: `open` is one text, as the options of jobs have it."""

    name: str
    open: str


class Waves(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a version is rolled out: the arguments of `rollout.start`."""

    waves: list[str]
    go_on: str = "100%"
    soak_s: int = 0
    by_hand: bool = False
    stop_at: str = ""
    stop_at_site: str = ""


class Assignment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has, or lacks, what; `options`, `note` and `expires_s` are those of its jobs, `window` names of windows."""

    name: str
    target: str
    has: str = ""
    lacks: str = ""
    paused: bool = False
    window: list[str] = []
    options: dict[str, str | int | bool] = {}
    note: str = ""
    expires_s: int = _DAYS_30
    rollout: Waves | None = None
    table: dict[str, Any] = {}

    @property
    def rule(self) -> Rule:
        """What it says of the package.

        Raises:
            UsageError: requirement.invalid.
        """
        return Rule(self.name, wants(self.has or self.lacks), bool(self.lacks))

    @property
    def meant(self) -> Expression:
        """Who is meant.

        Raises:
            UsageError: target.syntax.
        """
        return parsed(self.target)


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it."""

    groups: list[Group] = []
    windows: list[Window] = []
    assignments: list[Assignment] = []
    format: int = FORMAT


def read(said: object) -> Document:
    """The document that a client sent.

    Raises:
        UsageError: desired.invalid or desired.format.
    """
    if isinstance(said, dict) and said.get("format", FORMAT) != FORMAT:
        raise UsageError(
            code="desired.format",
            what=f"The document has format {str(said.get('format'))[:20]!r}; this server reads {FORMAT}.",
            todo=f"Write format = {FORMAT}. Nothing was changed.",
        )
    try:
        document = msgspec.convert(said, Document)
    except msgspec.ValidationError as error:
        raise UsageError(
            "desired.invalid", f"The document can't be read: {error}.", todo="Nothing was changed."
        ) from None
    for kind, found in (("group", document.groups), ("window", document.windows), ("assignment", document.assignments)):
        names = [one.name for one in found]
        if len(names) > MOST or len(set(names)) < len(names):
            raise UsageError(
                code="desired.invalid",
                what=f"There are {len(names)} of {kind}, {len(set(names))} by name.",
                todo=f"Give each its own name, and have at most {MOST:,}. Nothing was changed.",
            )
    return document


def plain(document: Document) -> dict[str, Any]:
    """As it goes over the socket."""
    found: dict[str, Any] = msgspec.to_builtins(document)
    return found
