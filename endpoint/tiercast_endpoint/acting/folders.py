"""Folders that are put at their path whole: an update site, an unpacked archive, wheels (docs/actions.md).

Rules
- They are built beside their path, in a folder that nobody but us can enter, and get their name by one rename.
- What is built is the package's alone: going back deletes it as it is.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from tiercast_endpoint.acting.prefix import ActError
from tiercast_protocol.content.actiontypes import Action

#: Wheels' scripts are for the machine's own Python, never for the one that the agent runs on.
_PYTHON = "/usr/bin/python3"


def builder(action: Action, tree: Path) -> Callable[[Path], None]:
    """What builds the folder of this action in an empty folder."""
    if action.type == "wheel":
        return lambda to: _wheels(tree, action.texts("sources"), to)
    source = tree / action.text("source")
    if action.type == "archive":
        from tiercast_endpoint.acting.archive import unpack  # noqa: PLC0415 - an agent that unpacks none is smaller

        return lambda to: unpack(_inside(tree, source), to, strip=int(action.text("strip")))
    return lambda to: _site(_inside(tree, source), to)


def _inside(tree: Path, path: Path) -> Path:
    if not path.exists() or path.resolve() != tree.resolve() / path.relative_to(tree):
        raise ActError("source.missing", f"the package's tree has no {str(path.relative_to(tree))!r}")
    return path


def _site(source: Path, to: Path) -> None:
    if not source.is_dir():
        raise ActError("source.missing", f"{source.name!r} in the package's tree is no folder")
    for folder, names, files in os.walk(source):
        here = to / os.path.relpath(folder, source)
        for name in names + files:
            file = Path(folder) / name
            if file.is_symlink():
                (here / name).symlink_to(file.readlink())
            elif file.is_dir():
                (here / name).mkdir()
                (here / name).chmod(stat.S_IMODE(file.stat().st_mode) | 0o700)
            else:
                shutil.copyfile(file, here / name)
                (here / name).chmod(stat.S_IMODE(file.stat().st_mode))


def _wheels(tree: Path, sources: tuple[str, ...], to: Path) -> None:
    import installer  # noqa: PLC0415 - only who has wheels needs it
    from installer.destinations import SchemeDictionaryDestination  # noqa: PLC0415 - as above
    from installer.exceptions import InstallerError  # noqa: PLC0415 - as above
    from installer.sources import WheelFile  # noqa: PLC0415 - as above

    from tiercast_endpoint.acting.archive import check_zip  # noqa: PLC0415 - as above

    places = {"purelib": to, "platlib": to, "scripts": to / "bin", "headers": to / "include", "data": to}
    destination = SchemeDictionaryDestination(
        {name: str(path) for name, path in places.items()},
        interpreter=_PYTHON,
        script_kind="posix",
        bytecode_optimization_levels=(),
    )
    for source in sources:
        wheel = _inside(tree, tree / source)
        check_zip(wheel)
        try:
            with WheelFile.open(wheel) as opened:
                opened.validate_record()
                installer.install(opened, destination, {"INSTALLER": b"tiercast"})
        except FileExistsError as error:
            raise ActError("wheel.twice", f"{wheel.name} brings a file that another wheel brought: {error}") from error
        except (InstallerError, ValueError, KeyError) as error:
            raise ActError("wheel.invalid", f"{wheel.name} is no sound wheel: {error}") from error
