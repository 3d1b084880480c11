"""The agent of a user without rights: one script, run as nobody for real, from nothing to a package of that user.

With --long: the libraries come by pip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import ROOT, random_tree, running, until

NOBODY = 65534

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv here (util-linux)"),
]


@pytest.fixture(name="place")
def _place() -> Iterator[Path]:
    """A folder that nobody reaches; those of pytest are root's alone."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        (place / "home").mkdir()
        os.chown(place / "home", NOBODY, NOBODY)
        yield place


def as_nobody(place: Path, *words: str) -> list[str]:
    """A command with that user's rights, and none of our environment."""
    clean = ["env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin", f"HOME={place}/home"]
    return [*clean, "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *words]


def test_a_user_puts_the_agent_into_his_home_and_gets_packages(place: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(place)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=600)
    (wheel,) = place.glob("*.whl")
    wheel.chmod(0o644)
    script = place / "join.sh"
    with running() as region:
        region.add_server()
        region.cli("node", "bootstrap", "pc-1", "--from", str(wheel), "--out", str(script))
        script.chmod(0o644)

        def put_on() -> subprocess.CompletedProcess[str]:
            command = as_nobody(place, "sh", str(script))
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=900, cwd="/")

        done = put_on()
        assert done.returncode == 0, done.stderr
        start = done.stderr.strip().rpartition("start it with: ")[2].split()
        assert start[1:] == ["run", "--state", f"{place}/home/.local/share/tiercast/endpoint"]
        again = put_on()
        assert (again.returncode, "has joined already; start it with: " in again.stderr) == (1, True)

        with subprocess.Popen(as_nobody(place, *start), stderr=subprocess.DEVNULL, cwd="/") as agent:
            try:
                online = lambda: any(one["online"] for one in region.cli("node", "list")["nodes"])  # noqa: E731
                until(online, "it has reached its parent", 60)
                source = random_tree(tmp_path / "app", seed=3, files=2, size=9_000)
                region.cli("package", "build", str(source), "--name", "app", "--version", "1")
                assert region.cli("job", "install", "app", "--on", "pc-1", "--watch")["job"]["state"] == "done"
            finally:
                agent.terminate()
                agent.wait(60)
        tree = place / "home/.local/share/tiercast/apps/app"
        assert {path.stat().st_uid for path in tree.resolve().rglob("*")} == {NOBODY}
