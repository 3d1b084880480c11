"""The agent's .deb: the same bytes each time, and installed into a root of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for tool in ("dpkg", "dpkg-deb"):
        if shutil.which(tool) is None:
            pytest.fail(f"{tool} is not installed", pytrace=False)
    return build(tmp_path_factory.mktemp("deb"))


def build(out: Path) -> Path:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    command = [str(ROOT / "deploy" / "deb" / "build"), str(out), "--no-libraries"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=100)
    return Path(done.stdout.strip())


def test_the_same_sources_give_the_same_bytes(deb: Path, tmp_path: Path) -> None:
    again = build(tmp_path / "again")
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(deb.read_bytes()).digest()
    listed = subprocess.run(["dpkg-deb", "-c", str(deb)], capture_output=True, text=True, check=True).stdout
    lines = listed.splitlines()
    assert all(" root/root " in line and "2023-11-14" in line for line in lines)
    assert "__pycache__" not in listed
    assert not any("tiercast_server" in line or "tiercast_gateway" in line for line in lines)


def dpkg(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    options = [
        "--root",
        str(root),
        "--force-depends",
        "--force-not-root",
        "--force-script-chrootless",
        "--force-bad-path",
    ]
    return subprocess.run(["dpkg", *options, *words], capture_output=True, text=True, check=False, timeout=100)


def test_it_is_installed_and_taken_away_again(deb: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "var/lib/dpkg/info").mkdir(parents=True)
    (root / "var/lib/dpkg/updates").mkdir()
    for name in ("status", "available"):
        (root / "var/lib/dpkg" / name).write_text("")
    done = dpkg(root, "-i", str(deb))
    assert done.returncode == 0, done.stderr
    units = root / "usr/lib/systemd/system"
    assert sorted(path.name for path in units.iterdir()) == [
        "tiercast-endpoint.service",
        "tiercast-recover.service",
        "tiercast-root.service",
        "tiercast-root.socket",
    ]
    started = (units / "tiercast-endpoint.service").read_text().partition("ExecStart=")[2].split()[0]
    wrapper = root / started.lstrip("/")
    assert os.access(wrapper, os.X_OK)
    assert "tiercast_endpoint.update.starter" in wrapper.read_text()
    assert (root / "opt/tiercast/lib/tiercast_endpoint/__main__.py").is_file()
    assert "tiercast-endpoint" in (root / "usr/lib/sysusers.d/tiercast-endpoint.conf").read_text()
    assert dpkg(root, "--purge", "tiercast-endpoint").returncode == 0
    assert not (root / "opt/tiercast/lib/tiercast_endpoint").exists()


def test_the_agents_own_package_has_what_the_starter_starts(tmp_path: Path) -> None:
    made = tmp_path / "agent"
    command = [str(ROOT / "deploy" / "agent-package"), str(made), "--no-libraries"]
    subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert (made / "tree/lib/tiercast_endpoint/update/starter.py").is_file()
    assert os.access(made / "tree/check", os.X_OK)
    assert "idempotent = true" in (made / "package.toml").read_text()
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
