"""Native installers: .deb, .rpm, .msi, and what a handler installs (docs/actions.md, "Native").

Rules
- A file is asked first what it brings.  After an installer has ended, the machine is asked whether that very version is
  there; its word alone is not enough.
- What an installer left half done goes too when it is taken back.
- Nobody is asked a question: standard input is closed, there is no terminal, and the installers are told so.
- What the machine had by other means before is left when the package goes: its older bytes are nowhere to be had.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tiercast_endpoint.acting.native import Native, State
from tiercast_endpoint.acting.prefix import ActError
from tiercast_endpoint.acting.wants import source_of
from tiercast_protocol.content.jobs.receipt import ProgramResult
from tiercast_protocol.content.package.actiontypes import Action
from tiercast_protocol.content.package.handler import Handler

#: A tool that compares all files of a package reads all of them.
_VERIFY_S, _VERIFY_OUTPUT = 600, 64 * 1024
_VERIFIED = re.compile(r"(?P<what>missing|\S{8,}) +(?:(?P<attribute>[cdglr]) +)?(?P<path>/.*)")


def verified(line: str) -> tuple[str, str] | None:
    """A line of `dpkg --verify` or `rpm -V`; None where it is no file, or one of settings, which people change."""
    match = _VERIFIED.fullmatch(line.strip())
    if match is None or match["attribute"] == "c":
        return None
    return match["path"], "is gone" if match["what"] == "missing" else "was changed"


class _Installer(Native):
    """An installer with a database of its own."""

    shared = "version"

    async def version(self) -> str:
        """The version that is there, whole; "" for none."""
        raise NotImplementedError

    async def offered(self, source: Path) -> str:
        """The version that `source` brings.  Raises ActError."""
        raise NotImplementedError

    async def install(self, source: Path) -> None:
        """Install it."""
        raise NotImplementedError

    async def purge(self, state: State) -> bool:
        """Take away all of it, whole or not; whether there was anything."""
        raise NotImplementedError

    async def look(self) -> State:
        """See above."""
        return {"version": await self.version()}

    async def do(self, state: State) -> str:  # noqa: ARG002 - it is asked for by `remove` alone
        """See above."""
        source = source_of(self._site.tree, self._action.text("source"))
        offered = await self.offered(source)
        await self.install(source)
        version = await self.version()
        if version != offered:
            there = f"{version} is there" if version else "it is not there"
            raise ActError(
                f"{self._action.type}.missing", f"the installer of {self._name} {offered} ended well, and {there}"
            )
        return f"installed {version}"

    async def remove(self, state: State) -> str:
        """See above."""
        if state.get("version"):
            return f"left: the machine had {state['version']} before the package came"
        return "removed" if await self.purge(state) else "was not there"

    async def _asked(self, argv: Sequence[str]) -> ProgramResult:
        return await self._site.run(argv, exits=None, quiet=True)

    def checks(self) -> list[str]:
        """The command that compares what it installed with its own record, a line per file that differs."""
        raise NotImplementedError

    async def verify(self, state: State) -> list[tuple[str, str]]:  # noqa: ARG002 - it asks what is there now
        """See above."""
        if not (version := await self.version()):
            return [(self._action.shown, "is not installed")]
        brought = await self.offered(source_of(self._site.tree, self._action.text("source")))
        if version != brought:
            return [(self._action.shown, f"is there as {version}, and was brought as {brought}")]
        asked = await self._site.run(
            self.checks(), timeout_s=_VERIFY_S, output_limit=_VERIFY_OUTPUT, exits=None, quiet=True
        )
        return [found for line in asked.output.splitlines() if (found := verified(line))]

    async def _run(self, argv: Sequence[str], exits: Sequence[int] = (0,)) -> ProgramResult:
        return await self._site.run(
            argv,
            env={"DEBIAN_FRONTEND": "noninteractive", "DEBCONF_NONINTERACTIVE_SEEN": "true"},
            timeout_s=self._action.number("timeout"),
            output_limit=self._action.number("output_limit"),
            exits=exits,
        )


class Deb(_Installer):
    """A .deb, by dpkg: files of configuration that were changed by hand stay, as dpkg's own rule has it."""

    def _where(self) -> list[str]:
        return [] if self._site.prefix.whole else [f"--root={self._site.prefix.path}"]

    async def _status(self) -> tuple[str, str]:
        """What dpkg calls its state, and the version; "" for a name that it does not know."""
        admin, form = self._site.prefix.at("var/lib/dpkg"), "${db:Status-Status} ${Version}"
        asked = await self._asked([self._site.tools.dpkg_query, f"--admindir={admin}", "-W", f"-f={form}", self._name])
        status, _, version = asked.output.strip().partition(" ") if asked.exit == 0 else ("", "", "")
        return status, version

    async def version(self) -> str:
        """See above."""
        status, version = await self._status()
        return version if status == "installed" else ""

    async def look(self) -> State:
        """Whether it is there; files of configuration that an earlier one left are not ours to purge."""
        status, version = await self._status()
        return {"version": version if status == "installed" else "", "left": status == "config-files"}

    async def offered(self, source: Path) -> str:
        """See above."""
        asked = await self._asked([self._site.tools.dpkg_deb, "-W", "--showformat=${Package} ${Version}", str(source)])
        name, _, version = asked.output.strip().partition(" ")
        if asked.exit != 0 or not version:
            raise ActError("deb.invalid", f"{source.name} is no .deb: {asked.output.strip()[-300:]}")
        if name != self._name:
            raise ActError("deb.name", f"{source.name} is the package {name!r}, not {self._name!r}")
        return version

    async def install(self, source: Path) -> None:
        """See above."""
        force = ["--force-confdef", "--force-confold"]
        await self._run([self._site.tools.dpkg, *self._where(), *force, "-i", str(source)])

    async def purge(self, state: State) -> bool:
        """What dpkg unpacked and could not configure goes too; one that it wants to have installed anew is let go."""
        status, _ = await self._status()
        if status in {"", "not-installed"} or (status == "config-files" and state.get("left")):
            return False
        how = ["--remove" if state.get("left") else "--purge"]
        if status != "installed":
            how = ["--force-remove-reinstreq", *how]
        await self._run([self._site.tools.dpkg, *self._where(), *how, self._name])
        return True

    def checks(self) -> list[str]:
        """See above."""
        return [self._site.tools.dpkg, *self._where(), "--verify", self._name]


