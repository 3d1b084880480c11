"""The page "Jobs": every command on it, typed in the order of the page, in a region such as the page speaks of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cluster import build, running, until
from pages import Page, Typed, Typist, noon, stand_ins

PAGE = Page.of("jobs.md")
PROGRAMS = ("/usr/bin/systemctl", "/opt/site/nightly", "/opt/site/restore-cups")
MACHINES = ["pc-1", "pc-2", "pc-3", "pc-17"]
PACKAGES = [
    "runtime=2.1",
    "fonts=1.0",
    "editor=2.0",
    "editor=2.1",
    "editor=2.2",
    "games=1.0",
    "viewer=1.4",
    "cups-filters=2.0",
]
SALES = "tiercast job install editor --group sales"
VIEWER = "tiercast rollout start viewer --target 'below berlin' --wave 'group kiosks' --wave 1 --wave rest --by-hand"


def called(word: str, line: str) -> Typed:
    return Typed(before=lambda typist: typist.call(word, line))


def failed(typist: Typist) -> None:
    """A program that fails on its machine is what `j-17` is from here on."""
    socket = str(typist.region.daemons["server"].socket)
    run = ("job", "run", "--on", "pc-1", "--json", "--", "/bin/false")
    made = json.loads(typist.region.tool("tiercast_cli", "--socket", socket, *run).stdout)
    typist.words["j-17"] = typist.done(job=made["job"], states=("failed",))


def plan_shown() -> tuple[str, ...]:
    """The table of the page, as patterns: its head, and of each step its branch of the tree, its name and its state."""
    (table,) = (text for _, text in PAGE.blocks if text.startswith("STEP "))
    head, *rows = table.splitlines()
    cells = [re.match(r"([ │├└─]*\S+) +(\w+)", row) for row in rows]
    assert all(cells)
    return (r" +".join(head.split()), *(f"^{cell[1]} +{cell[2]}" for cell in cells if cell))


def ended(typist: Typist, noun: str) -> None:
    """Until what was cancelled last has ended."""
    name = typist.words[{"plan": "p1-ab12", "rollout": "r3-5d1a"}[noun]]
    until(lambda: typist.region.cli(noun, "show", name)[noun]["state"] == "cancelled", f"{name} is cancelled", 120)


def first_wave(typist: Typist) -> None:
    """Until the first wave of the rollout has it."""
    until((typist.region.apps("pc-3") / "viewer").exists, "pc-3 has the package of the first wave", 120)


SAID = {
    "tiercast job offer editor --group sales --expires 14d": Typed(gives="j-17"),
    "tiercast-endpoint offers": Typed(again=True, shows=(r"editor=2\.2",)),
    "tiercast-endpoint accept j-17": Typed(shows=("is accepted",)),
    "tiercast-endpoint decline j-17": Typed(owner="pc-1", again=True, shows=("is declined",)),
    "tiercast job run --group sales --timeout 10m --exit 0 --exit 3 --user backup -- /opt/site/nightly --quick": Typed(
        gives="JOB"
    ),
    "tiercast job receipt JOB pc-17": Typed(
        before=lambda typist: typist.done(states=("done", "failed")), shows=("pc-17",)
    ),
    "tiercast-endpoint messages --unread": Typed(again=True, shows=("Tonight", "leave the machine on")),
    "tiercast job draft install editor=2.1 --group sales --folder sites/berlin --deadline 23:00": Typed(
        gives="j7-ab12"
    ),
    "tiercast job draft install 'editor={version}' --on pc-1 --expires 7d": Typed(gives="j8-cd34"),
    "tiercast job rerun j-17 --failed": Typed(before=failed),
    "tiercast job history j-17 --state failed --since 7d": Typed(before=failed, shows=("pc-1", "failed")),
    "tiercast job cancel j-17 --on pc-1 --group pilots": called(
        "j-17", "tiercast job install editor --group sales --distribute-at"
    ),
    "tiercast job cancel j-17 --force": called("j-17", "tiercast job install editor --group sales --prepare-by"),
    "tiercast job install suite --group sales --dry-run": Typed(
        shows=(r"First runtime=2\.1 on 3 nodes", r"fonts=1\.0")
    ),
    "tiercast job install fonts --group sales --install-when start --defer-max 2 --rejectable": Typed(gives="j-17"),
    "tiercast-endpoint defer j-17 --for 2h": Typed(again=True, shows=("waits until",)),
    "tiercast job show j-17 --deferred": Typed(again=True, shows=("pc-17", "deferred")),
    "tiercast owner list --by group": Typed(shows=("sales",)),
    "tiercast plan run night.toml": Typed(gives="p1-ab12"),
    "tiercast plan show p1-ab12": Typed(again=True, shows=plan_shown()),
    "tiercast plan watch p1-ab12": Typed(endless=True, exit=130, shows=("stop-cups",)),
    "tiercast plan rerun p1-ab12 --failed": Typed(before=lambda typist: ended(typist, "plan")),
    "tiercast job show j-17": called("j-17", "tiercast job create --file job.toml --watch"),
    "tiercast why j-17": Typed(
        before=lambda typist: typist.call("j-17", f"{SALES} --install-when shutdown"), shows=("stopped",)
    ),
    "tiercast-endpoint why": Typed(shows=("deferred",)),
    f"{VIEWER} --stop-at 3 --rate 2MB/s": Typed(gives="r3-5d1a"),
    "tiercast why r3-5d1a pc-17": Typed(before=first_wave, shows=("gate",)),
    "tiercast rollout undo r3-5d1a --dry-run": Typed(before=lambda typist: ended(typist, "rollout")),
}


@pytest.mark.timeout(600)  # of a machine that is busy; half a minute of one that is not
def test_every_command_of_the_page_is_typed(tmp_path: Path) -> None:
    with running() as region, stand_ins(*PROGRAMS) as words:
        region.env["TZ"] = noon()
        region.add_server()
        region.add_gateway("berlin")
        region.add_endpoints(MACHINES, "berlin")
        for package in PACKAGES:
            source = tmp_path / package
            source.mkdir()
            (source / "readme").write_text(f"{package}\n" * 1000)
            build(region, source, *package.split("="))
        (tmp_path / "suite/checks").mkdir(parents=True)
        for place in ("/run/tiercast/gateway.sock", "/var/lib/tiercast/gateway/control.sock"):
            words[place] = str(region.daemons["berlin"].socket)
        typist = Typist(region, tmp_path, words)
        typist.page(PAGE, SAID)
        typist.check()
        for name in MACHINES:  # what waits for their shutdown would be installed now, for as long as they may take
            region.kill(name)
