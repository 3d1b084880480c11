"""The units are ones that systemd accepts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tiercast_endpoint.halves.root_commands import ROOT_STATE, SOCKET

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
#: The agent is started by what chooses its version.
PROGRAM = {"endpoint": "tiercast-agent"}
TIERS = ("server", "gateway", "endpoint")


def _unit(tier: str) -> str:
    return (FOLDER / f"tiercast-{tier}.service").read_text()


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.fail("systemd-analyze is not installed: apt install systemd", pytrace=False)
    return found


@pytest.mark.parametrize("tier", [*TIERS, "recover"])
def test_systemd_accepts_it(analyze: str, tmp_path: Path, tier: str) -> None:
    text, n = re.subn(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", _unit(tier))  # verify wants it to exist
    assert n == 1
    unit = tmp_path / f"tiercast-{tier}.service"
    unit.write_text(text)
    result = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [
        line for line in (result.stdout + result.stderr).splitlines() if f"tiercast-{tier}" in line or unit.name in line
    ]
    assert (result.returncode, said) == (0, [])


def test_systemd_accepts_the_root_half(analyze: str, tmp_path: Path) -> None:
    names = ("tiercast-root.socket", "tiercast-root.service")
    for name in names:
        text = (FOLDER / name).read_text()
        (tmp_path / name).write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", text))
    result = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", *(str(tmp_path / name) for name in names)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in (result.stdout + result.stderr).splitlines() if "tiercast-root" in line]
    assert (result.returncode, said) == (0, [])


def test_systemd_accepts_what_is_closed_to_the_network_half(analyze: str, tmp_path: Path) -> None:
    name = "tiercast-endpoint.service"
    (tmp_path / name).write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", _unit("endpoint")))
    (tmp_path / f"{name}.d").mkdir()
    (tmp_path / f"{name}.d" / "two-halves.conf").write_text((FOLDER / "two-halves.conf").read_text())
    result = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", str(tmp_path / name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    said = [line for line in (result.stdout + result.stderr).splitlines() if "two-halves" in line or name in line]
    assert (result.returncode, said) == (0, [])


def test_the_root_half_is_asked_by_the_agent_alone() -> None:
    lines = (FOLDER / "tiercast-root.socket").read_text().splitlines()
    for line in ("Accept=no", "SocketUser=tiercast-endpoint", "SocketMode=0600", f"ListenStream={SOCKET}"):
        assert line in lines
    service = (FOLDER / "tiercast-root.service").read_text()
    assert f"root run --state {ROOT_STATE}\n" in service
    assert "[Install]" not in service, "only its socket begins it"


def test_a_mistake_would_be_seen(analyze: str, tmp_path: Path) -> None:
    unit = tmp_path / "wrong.service"
    unit.write_text("[Service]\nType=notify\nExecStart=/does/not/exist\nWatchdogSec=soon\n")
    result = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "wrong.service" in result.stderr


@pytest.mark.parametrize("tier", TIERS)
def test_what_every_unit_has(tier: str) -> None:
    text = _unit(tier)
    for line in (
        "Type=notify",
        f"StateDirectory=tiercast/{tier}",
        f"RuntimeDirectory=tiercast/{tier}",
        f"User=tiercast-{tier}",
        "NoNewPrivileges=yes",
        f"ExecStart=/opt/tiercast/bin/{PROGRAM.get(tier, f'tiercast-{tier}')} run --state /var/lib/tiercast/{tier}",
    ):
        assert line in text.splitlines()
    assert re.search(r"(?m)^WatchdogSec=\d+$", text)
    assert f"u tiercast-{tier} " in (FOLDER / "tiercast.sysusers").read_text()


def test_a_package_is_no_operator() -> None:
    assert "Group=tiercast\n" not in _unit("endpoint")
