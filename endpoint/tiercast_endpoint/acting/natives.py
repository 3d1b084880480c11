"""Native actions of the machine's own: a program of the package, units of systemd; users and groups are `accounts`.

Rules
- A unit that was started is looked at after a moment: one that fails at once is a failure of the action.
- Where the prefix is not the machine itself, units are enabled there, and nothing is started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from tiercast_endpoint.acting.accounts import Group, User
from tiercast_endpoint.acting.installers import INSTALLERS
from tiercast_endpoint.acting.native import Native, State
from tiercast_endpoint.acting.prefix import ActError
from tiercast_endpoint.acting.wants import source_of
from tiercast_protocol.content.jobs.receipt import ProgramResult

#: A service that fails at once has done so after this.
_SETTLED_S = 1.0


class Program(Native):
    """A program of the package's own."""

    async def again(self) -> bool:
        """See above."""
        return self._action.flag("idempotent")

    async def do(self, state: State) -> str:  # noqa: ARG002 - whatever it was like
        """See above."""
        ran = await self._run("argv")
        return f"ended with status {ran.exit}"

    async def remove(self, state: State) -> str:  # noqa: ARG002 - it knows by itself
        """See above."""
        if not self._action.texts("undo"):
            return "has no undo"
        await self._run("undo")
        return "undone"

    async def _run(self, key: str) -> ProgramResult:
        program, *arguments = self._action.texts(key)
        if program.startswith("./"):
            program = str(source_of(self._site.tree, program.removeprefix("./")))
        exits = self._action.get("exits")
        return await self._site.run(
            [program, *arguments],
            timeout_s=self._action.number("timeout"),
            output_limit=self._action.number("output_limit"),
            exits=exits if key == "argv" and isinstance(exits, tuple) else (0,),  # type: ignore[arg-type]
        )


class Unit(Native):
    """A unit of systemd: enabled, restarted, and looked at after that."""

    async def _ctl(self, *words: str, exits: Sequence[int] | None = (0,), quiet: bool = False) -> ProgramResult:
        where = [] if self._site.live else [f"--root={self._site.prefix.path}"]
        return await self._site.run(
            [self._site.tools.systemctl, *where, *words],
            timeout_s=self._action.number("timeout"),
            output_limit=self._action.number("output_limit"),
            exits=exits,
            quiet=quiet,
        )

    async def look(self) -> State:
        """See above."""
        enabled = await self._ctl("is-enabled", self._name, exits=None, quiet=True)
        active = self._site.live and (await self._ctl("is-active", self._name, exits=None, quiet=True)).exit == 0
        return {"enabled": enabled.output.strip() == "enabled", "active": active}

    async def do(self, state: State) -> str:  # noqa: ARG002 - whatever it was like
        """See above."""
        done = []
        if self._site.live:
            await self._ctl("daemon-reload")
        if self._action.flag("enabled"):
            await self._ctl("enable", self._name)
            done.append("enabled")
        if self._action.flag("started") and self._site.live:
            await self._ctl("restart", self._name)
            await self._check()
            await asyncio.sleep(_SETTLED_S)
            await self._check()
            done.append("restarted")
        return " and ".join(done) or "reloaded"

    async def _check(self) -> None:
        seen = await self._ctl("is-active", self._name, exits=None, quiet=True)
        if seen.exit != 0:
            said = seen.output.strip() or "not active"
            raise ActError("unit.failed", f"{self._name} was started, and is {said}")

    async def remove(self, state: State) -> str:
        """See above."""
        if self._site.live and not state.get("active"):
            await self._ctl("stop", self._name, exits=None)
        if self._action.flag("enabled") and not state.get("enabled"):
            await self._ctl("disable", self._name, exits=None)
        return "as before"

    async def verify(self, state: State) -> list[tuple[str, str]]:  # noqa: ARG002 - it asks what is there now
        """See above; whether it runs only where services of this prefix do."""
        now, found = await self.look(), []
        if self._action.flag("enabled") and not now["enabled"]:
            found.append((self._action.shown, "is not enabled"))
        if self._action.flag("started") and self._site.live and not now["active"]:
            found.append((self._action.shown, "is not active"))
        return found

    async def settle(self, state: State) -> None:
        """See above."""
        if self._site.live:
            await self._ctl("daemon-reload")
            if state.get("active"):
                await self._ctl("restart", self._name)
            else:
                # A manager remembers units that failed when their files are long gone.
                await self._ctl("reset-failed", self._name, exits=None, quiet=True)


NATIVES: Mapping[str, type[Native]] = {"program": Program, "group": Group, "user": User, "unit": Unit, **INSTALLERS}
