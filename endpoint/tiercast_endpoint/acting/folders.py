"""Folders that are put at their path whole: an update site, an unpacked archive, wheels (docs/actions.md).

Rules
- They are built beside their path, in a folder that nobody but us can enter, and get their name by one rename.
- What is built is the package's alone: going back deletes it as it is.
- Wheels come into a plain folder, or into a virtual environment of an interpreter of the machine, which is made whole
  with them: nothing is run for that, and nothing of an older environment is left in it.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from tiercast_endpoint.acting.prefix import ActError, Prefix
from tiercast_protocol.content.package.actiontypes import Action

#: Wheels' scripts are for the machine's own Python, never for the one that the agent runs on.
_PYTHON = "/usr/bin/python3"
_VERSIONED = re.compile(r"python(3\.[0-9]+)\Z")
#: Links that lead from one name of an interpreter to the next.
_LINKS = 16


def builder(action: Action, tree: Path, prefix: Prefix) -> Callable[[Path], None]:
    """What builds the folder of this action in an empty folder; the machine's interpreter is looked up in `prefix`."""
    if action.type == "wheel":
        python = action.text("python")
        if python:
            return lambda to: _environment(tree, action, _version_of(prefix, python), to)
        places = {"purelib": "", "platlib": "", "scripts": "bin", "headers": "include", "data": ""}
        return lambda to: _wheels(tree, action.texts("sources"), to, places, _PYTHON)
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


def _version_of(prefix: Prefix, python: str) -> str:
    """The version of an interpreter of the machine, "3.11", by the name that its links end at: it is not run."""
    path = python
    for _ in range(_LINKS):
        here = prefix.at(path)
        if not here.is_symlink():
            found = _VERSIONED.match(Path(path).name)
            if found is None or not here.is_file():
                break
            return found[1]
        path = os.path.normpath(Path(path).parent / here.readlink())
    raise ActError("wheel.python", f"{python} leads to no Python of this machine (a file called python3.X)")


def _environment(tree: Path, action: Action, version: str, to: Path) -> None:
    """A virtual environment with nothing but these wheels in it."""
    python, packages = action.text("python"), f"lib/python{version}/site-packages"
    for folder in ("bin", packages):
        (to / folder).mkdir(parents=True)
    for name, target in (("python", python), ("python3", "python"), (f"python{version}", "python")):
        (to / "bin" / name).symlink_to(target)
    said = {"home": str(Path(python).parent), "include-system-site-packages": "false", "version": version}
    (to / "pyvenv.cfg").write_text("".join(f"{key} = {value}\n" for key, value in said.items()), "utf-8")
    places = dict.fromkeys(("purelib", "platlib"), packages)
    places |= {"scripts": "bin", "headers": f"include/site/python{version}", "data": ""}
    _wheels(tree, action.texts("sources"), to, places, f"{action.text('path')}/bin/python")


def _wheels(tree: Path, sources: tuple[str, ...], to: Path, places: Mapping[str, str], interpreter: str) -> None:
    import installer  # noqa: PLC0415 - only who has wheels needs it
    from installer.destinations import SchemeDictionaryDestination  # noqa: PLC0415 - as above
    from installer.exceptions import InstallerError  # noqa: PLC0415 - as above
    from installer.sources import WheelFile  # noqa: PLC0415 - as above

    from tiercast_endpoint.acting.archive import check_zip  # noqa: PLC0415 - as above

    destination = SchemeDictionaryDestination(
        {name: str(to / path) for name, path in places.items()},
        interpreter=interpreter,
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
