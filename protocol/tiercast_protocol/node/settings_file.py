"""Writes a settings dataclass as the TOML file that `config.load` reads back.

Rules
- Each key stands below its `doc` as a comment; an unset key is written as a comment too, so that a
  person sees what could be set.
- The file is written beside its name, synced and renamed: a crash leaves the old file or the new one.
- With a secret in it the mode is 0600, else 0640.
"""

from __future__ import annotations

import dataclasses
import json
import os
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiercast_protocol.node.config import Duration, Rate, Secret, Size

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_UNITS_OF_TIME = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
_UNITS_OF_SIZE = (
    (1 << 40, "TiB"),
    (1 << 30, "GiB"),
    (1 << 20, "MiB"),
    (1 << 10, "KiB"),
    (1000**3, "GB"),
    (1000**2, "MB"),
    (1000, "kB"),
)


def render(value: DataclassInstance, *, title: str = "") -> str:
    """The TOML text of `value`, tables after plain keys, with the fields' docs as comments."""
    lines = [f"# {line}" for line in title.splitlines()]
    if lines:
        lines.append("")
    _render(value, "", lines)
    return "\n".join(lines).rstrip() + "\n"


def write(path: Path, value: DataclassInstance, *, title: str = "") -> None:
    """Write `value` to `path` whole or not at all.  Raises OSError."""
    mode = 0o600 if _has_secret(value) else 0o640
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(render(value, title=title))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def show_duration(seconds: float) -> str:
    """`seconds` in the largest unit that says it exactly."""
    for factor, unit in _UNITS_OF_TIME:
        if seconds >= factor and seconds % factor == 0:
            return f"{seconds / factor:.0f}{unit}"
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def show_size(size: int) -> str:
    """`size` in the largest unit that says it exactly."""
    for factor, unit in _UNITS_OF_SIZE:
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


def _show_rate(rate: int) -> str:
    return show_size(rate) + "/s" if rate else "unlimited"


_SHOWN: dict[Any, Callable[[Any], str]] = {Duration: show_duration, Size: show_size, Rate: _show_rate}


def _render(value: DataclassInstance, table: str, lines: list[str]) -> None:
    hints = typing.get_type_hints(type(value))
    later: list[tuple[str, DataclassInstance, str]] = []
    for field in dataclasses.fields(value):
        held = getattr(value, field.name)
        doc = field.metadata.get("doc", "")
        if dataclasses.is_dataclass(held) and not isinstance(held, type):
            later.append((f"{table}{field.name}", held, doc))
            continue
        lines += [f"# {line}" for line in doc.splitlines()]
        if held is None:
            lines.append(f"# {field.name} =")
        else:
            lines.append(f"{field.name} = {_text(held, hints[field.name])}")
    for name, held, doc in later:
        lines += ["", *(f"# {line}" for line in doc.splitlines()), f"[{name}]"]
        _render(held, name + ".", lines)


def _text(held: Any, hint: Any) -> str:
    args = [a for a in typing.get_args(hint) if a is not type(None)]
    if args and hint not in {Duration, Size, Rate} and not isinstance(held, (tuple, dict)):
        hint = args[0]
    if isinstance(held, tuple):
        return "[" + ", ".join(_text(v, args[0] if args else str) for v in held) + "]"
    if isinstance(held, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_text(v, args[1])}" for k, v in held.items()) + "}"
    if isinstance(held, (bool, int, float)) and hint not in _SHOWN:
        return repr(held).lower()
    held = _SHOWN[hint](held) if hint in _SHOWN else held
    # TOML's basic strings know JSON's escapes, but DEL is not to stand bare in either
    return json.dumps(str(held), ensure_ascii=False).replace("\x7f", "\\u007f")


def _has_secret(value: DataclassInstance) -> bool:
    hints = typing.get_type_hints(type(value))
    for field in dataclasses.fields(value):
        held = getattr(value, field.name)
        if dataclasses.is_dataclass(held) and not isinstance(held, type):
            if _has_secret(held):
                return True
        elif held and (hints[field.name] is Secret or Secret in typing.get_args(hints[field.name])):
            return True
    return False
