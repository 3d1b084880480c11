"""Whether what a package needs is installed, and nothing that it can't stand beside.  Pure.

Rules (docs/jobs.md, "Dependencies")
- What is installed decides, whoever installed it; jobs are only told of.
- While a job of this machine is to bring what is missing, the dependent is fetched and prepared, and not installed.
- Where that job failed, or there is none, nothing of the dependent moves until another brings it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiercast_protocol.content.facts.versions import Requirement
from tiercast_protocol.content.jobs.reason import Reason, because


@dataclass(frozen=True, slots=True)
class Bringer:
    """A job of this machine that installs, or was to install, a package; `open` while it has not ended."""

    job: str
    package: str
    version: str
    state: str
    code: str
    open: bool


@dataclass(frozen=True, slots=True)
class Lack:
    """What keeps a job from being installed; `fetch`: nothing of it is to be fetched either."""

    reason: Reason
    fetch: bool


def lack(
    requires: Sequence[Requirement],
    conflicts: Sequence[Requirement],
    installed: Mapping[str, str],
    bringers: Sequence[Bringer],
) -> Lack | None:
    """The first thing that is missing or in the way; None when there is nothing.

    Args:
        requires: packages that must be there.
        conflicts: packages that must not.
        installed: version by package.
        bringers: jobs that bring any of them, the newest first.
    """
    for one in conflicts:
        held = installed.get(one.package)
        if held is not None and one.met_by(held):
            found = because("conflict.installed", package=one.package, version=held, needs=str(one))
            return Lack(found, fetch=True)
    opened: Reason | None = None
    for one in requires:
        held = installed.get(one.package)
        if held is not None and one.met_by(held):
            continue
        ways = [way for way in bringers if way.package == one.package and one.met_by(way.version)]
        if under_way := [way for way in ways if way.open]:
            opened = opened or because("dependency.open", needs=str(one), job=under_way[0].job)
        elif ways and ways[0].state != "done":
            last = ways[0]
            result = last.state if last.code in {"", last.state} else f"{last.state} {last.code}"
            return Lack(because("dependency.failed", needs=str(one), job=last.job, result=result), fetch=True)
        else:
            return Lack(because("dependency.missing", needs=str(one), held=held or None), fetch=True)
    return Lack(opened, fetch=False) if opened is not None else None