class Rpm(_Installer):
    """An .rpm, by rpm."""

    form = "%{VERSION}-%{RELEASE}"

    def _where(self) -> list[str]:
        return [] if self._site.prefix.whole else ["--root", str(self._site.prefix.path)]

    async def version(self) -> str:
        """See above."""
        asked = await self._asked([self._site.tools.rpm, *self._where(), "-q", "--qf", self.form, self._name])
        return asked.output.strip().splitlines()[-1] if asked.exit == 0 and asked.output.strip() else ""

    async def offered(self, source: Path) -> str:
        """See above: of the file alone; whether it is signed is not asked, for it came in a signed package."""
        asked = await self._asked(
            [self._site.tools.rpm, "--nosignature", "-qp", "--qf", "%{NAME} " + self.form, str(source)]
        )
        said = (asked.output.strip().splitlines() or [""])[-1]
        name, _, version = said.partition(" ")
        if asked.exit != 0 or not version:
            raise ActError("rpm.invalid", f"{source.name} is no .rpm: {asked.output.strip()[-300:]}")
        if name != self._name:
            raise ActError("rpm.name", f"{source.name} is the package {name!r}, not {self._name!r}")
        return version

    async def install(self, source: Path) -> None:
        """See above."""
        options = ["--upgrade", "--replacepkgs", "--oldpackage"]
        await self._run([self._site.tools.rpm, *self._where(), *options, str(source)])

    async def purge(self, state: State) -> bool:  # noqa: ARG002 - rpm has no half-way states
        """See above."""
        if not await self.version():
            return False
        await self._run([self._site.tools.rpm, *self._where(), "--erase", self._name])
        return True

    def checks(self) -> list[str]:
        """See above."""
        return [self._site.tools.rpm, *self._where(), "-V", self._name]


