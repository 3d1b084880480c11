"""Options that stand in many commands, and the names that the server completes for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

import typer

from tiercast_cli.talk.session import ask, session

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


def set_socket(path: str, host: str = "") -> None:
    """Speak to the daemon at `path` in this run, or to that of another machine."""
    session.socket, session.host, session.drafting = path, host, False


def _completion(kind: str) -> Callable[[typer.Context, str], list[str]]:
    """Completes names of `kind`, asked at the socket that stands on the line."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        set_socket(ctx.find_root().params.get("socket") or "")
        return names(kind, incomplete)

    return complete


_nodes = _completion("node")
_endpoints = _completion("endpoint")
_gateways = _completion("gateway")
child_completion = _nodes
_groups = _completion("group")
_packages = _completion("package")
_cabinets = _completion("cabinet")
_jobs = _completion("job")
_rollouts = _completion("rollout")
_templates = _completion("template")
_assignments = _completion("assignment")
_plans = _completion("plan")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show how many and who, by site.")]
Confirm = Annotated[int, typer.Option("--confirm", metavar="N", help="Yes, it is for exactly so many nodes.")]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON instead of text.")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, as 'job list' shows it.", autocompletion=_jobs)]
Plan = Annotated[str, typer.Argument(metavar="PLAN", help="The plan's id or number.", autocompletion=_plans)]
Rollout = Annotated[
    str, typer.Argument(metavar="ROLLOUT", help="Its id, as 'rollout list' shows it.", autocompletion=_rollouts)
]
Assignment = Annotated[
    str, typer.Argument(metavar="ASSIGNMENT", help="The assignment's name.", autocompletion=_assignments)
]
Template = Annotated[str, typer.Argument(metavar="NAME", help="The template's name.", autocompletion=_templates)]
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
InPackage = Annotated[
    str,
    typer.Option("--package", metavar="PACKAGE", help="Only this one: NAME or NAME=VERSION.", autocompletion=_packages),
]
Cabinet = Annotated[str, typer.Argument(metavar="CABINET", help="A cabinet's name.", autocompletion=_cabinets)]
InCabinet = Annotated[str, typer.Option("--cabinet", metavar="CABINET", help="The cabinet.", autocompletion=_cabinets)]
_ON = "A target by name; may be given several times."
OnEndpoints = Annotated[list[str], typer.Option("--on", metavar="NODE", help=_ON, autocompletion=_endpoints)]
OnGateways = Annotated[list[str], typer.Option("--on", metavar="NODE", help=_ON, autocompletion=_gateways)]
OnHosts = Annotated[list[str], typer.Option("--on", metavar="NODE", help=_ON, autocompletion=_nodes)]
OnBelow = Annotated[
    list[str],
    typer.Option(
        "--below", metavar="GATEWAY", help="All below a gateway; may be given several times.", autocompletion=_gateways
    ),
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
