"""An agent of two halves, started by its starter: real processes, and where root runs the test, real users."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import site
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from activation import Activation, socket_of
from cluster import ROOT, asked, running, until
from region import _LAUNCHER, Region, tail

#: What starts the root half when it is asked.
ACTIVE: list[Activation] = []
PARTS = ("protocol/tiercast_mqtt", "protocol/tiercast_protocol", "endpoint/tiercast_endpoint")
DEFINITION = """
name = "tiercast-agent"
version = "{version}"

[run_after]
argv = ["/bin/true"]
idempotent = true
"""


@dataclass
class Kept:
    """What a service manager does with `Restart=always`."""

    command: list[str]
    environment: dict[str, str]
    user: int
    log: Path
    pids: list[int] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with self.log.open("ab") as log:
            while not self.stop.is_set():
                more = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
                process = subprocess.Popen(
                    self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more
                )  # type: ignore[call-overload]
                self.pids.append(process.pid)
                while process.poll() is None:
                    if self.stop.wait(0.05):
                        process.send_signal(signal.SIGTERM)
                        process.wait()


@contextmanager
def kept(one: Kept) -> Iterator[Kept]:
    thread = threading.Thread(target=one.run, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        one.stop.set()
        thread.join()


def other_user(environment: dict[str, str]) -> tuple[str, int]:
    """An interpreter that another user can run with our libraries, and that user; else our own."""
    libraries = os.pathsep.join([environment["PYTHONPATH"], *site.getsitepackages()])
    probe = "import msgspec, cryptography, tiercast_endpoint.resident"
    for python in (sys.executable, "/usr/bin/python3") if os.geteuid() == 0 else ():
        environment = {**environment, "PYTHONPATH": libraries}
        try:
            done = subprocess.run(
                [python, "-c", probe], env=environment, user=65534, group=65534, extra_groups=[], check=False,
                capture_output=True,
            )  # fmt: skip
        except OSError:
            continue
        if done.returncode == 0:
            return python, 65534
    return sys.executable, os.geteuid()


@pytest.fixture(scope="module", name="halved")
def _halved() -> Iterator[Region]:
    with running() as region:
        region.add_server()
        agent = region.add_endpoint("pc")
        region.kill("pc", signal.SIGTERM)
        agent.process = None
        environment = region.environment()
        python, uid = other_user(environment)
        user = pwd.getpwuid(uid).pw_name
        half, path = region.folder / "half", socket_of(region.folder)
        words = ("--agent", str(agent.folder), "--user", user, "--socket", str(path))
        region.tool("tiercast_endpoint", "root", "init", "--state", str(half), *words)
        if uid != os.geteuid():
            shutil.rmtree(region.apps("pc"))  # the agent alone has made it: from now on it is root's
            for place in (agent.folder, *agent.folder.rglob("*")):
                os.chown(place, uid, uid, follow_symlinks=False)
            region.folder.chmod(0o755)
            environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], *site.getsitepackages()])
        starter = [python, "-m", "tiercast_endpoint.update.starter", "run", "--state", str(agent.folder)]
        launched = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *starter]
        command = [sys.executable, "-m", "tiercast_endpoint.update.root_starter", "root", "run", "--state", str(half)]
        with Activation(path, command, region.environment()) as activation:
            ACTIVE[:] = [activation]
            os.chown(path, uid, uid)
            one = Kept(starter if uid else launched, environment, uid, agent.log)
            with kept(one):
                until(agent.socket.exists, "the agent is there", 60)
                yield region


def built(region: Region, folder: Path, version: str, broken: str = "") -> None:
    """The agent's own package: this code, which says that it is `version`."""
    tree = folder / version / "tree"
    for part in PARTS:
        inner = tree / "lib" / Path(part).name
        shutil.copytree(ROOT / part, inner, ignore=shutil.ignore_patterns("__pycache__"))
    said = tree / "lib/tiercast_protocol/__init__.py"
    text, times = re.subn(r'(?m)^__version__ = ".*"$', f'__version__ = "{version}"', said.read_text())
    assert times == 1
    said.write_text(text)
    if broken:
        (tree / "lib/tiercast_endpoint/__main__.py").write_text(broken)
    (folder / version / "package.toml").write_text(DEFINITION.format(version=version))
    region.cli("package", "build", str(tree), "--definition", str(folder / version / "package.toml"))


def test_what_is_installed_is_roots(halved: Region, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(os.urandom(300_000))
    (tree / "small").write_text("x")
    halved.cli("package", "build", str(tree), "--name", "app", "--version", "1")
    done = halved.cli("job", "install", "app", "--on", "pc", "--watch")
    assert done["job"]["state"] == "done", halved.cli("job", "receipt", done["job"]["job"], "pc", check=False)
    placed = halved.apps("pc") / "app" / "file"
    assert placed.read_bytes() == (tree / "file").read_bytes()
    assert placed.stat().st_uid == os.geteuid()
    assert asked(halved, "status", at="pc")["packages"] == 1


def test_a_new_version_is_tried_out_and_a_bad_one_goes_back_alone(halved: Region, tmp_path: Path) -> None:
    first = asked(halved, "status", at="pc")["version"]
    built(halved, tmp_path, "9.1")
    built(halved, tmp_path, "9.2", broken="raise SystemExit('no good')\n")
    done = halved.cli("job", "install", "tiercast-agent=9.1", "--on", "pc", "--watch", check=False)
    assert done["job"]["state"] == "done", tail(halved.daemons["pc"].log, 60)
    assert first != asked(halved, "status", at="pc")["version"] == "9.1"
    # the half that is root goes on in the same version, from its next start on
    for pid in ACTIVE[0].pids:
        os.kill(pid, signal.SIGTERM)
    until(lambda: not ACTIVE[0].pids, "the root half has ended")
    assert asked(halved, "verify", at="pc", package="tiercast-agent")[0]["whole"]
    half = json.loads((halved.folder / "half/root-version.json").read_text())
    assert half["good"] == str((halved.apps("pc") / "tiercast-agent").readlink()), half

    done = halved.cli("job", "install", "tiercast-agent=9.2", "--on", "pc", "--watch", check=False)
    receipt = halved.cli("job", "receipt", done["job"]["job"], "pc")["receipt"]
    assert (receipt["state"], receipt["code"]) == ("failed", "agent.unconfirmed")
    assert "3 times within a minute" in receipt["detail"]
    assert asked(halved, "status", at="pc")["version"] == "9.1"
    link = (halved.apps("pc") / "tiercast-agent").readlink()
    record = json.loads((halved.daemons["pc"].folder / "agent-version.json").read_text())
    assert record["good"] == str(link)
