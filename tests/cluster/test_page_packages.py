"""The pages "Packages", "Transactions" and "Desired state": every command on them, typed in order, in one region."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cluster import ROOT, asked, build, running, until
from pages import Page, Typed, Typist, noon, stand_ins
from settled import joined, settle

MACHINES = ("pc-1", "pc-2", "pc-17")
LIBRARY = ("runtime=2.1", "fonts=1.0", "editor=2.0", "editor=2.1", "hello=1.0", "games=1.0", "printing=1.0")
#: What lies in the folders of which the pages show the definitions.
TREES = {
    "editor": ("bin/editor",),
    "app": ("bin/app",),
    "web": ("index.html",),
    "tool": ("arm64/bin/tool", "amd64/bin/tool"),
    "driver": ("health.sh",),
}
TWICE = "tiercast job install editor=2.0 --group sales --two-phase --commit-at-least 90% --undo-if-failed 10%"

PACKAGES = {
    "tiercast package init ./editor": Typed(shows=("package.toml is written",)),
    "tiercast package build ./editor": Typed(shows=("editor",)),
    "tiercast package show editor --on pc-17": Typed(again=True, shows=("pc-17",)),
    "tiercast package diff editor=2.0 editor=2.1": Typed(shows=("readme",)),
    "tiercast job install app --on pc-17 --dry-run": Typed(
        shows=(r"First fonts=1\.0 on 1 node: .+ each", r"First runtime=2\.1 on 1 node")
    ),
    "tiercast job remove runtime --on pc-17": Typed(exit=1, shows=("needs",)),
    "tiercast package show web --on pc-17": Typed(shows=("8080",)),
    "tiercast package show tool --on pc-17": Typed(shows=(r"pc-17 .*\b(arm|pc)\b",)),
    "tiercast package test editor=2.1 --on pc-17": Typed(shows=("test",)),
}


def phase(typist: Typist, job: str, name: str) -> None:
    """Until every target of a set of machines is so far."""

    def so_far() -> bool:
        shown = asked(typist.region, "job.show", job=typist.words[job])["targets"]
        return bool(shown) and all((one.get("phase") or one["state"]) == name for one in shown)

    until(so_far, f"{job} is {name}", 120)


def restart_waits(typist: Typist) -> None:
    """Until what was ordered last waits for a restart of its machine."""

    def waits() -> bool:
        return bool(asked(typist.region, "job.show", job=typist.last)["targets"][0]["code"] == "reboot.waits")

    until(waits, "it waits for a restart", 120)


TRANSACTIONS = {
    "tiercast job install editor=2.1 --group sales --two-phase": Typed(gives="j-17"),
    "tiercast job show j-17": Typed(before=lambda typist: phase(typist, "j-17", "prepared"), shows=("prepared",)),
    "tiercast job accept j-17": Typed(before=lambda typist: phase(typist, "j-17", "committed")),
    TWICE: Typed(gives="j-18"),
    "tiercast-endpoint reboot --later 2h": Typed(before=restart_waits),
    "tiercast job undo j-18": Typed(before=lambda typist: phase(typist, "j-18", "committed")),
}


@pytest.mark.timeout(600)  # of a machine that is busy; half a minute of one that is not
def test_every_command_of_the_pages_is_typed(tmp_path: Path) -> None:
    programs = ("/sbin/shutdown",)
    with running() as region, stand_ins(*programs) as words:
        region.env |= {"TZ": noon(), "TIERCAST_SSH": f"{sys.executable} {ROOT}/tests/support/ssh_stand_in.py"}
        region.add_server()
        region.env["AT"] = str(region.daemons["server"].socket)
        region.add_gateway("berlin")
        for name in MACHINES:
            daemon = joined(region, name, "berlin")
            command = f'["{words["/sbin/shutdown"]}"]'
            settle(daemon, "power", shutdown_command=command, reboot_command=command)
            region.start(daemon)
        for package in LIBRARY:
            (tmp_path / package).mkdir()
            (tmp_path / package / "readme").write_text(f"{package}\n" * 1000)
            build(region, tmp_path / package, *package.split("="))
        for folder, files in TREES.items():
            for file in (tmp_path / folder / name for name in files):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("#!/bin/sh\nexit 0\n")
                file.chmod(0o755)
        for place, daemon in (("/srv/tiercast", "server"), ("/var/lib/tiercast/gateway", "berlin")):
            words[f"{place}/control.sock"] = str(region.daemons[daemon].socket)
        region.cli("group", "create", "sales", "pc-1", "pc-2")
        typist = Typist(region, tmp_path, words)
        typist.page(Page.of("packages.md"), PACKAGES)
        typist.page(Page.of("transactions.md"), TRANSACTIONS)
        typist.page(Page.of("desired-state.md"), {})
        for name in MACHINES:
            region.kill(name)
        typist.check()
