"""Which programs run on this machine, by name.

Rules
- A program goes by the name of its file, by what it was started as, or by what it calls itself.
- Whose it is does not matter; what ends while we look did not run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
#: The kernel keeps so much of what a program calls itself.
_COMM = 15


def first_running(names: Iterable[str], proc: Path = _PROC) -> str:
    """The first of `names` that runs; "" when none does."""
    wanted = list(names)
    seen: set[str] = set()
    with suppress(OSError):
        for entry in os.scandir(proc):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                seen |= _names(Path(entry.path))
    return next((name for name in wanted if name in seen or (len(name) > _COMM and name[:_COMM] in seen)), "")


def _names(process: Path) -> set[str]:
    found: set[str] = set()
    with suppress(OSError):
        found.add(process.joinpath("comm").read_text("utf-8", "replace").rstrip("\n"))
    with suppress(OSError):
        first = process.joinpath("cmdline").read_bytes().split(b"\0", 1)[0]
        found.add(os.path.basename(os.fsdecode(first)))  # noqa: PTH119 - text that need not be a path
    with suppress(OSError):
        found.add(process.joinpath("exe").readlink().name.removesuffix(" (deleted)"))
    return found - {""}
