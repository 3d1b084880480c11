"""What holds a region together may be killed: no daemon and no broker stays behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cluster import ROOMS, ROOT, until

_HOLDER = """
import json, sys, time
from pathlib import Path
from region import Region
with Region(Path(sys.argv[1]), broker=sys.argv[2], env=json.loads(sys.argv[3])) as region:
    region.add_server()
    region.add_endpoints(["pc-1", "pc-2"])
    broker = region.cli("status")["status"]["broker"]["pid"]
    print(json.dumps([broker, *(d.pid for d in region.daemons.values())]), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("broker", ["embedded", "mosquitto"])
def test_a_killed_demo_leaves_nothing_running(broker: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="tc", dir="/tmp"))
    environment = {"PYTHONPATH": os.pathsep.join(str(ROOT / room) for room in ROOMS)}
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder), broker, json.dumps(environment)],
        cwd=ROOT / "scripts",
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        pids = json.loads(holder.stdout.readline())
        assert all(map(_runs, pids))
    finally:
        holder.kill()
        holder.communicate()
    try:
        until(lambda: not any(map(_runs, pids)), "all daemons and brokers are gone")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
