"""Options that stand in many commands, and the names that the server completes for them."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from tiercast_cli.session import ask, session

#: A completion that takes longer than this is worse than none.
COMPLETION_SECONDS = 1.0


def names(kind: str, incomplete: str) -> list[str]:
    """Names of `kind` known to the server that begin with `incomplete`; [] when it can't be asked."""
    from tiercast_protocol.errors import TiercastError  # noqa: PLC0415 - completion must start fast

    async def fetch() -> list[str]:
        async with asyncio.timeout(COMPLETION_SECONDS):
            return [str(name) for name in await ask("names", kind=kind)]

    try:
        return [name for name in asyncio.run(fetch()) if name.startswith(incomplete)]
    except (TiercastError, OSError, TimeoutError):
        return []


def _nodes(incomplete: str) -> list[str]:
    return names("node", incomplete)


def _groups(incomplete: str) -> list[str]:
    return names("group", incomplete)


def _packages(incomplete: str) -> list[str]:
    return names("package", incomplete)


def _cabinets(incomplete: str) -> list[str]:
    return names("cabinet", incomplete)


def _jobs(incomplete: str) -> list[str]:
    return names("job", incomplete)


Json = Annotated[bool, typer.Option("--json", help="One line of JSON instead of text.")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, as 'job list' shows it.", autocompletion=_jobs)]
Node = Annotated[str, typer.Argument(metavar="NODE", help="A node's name.", autocompletion=_nodes)]
At = Annotated[
    str,
    typer.Option(
        "--node", metavar="NODE", help="The node to ask; the server itself by default.", autocompletion=_nodes
    ),
]
Group = Annotated[str, typer.Argument(metavar="GROUP", help="A group's name.", autocompletion=_groups)]
Members = Annotated[
    list[str], typer.Argument(metavar="NODE...", help="Names of endpoints or gateways.", autocompletion=_nodes)
]
Package = Annotated[
    str, typer.Argument(metavar="PACKAGE", help="NAME (its newest version) or NAME=VERSION.", autocompletion=_packages)
]
Cabinet = Annotated[str, typer.Argument(metavar="CABINET", help="A cabinet's name.", autocompletion=_cabinets)]
InCabinet = Annotated[str, typer.Option("--cabinet", metavar="CABINET", help="The cabinet.", autocompletion=_cabinets)]
OnNodes = Annotated[
    list[str],
    typer.Option("--on", metavar="NODE", help="A target by name; may be given several times.", autocompletion=_nodes),
]
OnGroups = Annotated[
    list[str],
    typer.Option(
        "--group",
        "-g",
        metavar="GROUP",
        help="All members of a group; may be given several times.",
        autocompletion=_groups,
    ),
]


def set_socket(path: str) -> None:
    """Speak to the daemon at `path` in this run."""
    session.socket = path
