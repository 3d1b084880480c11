"""`tiercast node wake | shutdown | restart`: machines that sleep, and machines that are to.

Rules
- Waking is asked of the gateway that a machine is below; whether it woke shows when it connects.
- Shutting down and restarting are jobs: signed, in windows, with what the owner may say to it, and with a receipt.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

import typer

from tiercast_cli.jobs import jobs
from tiercast_cli.said.durations import seconds_of
from tiercast_cli.said.options import Json, Members
from tiercast_cli.said.provisos import OF_OWNER
from tiercast_cli.said.terms import taking
from tiercast_cli.said.times import OF_INSTALLATION
from tiercast_cli.shown import words
from tiercast_cli.talk.session import ask, emit, run

WAKE = """\b
Examples:
  tiercast node wake pc-17 pc-18
  tiercast node wake pc-17 --wait 3m --json
For a job: tiercast job install editor --group sales --wake --sleep-after
"""
SHUTDOWN = """\b
Examples:
  tiercast node shutdown pc-17 --defer-max 2
  tiercast node shutdown pc-17 --install-window "daily 20:00-06:00" --rejectable
"""
RESTART = """\b
Examples:
  tiercast node restart pc-17 --watch
  tiercast node restart pc-17 pc-18 --spread 1h --defer-max 1
The agent alone: tiercast job restart --on pc-17
"""
_PAUSE_S = 0.5
_OPEN = frozenset({"asleep", "waking"})
#: A machine is not woken to shut it down.
_NOT = frozenset({"group", "wake", "wake_before", "sleep_after"})
_GIVEN = {name: one for name, one in {**jobs.ORDER, **OF_INSTALLATION, **OF_OWNER}.items() if name not in _NOT}


def wake(
    nodes: Members,
    *,
    wait: Annotated[str, typer.Option("--wait", metavar="TIME", help="Wait so long until they are there: 3m.")] = "",
    json: Json = False,
) -> None:
    """Wake machines that sleep; 1 is the exit code where one did not wake."""
    failed = False

    async def work() -> None:
        nonlocal failed
        end = time.monotonic() + (seconds_of(wait, "--wait") if wait else 0)
        found: list[dict[str, Any]] = await ask("node.wake", nodes=nodes)
        while time.monotonic() < end and any(row["state"] in _OPEN for row in found):
            await asyncio.sleep(_PAUSE_S)
            found = await ask("wake.list", nodes=nodes)
        failed = any(row["state"] in {"failed", "unknown"} for row in found)
        if json:
            emit({"wakes": found})
            return
        print(words.table(("node", "state", "by", "packets", "why"), [_row(one) for one in found]))

    run(work, as_json=json)
    if failed:
        raise typer.Exit(1)


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    return (one["node"], one["state"], one.get("parent", "-"), one.get("tries", "-"), one.get("why", "") or "-")


@taking(_GIVEN)
def shutdown(nodes: Members, **given: Any) -> None:
    """Shut machines down: by a job, which their owners may defer or reject where it says so."""
    _order("shutdown", nodes, given)


@taking(_GIVEN)
def restart(nodes: Members, **given: Any) -> None:
    """Restart machines: by a job, which their owners may defer or reject where it says so."""
    _order("reboot", nodes, given)


def _order(kind: str, nodes: list[str], given: dict[str, Any]) -> None:
    jobs.order(kind, "", {"group": [], **given, "on": nodes}, what="")


def add_power(app: typer.Typer) -> None:
    """Put the commands into the noun `node`."""
    app.command(epilog=WAKE)(wake)
    app.command(epilog=SHUTDOWN)(shutdown)
    app.command(epilog=RESTART)(restart)
