"""Endpoints that joined and do not run yet, and settings that are written as a sysadmin would with an editor."""

from __future__ import annotations

import re

from region import Daemon, Region


def joined(region: Region, name: str, parent: str) -> Daemon:
    """An endpoint that has joined and does not run yet, so that its settings can be written."""
    daemon = Daemon(name, "endpoint", parent, region.folder / name)
    token = str(region.cli("node", "invite", name, "--parent", parent)["token"])
    region.tool(
        *("tiercast_endpoint", "join", token),
        *("--state", str(daemon.folder), "--install-root", str(region.apps(name))),
    )
    region.daemons[name] = daemon
    return daemon


def settle(daemon: Daemon, table: str, **said: str) -> None:
    """Write settings of one table as a sysadmin would with an editor."""
    file = daemon.folder / f"{daemon.role}.toml"
    head, mark, text = file.read_text("utf-8").partition(f"[{table}]\n")
    for key, value in said.items():
        text, times = re.subn(rf"(?m)^#? ?{key} = .*$", lambda _, k=key, v=value: f"{k} = {v}", text, count=1)
        assert times, f"{file.name} has no {key} in [{table}]"
    file.write_text(head + mark + text, "utf-8")
