"""What this machine is, read from the system each time it is asked.

Rules
- What can't be read is "" or 0: a fact is known or it is not, never guessed.
- What can't be told whole is told as far as it goes: it never keeps the rest from being told.
- Free bytes change with every file; they count as another fact only by a twentieth of the disk.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from tiercast_protocol import __version__
from tiercast_protocol.content.facts.inventory import LONGEST, MOST_ENTRIES, Facts

#: So many steps has a disk.
_STEPS = 20


def read_facts(name: str, folder: Path, packages: Mapping[str, str], labels: Mapping[str, str]) -> Facts:
    """The facts of this machine now.

    Args:
        name: of the node.
        folder: on the disk that is told of.
        packages: what is installed, by its version.
        labels: what the owner set.
    """
    release: dict[str, str] = {}
    with suppress(OSError):
        release = platform.freedesktop_os_release()
    free = total = 0
    with suppress(OSError):
        disk = os.statvfs(folder)
        free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    return Facts(
        name=name,
        os=platform.system().lower(),
        distribution=release.get("ID", "")[:LONGEST],
        version=release.get("VERSION_ID", "")[:LONGEST],
        kernel=platform.release()[:LONGEST],
        architecture=platform.machine(),
        cpus=os.cpu_count() or 0,
        memory=_memory(),
        disk_free=free,
        disk_total=total,
        python=platform.python_version(),
        agent=__version__,
        packages=_bounded(packages),
        labels=_bounded(labels),
    )


def settled(facts: Facts, said: Facts | None) -> Facts:
    """`facts` with the free bytes that were said last, while they are near enough."""
    if said is None or said.disk_total != facts.disk_total:
        return facts
    if abs(said.disk_free - facts.disk_free) >= max(1, facts.disk_total // _STEPS):
        return facts
    return msgspec.structs.replace(facts, disk_free=said.disk_free)


def _bounded(held: Mapping[str, str]) -> dict[str, str]:
    """As much of it as can be told: the first entries by name."""
    fitting = sorted((key, value) for key, value in held.items() if max(len(key), len(value)) <= LONGEST)
    return dict(fitting[:MOST_ENTRIES])


def _memory() -> int:
    with suppress(OSError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 0
