"""`tiercast-endpoint root`: the half of the agent that installs, where it is a process of its own (docs/agent.md).

Rules
- `init` is root's word: whose orders count here is written down from what this machine joined with, shown, and compared
  with the fingerprint that is given.
- `run` is the service manager's.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

#: Where root's own folder is.
ROOT_STATE = Path("/var/lib/tiercast/root")
SOCKET = "/run/tiercast-root.sock"

root = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The half that installs, where it is a process of its own."
)
Folder = Annotated[
    Path, typer.Option("--state", metavar="DIR", help="Root's own folder.", envvar="TIERCAST_ROOT_STATE")
]


class Running(Protocol):
    """Runs `work` as commands do: errors become a message and the exit code that fits."""

    def __call__(self, work: Callable[[], Awaitable[None]], *, json: bool) -> None:
        """See `terminal._run`."""
        ...


def register(app: typer.Typer, run_work: Running, emit: Callable[[dict[str, Any]], None]) -> None:
    """Add the commands to `app`."""
    app.add_typer(root, name="root")

    @root.command()
    def init(
        *,
        agent: Annotated[
            Path | None, typer.Option("--agent", metavar="DIR", help="Folder of the agent, which has joined.")
        ] = None,
        user: Annotated[str, typer.Option(help="The user that the agent runs as.")] = "tiercast-endpoint",
        install_root: Annotated[
            Path | None, typer.Option("--install-root", metavar="DIR", help="Where packages are installed.")
        ] = None,
        fingerprint: Annotated[
            str, typer.Option(help="Of the region's key, as the administrator knows it; another one is refused.")
        ] = "",
        socket: Annotated[str, typer.Option(help="Where the agent will ask.")] = SOCKET,
        state: Folder = ROOT_STATE,
        json: Annotated[bool, typer.Option("--json", help="One line of JSON instead of text.")] = False,
    ) -> None:
        """Split the agent in two: from its next start on it installs through the root half.

        Example: tiercast-endpoint root init --user tiercast-endpoint
        """

        async def work() -> None:
            said = _init(agent, user, install_root, fingerprint, socket, state)
            if json:
                emit({"root": said})
                return
            print(f"Orders of the region {said['region']} for {said['name']} count here (key {said['fingerprint']}).")
            print(f"The root half installs into {said['install_root']}; its settings stand in {said['config']}.")
            print("Start its socket, and the agent again:")
            print("  systemctl enable --now tiercast-root.socket && systemctl restart tiercast-endpoint")

        run_work(work, json=json)

    @root.command("run")
    def run_half(
        *,
        socket: Annotated[
            Path | None, typer.Option("--socket", metavar="PATH", help="Listen there; without a service manager.")
        ] = None,
        state: Folder = ROOT_STATE,
    ) -> None:
        """Answer the agent until it asks no more.

        Example: tiercast-endpoint root run --socket ./root.sock --state ./root
        """
        from tiercast_endpoint.resident import serve_root

        raise SystemExit(serve_root(state, socket))


def _init(
    agent: Path | None, user: str, install_root: Path | None, fingerprint: str, socket: str, state: Path
) -> dict[str, Any]:
    from tiercast_endpoint.halves import trusted
    from tiercast_endpoint.settings import TITLE, Settings
    from tiercast_protocol.content.sealed.digest import digest_of
    from tiercast_protocol.errors import UsageError
    from tiercast_protocol.node import config, joined, settings_file
    from tiercast_protocol.node.places import place

    where = place("endpoint", agent)
    me = joined.load(where.folder, role="endpoint")
    settings = config.load(where.config, Settings)
    found = digest_of(me.region_key).hex()[:16]
    if fingerprint and fingerprint.lower().replace(":", "") != found:
        raise UsageError(
            code="root.fingerprint",
            what=f"The region that this machine joined has the key {found}, not {fingerprint}.",
            where=str(where.folder),
            todo="Compare it with `tiercast status` of the region's server; join again with a token of that one.",
        )
    half = trusted.RootSettings(
        install_root=(install_root or settings.install_root).absolute(),
        user=user,
        prefix=settings.prefix,
        labels=settings.labels,
        variables=settings.variables,
    )
    half.uid()
    trusted.write(state, half, me)
    kept = config.load(state / trusted.CONFIG, trusted.RootSettings)
    owner = where.config.stat()
    changed = replace(settings, install_root=kept.install_root, root_socket=str(Path(socket).absolute()))
    settings_file.write(where.config, changed, title=TITLE)
    if os.geteuid() == 0:
        os.chown(where.config, owner.st_uid, owner.st_gid)
    return {
        "name": me.name,
        "region": me.region,
        "fingerprint": found,
        "install_root": str(kept.install_root),
        "socket": changed.root_socket,
        "config": str(state / trusted.CONFIG),
    }
