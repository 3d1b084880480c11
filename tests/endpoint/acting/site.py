"""A machine's files as a test sees them, and actions written in short."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from tiercast_protocol.content.actiontypes import Action
from tiercast_protocol.content.definition import parse_definition

Snapshot = dict[str, tuple[object, ...]]


def snapshot(top: Path) -> Snapshot:
    """Every path with its kind, mode, owner and content; times of files, too."""
    found: Snapshot = {}
    for folder, names, files in os.walk(top):
        for name in names + files:
            path = Path(folder) / name
            here = path.lstat()
            what: object = None
            if path.is_symlink():
                what = str(path.readlink())
            elif path.is_file():
                what = (path.read_bytes(), here.st_mtime_ns)
            kind, mode = stat.S_IFMT(here.st_mode), stat.S_IMODE(here.st_mode)
            found[str(path.relative_to(top))] = (kind, mode, here.st_uid, here.st_gid, what)
    return found


def act(kind: str, **said: Any) -> Action:
    """An action, read as a definition's is."""
    lines = [f"{key} = {_toml(value)}" for key, value in said.items()]
    text = "\n".join(['name = "x"', 'version = "1"', "allow_setuid = true", "[[action]]", f'type = "{kind}"', *lines])
    return parse_definition(text).action[0]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {_toml(one)}' for key, one in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
