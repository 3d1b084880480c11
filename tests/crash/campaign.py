"""Every prefix of what was written, each as several power cuts: the state must open as old or new."""

from __future__ import annotations

import random
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.crash.recording import RecordingDisk

Check = Callable[[Path, list[Any]], Awaitable[None]]


class Violation(AssertionError):
    """What was promised is not there, or what is there is wrong."""


async def breaks(disk: RecordingDisk, folder: Path, check: Check, *, seeds: int = 1) -> bool:
    """Whether some power cut breaks a promise."""
    try:
        await campaign(disk, folder, check, seeds=seeds)
    except Violation:
        return True
    return False


async def campaign(disk: RecordingDisk, folder: Path, check: Check, *, seeds: int = 1, step: int = 1) -> int:
    """Cut the power after every `step`-th operation and `check` what opens; returns how many cuts.

    Per moment: nothing unsafe survives, everything does (which is kill -9), and `seeds` seeded mixtures.

    Raises:
        Violation: the first state that breaks a promise.
    """
    cuts = 0
    for prefix in range(0, len(disk.operations) + 1, step):
        plans = [(None, 0.0), (None, 1.0)]
        plans += [(random.Random(f"{prefix}-{seed}"), (0.2, 0.5, 0.8)[(prefix + seed) % 3]) for seed in range(seeds)]
        for n, (rng, chance) in enumerate(plans):
            place = folder / "cut"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            disk.crash(prefix, rng, chance).write_to(place)
            try:
                await check(place, disk.facts(prefix))
            except Exception as error:
                last = disk.operations[prefix - 1] if prefix else "nothing"
                raise Violation(
                    f"power cut {n} after {prefix} operations (last: {str(last)[:120]}): {error!r}"
                ) from error
            cuts += 1
    return cuts
