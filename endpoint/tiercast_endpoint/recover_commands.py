"""`tiercast-endpoint recover`: what a crash left half placed gets whole, before the agent and services start.

Rules
- It is for the service manager, early at boot (deploy/systemd/tiercast-recover.service); a person may call it, too.
- A machine that has no agent starts as ever: nothing to recover is a success.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tiercast_endpoint.halves.root_commands import ROOT_STATE, Running

State = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="The agent's folder.", envvar="TIERCAST_ENDPOINT_STATE")
]


def register(app: typer.Typer, run_work: Running, emit: Callable[[dict[str, Any]], None]) -> None:
    """Add the command to `app`."""

    @app.command()
    def recover(
        *,
        state: State = None,
        root_state: Annotated[
            Path, typer.Option("--root-state", metavar="DIR", help="Root's own folder, if the agent has two halves.")
        ] = ROOT_STATE,
        json: Annotated[bool, typer.Option("--json", help="One line of JSON instead of text.")] = False,
    ) -> None:
        """Make placed files whole that a crash left between old and new.

        Example: tiercast-endpoint recover --state /var/lib/tiercast/endpoint
        """

        async def work() -> None:
            from tiercast_endpoint.acting.early import recover_both  # noqa: PLC0415 - loaded when it is needed
            from tiercast_protocol.node.places import place  # noqa: PLC0415 - as above

            done = recover_both(place("endpoint", state), root_state)
            if json:
                emit({"recovered": done})
                return
            for one in done:
                typer.echo(one)

        run_work(work, json=json)
