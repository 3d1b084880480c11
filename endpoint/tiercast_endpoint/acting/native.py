"""What an action of class `native` is: something that another program does, with its inverse (docs/actions.md).

Rules
- `look` says what the machine is like before; that is journaled, and what `remove` goes back to.
- `do` may be done again only where `again` says so; what was begun and not seen to end is `interrupted` otherwise.
- What was on the machine before the package came (a user, a .deb of somebody else's) is left when the package goes, and
  what another package names as well (`shared`) goes with the last of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tiercast_endpoint.acting.prefix import Prefix
from tiercast_protocol.content.jobs.receipt import ProgramResult
from tiercast_protocol.content.package.actiontypes import Action
from tiercast_protocol.content.package.handler import Handler

#: A question to a package database, or a small change of users and units, takes no longer.
_SHORT_S = 60

State = dict[str, Any]


class Runner(Protocol):
    """Runs a program for an action and writes down what it did."""

    async def __call__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        timeout_s: int = _SHORT_S,
        output_limit: int = 4096,
        exits: Sequence[int] | None = (0,),
        quiet: bool = False,
    ) -> ProgramResult:
        """Run it to its end; `exits` None takes any status, `quiet` leaves it out of the receipt.

        Raises:
            ActError: program.start, program.timeout, program.left, program.failed.
        """
        ...  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs of the machine, and whether its services are the ones of the prefix."""

    systemctl: str = "systemctl"
    dpkg: str = "dpkg"
    dpkg_query: str = "dpkg-query"
    dpkg_deb: str = "dpkg-deb"
    rpm: str = "rpm"
    live: bool | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """Where a native action is done: the prefix, the package's tree, and what runs programs."""

    prefix: Prefix
    tree: Path
    run: Runner
    tools: Tools
    handler: Callable[[str], Awaitable[tuple[Handler, Path]]]

    @property
    def live(self) -> bool:
        """Whether services of this prefix run here."""
        return self.prefix.whole if self.tools.live is None else self.tools.live


class Native:
    """One native action at a site; this one does nothing."""

    #: Where several packages may name the same, the key of `State` that says it was there before; else "".
    shared = ""

    def __init__(self, action: Action, site: Site) -> None:
        self._action, self._site = action, site
        self._name = action.text("name")

    async def look(self) -> State:
        """What the machine is like before."""
        return {}

    async def again(self) -> bool:
        """Whether it may be done again after it was not seen to end."""
        return True

    async def do(self, state: State) -> str:  # noqa: ARG002 - some do not need it
        """Do it, on a machine that was in `state` before the package came; what came of it."""
        return ""

    async def remove(self, state: State) -> str:  # noqa: ARG002 - some do not need it
        """Go back to `state`, before files that were placed with it go."""
        return ""

    async def settle(self, state: State) -> None:
        """What is to be done when those files are gone, or back."""

    async def verify(self, state: State) -> list[tuple[str, str]] | None:  # noqa: ARG002 - as above
        """In what the machine differs now from what was done: (path or name, in what); None where nobody can say."""
        return None
