"""Inventory and power through real daemons: every command of both pages, a machine that sleeps, and a cut-off site.

The machine that sleeps is a listener for magic packets that starts the agent when one comes.
"""

from __future__ import annotations

import re
import shlex
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cluster import asked, build, random_tree, running, states, until
from region import Daemon, Region
from settled import joined, settle
from tiercast_cli.__main__ import app
from tiercast_endpoint.terminal import app as endpoint_app
from tiercast_protocol.content.jobs.power import magic_packet

DOCS = Path(__file__).parents[2] / "docs"
MAC = "02:00:00:00:00:18"


class Sleeper:
    """A machine that sleeps until the packet comes that wakes it."""

    def __init__(self, region: Region, daemon: Daemon) -> None:
        self.region, self.daemon = region, daemon
        self.heard, self.deaf = 0, False
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._out.bind(("127.0.0.1", 0))
        self._out.settimeout(0.1)
        self.port = int(self._out.getsockname()[1])
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen)

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                packet = self._out.recv(1500)
            except TimeoutError:
                continue
            if packet == magic_packet(MAC):
                self.heard += 1
                process = self.daemon.process
                if not self.deaf and (process is None or process.poll() is not None):
                    self.region.start(self.daemon)

    def sleep(self) -> None:
        """Be off, without a goodbye."""
        self.region.kill(self.daemon.name)

    @contextmanager
    def listening(self) -> Iterator[Sleeper]:
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join()
            self._out.close()


def do(region: Region, page: str) -> dict[str, str]:
    """Run every command of a page; what each printed."""
    printed: dict[str, str] = {}
    blocks = re.split(r"^```.*\n", (DOCS / page).read_text("utf-8"), flags=re.MULTILINE)[1::2]
    for line in (line for block in blocks for line in block.splitlines() if line.startswith("tiercast")):
        name, *words = shlex.split(line, comments=True)
        if name == "tiercast":
            done = CliRunner().invoke(app, ["--socket", str(region.daemons["server"].socket), *words])
        else:
            done = CliRunner().invoke(endpoint_app, [*words, "--state", str(region.daemons["pc-18"].folder)])
        assert done.exit_code == 0, f"{line}: {done.output} {done.exception!r}"
        printed[line] = done.output
    return printed


def test_machines_tell_what_they_are_and_are_woken_and_sleep_again(tmp_path: Path) -> None:
    down = tmp_path / "down"
    script = tmp_path / "power"
    script.write_text(f'#!/bin/sh\necho "$0 $1 $TIERCAST_JOB" >> {down}\n', "utf-8")
    script.chmod(0o755)
    with running() as region:
        region.add_server()
        berlin = region.add_gateway("berlin")
        awake, asleep = joined(region, "pc-17", "berlin"), joined(region, "pc-18", "berlin")
        for daemon in (awake, asleep):
            commands = {f"{kind}_command": f'["{script}", "{kind}"]' for kind in ("shutdown", "reboot")}
            settle(daemon, "power", **commands, sleep_delay='"1s"', notice='"1s"')
        settle(asleep, "inventory", wake_mac=f'"{MAC}"')
        facts = awake.folder / "facts.d"
        facts.mkdir(mode=0o755)
        for name, body in {"rack.sh": "echo unit=4", "broken": "exit 3"}.items():
            (facts / name).write_text(f"#!/bin/sh\n{body}\n", "utf-8")
            (facts / name).chmod(0o755)
        machine = Sleeper(region, asleep)
        region.kill("berlin")
        settle(berlin, "power", wake_to=f'["127.0.0.1:{machine.port}"]', patience='"1s"')
        region.restart("berlin")
        for daemon in (awake, asleep):
            region.start(daemon)
        until(lambda: asked(region, "inventory.count")["machines"] == 2, "both said what they are", 30)
        with machine.listening():
            inventory_story(region, tmp_path)
            power_story(region, machine, down)


def inventory_story(region: Region, tmp_path: Path) -> None:
    """Every command of the page; what was installed is there at once; a gateway answers alone."""
    printed = do(region, "inventory.md")
    assert "rack.unit=4" in printed["tiercast inventory show pc-17"]
    assert "broken: ended with status 3" in printed["tiercast node show pc-17"]
    assert "linux" in printed["tiercast group show linux"] or "pc-18" in printed["tiercast group show linux"]
    one = asked(region, "inventory.show", node="pc-17", software=True)
    assert one["software"] == asked(region, "inventory.show", node="pc-18", software=True)["software"]
    build(region, random_tree(tmp_path / "app", seed=1, files=2, size=1000), "app", "1")
    region.cli("job", "install", "app", "--on", "pc-17", "--watch")
    until(lambda: "app" in asked(region, "inventory.show", node="pc-17")["facts"]["packages"], "it is told", 10)
    changes = asked(region, "inventory.history", node="pc-17", fact="packages.*")
    assert (changes[0]["fact"], changes[0]["new"]) == ("packages.app", "1")
    region.kill("server")
    found = asked(region, "inventory.count", at="berlin", where='packages["app"] == "1"')
    assert (found["machines"], found["of"]) == (1, 2)
    assert asked(region, "inventory.tally", at="berlin", by="os")["groups"] == [{"value": "linux", "machines": 2}]
    region.restart("server")


def power_story(region: Region, machine: Sleeper, down: Path) -> None:
    """Woken for a job and asleep again, by hand, and not at all."""

    def is_gone() -> bool:
        rows = asked(region, "status", at="berlin")["children"]
        return not next(row["online"] for row in rows if row["name"] == "pc-18")

    machine.sleep()
    until(is_gone, "its gateway knows that it sleeps", 30)
    job = region.cli("job", "message", "--on", "pc-18", "--wake", "--sleep-after", "Good night.")["job"]
    until(lambda: states(region, job) == {"pc-18": "done"}, "it was woken for its job", 30)
    until(lambda: down.exists() and f"shutdown {job}" in down.read_text(), "and sleeps again", 20)
    machine.sleep()
    until(is_gone, "it is off", 30)

    machine.deaf = True
    late = region.cli("job", "message", "--on", "pc-18", "--wake", "Are you there?")["job"]

    def why() -> dict[str, Any]:
        found: dict[str, Any] = asked(region, "job.why", job=late, target="pc-18")["chain"][0]
        return found

    until(lambda: why()["code"] == "wake.failed", "it did not wake", 30)
    assert why()["facts"]["tries"] == 3
    assert "did not wake: 3 packets since" in why()["says"]
    machine.deaf = False

    printed = do(region, "power.md")
    assert "awake" in printed["tiercast node wake pc-18 --wait 20s"]
    until(lambda: states(region, late) == {"pc-18": "done"}, "by hand it woke, so its job is done", 20)
    until(lambda: f"{down.parent}/power reboot" in down.read_text(), "a restart is the machine's own command", 20)
    assert "pc-17" in printed["tiercast node shutdown pc-17 --defer-max 0 --watch"]
    assert asked(region, "link.show", node="berlin", child="pc-18")["terms"]["wake"] is True