_WINDOWS = os.name == "nt"
#: Of the Windows installer: done; done, and a restart is wanted; done, and one was begun.
MSI_EXITS = (0, 3010, 1641)
_BLANK = re.compile(r"[\s\"]")


def msi_command(action: Action, source: str, *, remove: bool = False) -> list[str]:
    """The command line of the Windows installer: nobody is asked, nothing restarts."""
    words = ["msiexec", "/x" if remove else "/i", source, "/qn", "/norestart"]
    if not remove:
        for name, value in action.settings("properties").items():
            text = str(value)
            quoted = '"' + text.replace('"', '""') + '"' if _BLANK.search(text) else text
            words.append(f"{name.upper()}={quoted}")
    return words


class Msi(_Installer):
    """An .msi, on Windows only."""

    async def look(self) -> State:
        """See above."""
        if not _WINDOWS:
            raise ActError("msi.system", f"{self._name} is an MSI, which only Windows can install")
        return {}

    async def do(self, state: State) -> str:  # noqa: ARG002 - as above
        """See above."""
        source = source_of(self._site.tree, self._action.text("source"))
        ran = await self._run(msi_command(self._action, str(source)), MSI_EXITS)
        return "installed" if ran.exit == 0 else "installed; the machine wants a restart"

    async def remove(self, state: State) -> str:  # noqa: ARG002 - as above
        """See above."""
        source = source_of(self._site.tree, self._action.text("source"))
        await self._run(msi_command(self._action, str(source), remove=True), MSI_EXITS)
        return "removed"


class Handled(Native):
    """Done by a handler: another package's programs."""

    async def again(self) -> bool:
        """See above."""
        handler, _ = await self._site.handler(self._action.text("handler"))
        return handler.idempotent

    async def look(self) -> State:
        """See above."""
        return {"version": await self._version()}

    async def do(self, state: State) -> str:  # noqa: ARG002 - as above
        """See above."""
        handler, tree = await self._site.handler(self._action.text("handler"))
        await self._run(handler, tree, handler.install)
        if not (version := await self._version()):
            raise ActError("handler.missing", f"the handler ended well, and {self._name} is not there by its own word")
        return f"installed {version}"

    async def remove(self, state: State) -> str:
        """See above."""
        if state.get("version"):
            return f"left: the machine had {state['version']} before the package came"
        handler, tree = await self._site.handler(self._action.text("handler"))
        if await self._version():
            await self._run(handler, tree, handler.remove)
        return "removed"

    async def verify(self, state: State) -> list[tuple[str, str]]:  # noqa: ARG002 - it asks what is there now
        """See above."""
        return [] if await self._version() else [(self._action.shown, "is not there, by its handler's word")]

    async def _version(self) -> str:
        handler, tree = await self._site.handler(self._action.text("handler"))
        asked = await self._run(handler, tree, handler.query, exits=(0, 1), quiet=True)
        return (asked.output.strip().splitlines() or ["present"])[0][:64] if asked.exit == 0 else ""

    async def _run(
        self, handler: Handler, tree: Path, argv: Sequence[str], exits: Sequence[int] = (0,), *, quiet: bool = False
    ) -> ProgramResult:
        program = str(source_of(tree, argv[0].removeprefix("./"))) if argv[0].startswith("./") else argv[0]
        source = self._action.text("source")
        properties = self._action.settings("properties")
        env = {
            "TIERCAST_NAME": self._name,
            "TIERCAST_SOURCE": str(self._site.tree / source) if source else "",
            "TIERCAST_PREFIX": str(self._site.prefix.path),
            **{f"TIERCAST_WITH_{name.upper()}": str(value) for name, value in properties.items()},
        }
        return await self._site.run(
            [program, *argv[1:]], env=env, timeout_s=handler.timeout_s, output_limit=handler.output_limit,
            exits=exits, quiet=quiet,
        )  # fmt: skip


INSTALLERS: Mapping[str, type[Native]] = {"deb": Deb, "rpm": Rpm, "msi": Msi, "handler": Handled}
