"""`tiercast job run | message | inventory | restart | collect`: jobs that are about no package.

Rules
- A program is what stands after `--`, argument by argument: no shell reads it, here or at the endpoint.
- A text may come from the standard input; it is shown as it is, so what would steer a terminal is refused.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from tiercast_cli.jobs import jobs
from tiercast_cli.said.durations import seconds_of, size_of
from tiercast_cli.said.options import OnEndpoints
from tiercast_cli.said.provisos import OF_OWNER
from tiercast_cli.said.terms import taking
from tiercast_cli.said.times import OF_INSTALLATION

RUN = """\b
Examples:
  tiercast job run --on pc-17 --watch -- /usr/bin/systemctl restart cups
  tiercast job run --group sales --timeout 10m --exit 0 --exit 3 --user backup -- /opt/site/nightly --quick
  tiercast job run --on pc-17 -- /bin/sh -c 'df -h / | tail -1'
What it printed: tiercast job receipt JOB NODE
"""
MESSAGE = """\b
Examples:
  tiercast job message --group sales --title Tonight "Updates come after 20:00; leave the machine on."
  tiercast job message --on pc-17 -
The text "-" is read from the standard input. The owner reads it with: tiercast-endpoint messages
"""
INVENTORY = """\b
Example:
  tiercast job inventory --group sales --watch
What they said: tiercast inventory show NODE
"""
RESTART = """\b
Examples:
  tiercast job restart --on pc-17 --watch
  tiercast job restart --group sales --install-window "daily 22:00-05:00" --spread 1h
"""
SHUTDOWN = """\b
Examples:
  tiercast job shutdown --group kiosks --install-window "daily 22:00-05:00" --defer-max 2
  tiercast job shutdown --on pc-17 --rejectable
One machine by its name: tiercast node shutdown NODE
"""
REBOOT = """\b
Examples:
  tiercast job reboot --group sales --install-window "daily 22:00-05:00" --spread 1h --defer-max 2
  tiercast job reboot --on pc-17 --watch
The agent alone: tiercast job restart
"""

COLLECT = """\b
Example (refused with type.reserved until the transfer upward is there):
  tiercast job collect --on pc-17 /var/log/syslog
"""

_RUN_OPTIONS: dict[str, tuple[Any, Any]] = {
    "timeout": (
        Annotated[str, typer.Option("--timeout", metavar="TIME", help="It is killed after so long: 30s, 10m.")],
        "60s",
    ),
    "exit": (
        Annotated[list[str], typer.Option("--exit", metavar="CODE", help="Counts as success; may be repeated.")],
        ["0"],
    ),
    "user": (
        Annotated[
            str, typer.Option("--user", metavar="NAME", help="Runs with the rights of this user of the machine.")
        ],
        "",
    ),
    "output": (
        Annotated[str, typer.Option("--output", metavar="SIZE", help="So much of what it prints is kept.")],
        "64KiB",
    ),
    "idempotent": (
        Annotated[
            bool, typer.Option("--idempotent", help="May run again after it was started and not seen to finish.")
        ],
        False,
    ),
}


@taking({"on": (OnEndpoints, []), **jobs.ORDER, **OF_INSTALLATION, **OF_OWNER, **_RUN_OPTIONS})
def run(
    argv: Annotated[list[str], typer.Argument(metavar="-- PROGRAM [ARGUMENT]...", help="Absolute, or found in PATH.")],
    **given: Any,
) -> None:
    """Run a program on endpoints; its output and exit code stand in the signed receipt."""
    from tiercast_protocol.content.package.actions import argv_text  # noqa: PLC0415 - late: only who runs something pays for it

    def options() -> dict[str, str | int | bool]:
        return {
            "argv": argv_text(argv),
            "run_timeout_s": seconds_of(given["timeout"], "--timeout"),
            "exits": ",".join(given["exit"]),
            "user": given["user"],
            "output": size_of(given["output"], "--output"),
            "idempotent": given["idempotent"],
        }

    jobs.order("run", "", given, what=" ".join(argv), options=options)


@taking(
    {
        "on": (OnEndpoints, []),
        **jobs.ORDER,
        **OF_INSTALLATION,
        "title": (Annotated[str, typer.Option("--title", help="One line above the text.")], ""),
    }
)
def message(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to say; - reads it from the standard input.")],
    **given: Any,
) -> None:
    """Leave a message for the owners of endpoints."""
    said = sys.stdin.read().strip("\n") if text == "-" else text
    jobs.order("message", "", given, what="", options=lambda: {"text": said, "title": given["title"]})


@taking({"on": (OnEndpoints, []), **jobs.ORDER, **OF_INSTALLATION})
def inventory(**given: Any) -> None:
    """Have endpoints say afresh what they are; that reaches the server within a minute."""
    jobs.order("inventory", "", given, what="")


@taking({"on": (OnEndpoints, []), **jobs.ORDER, **OF_INSTALLATION, **OF_OWNER})
def restart(**given: Any) -> None:
    """Restart the agents of endpoints, once no program of theirs runs; the receipt says that they are back."""
    jobs.order("restart", "", given, what="")


@taking({"on": (OnEndpoints, []), **jobs.ORDER, **OF_INSTALLATION, **OF_OWNER})
def shutdown(**given: Any) -> None:
    """Shut machines down, with the command of their own settings; owners may defer it where that was ordered."""
    jobs.order("shutdown", "", given, what="")


@taking({"on": (OnEndpoints, []), **jobs.ORDER, **OF_INSTALLATION, **OF_OWNER})
def reboot(**given: Any) -> None:
    """Restart machines, with the command of their own settings; the receipt says that it was given."""
    jobs.order("reboot", "", given, what="")


@taking({"on": (OnEndpoints, []), **jobs.ORDER, **OF_INSTALLATION})
def collect(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files and folders on the endpoints.")],
    **given: Any,
) -> None:
    """Fetch files from endpoints: its place is kept, and the transfer upward comes later.  Nothing is ordered."""
    jobs.order("collect", "", given, options=lambda: {"paths": json.dumps(paths)})


def add_actions(app: typer.Typer) -> None:
    """Put the commands into the noun `job`."""
    app.command(epilog=RUN)(run)
    app.command(epilog=MESSAGE)(message)
    app.command(epilog=INVENTORY)(inventory)
    app.command(epilog=RESTART)(restart)
    app.command(epilog=SHUTDOWN)(shutdown)
    app.command(epilog=REBOOT)(reboot)
    app.command(epilog=COLLECT)(collect)
