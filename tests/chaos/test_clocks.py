"""Clocks that step by a year, both ways, in the middle of a transfer: of each tier, and of all at once.

Rules
- What steps is the wall clock as the daemons read it, each by what a file of its own says; monotonic time stays true,
  as it does when a real clock is set.
- The order lives longer than the step: one that has expired by a machine's clock is rightly not begun there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import assert_balanced, assert_installed, build, random_tree, running, until
from region import Region

YEAR = 365 * 86_400
TIERS = ("server", "gateway", "pc-1")
STEPS = (
    {"server": YEAR, "gateway": YEAR, "pc-1": YEAR},
    {"server": 0, "gateway": -YEAR},
    {"gateway": YEAR, "pc-1": -YEAR},
)

#: Python imports this by itself, before any of ours.
SEAM = """
import os, time

path, wall, wall_ns, steady = os.environ["CLOCK_STEP"], time.time, time.time_ns, time.monotonic
said = [float("-inf"), 0]

def step():
    if steady() > said[0] + 0.02:
        with open(path) as file:
            said[:] = steady(), int(file.read())
    return said[1]

time.time = lambda: wall() + step()
time.time_ns = lambda: wall_ns() + step() * 1_000_000_000
"""


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    seam = tmp_path / "seam"
    seam.mkdir()
    (seam / "sitecustomize.py").write_text(SEAM)
    with running() as region:
        whole = region.env.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        region.env["PYTHONPATH"] = f"{seam}{os.pathsep}{whole}"
        for name in TIERS:
            step(tmp_path, name, 0)
            region.env["CLOCK_STEP"] = str(tmp_path / name)
            if name == "server":
                region.add_server()
            elif name == "gateway":
                region.add_gateway(name)
            else:
                region.add_endpoint(name, "gateway")
        del region.env["CLOCK_STEP"]
        region.env["PYTHONPATH"] = whole
        yield region


def step(folder: Path, name: str, seconds: int) -> None:
    """Set a tier's clock."""
    new = folder / f"{name}.new"
    new.write_text(f"{seconds:+d}\n")
    new.rename(folder / name)


def test_clocks_step_by_a_year_both_ways(region: Region, tmp_path: Path) -> None:
    region.cli("link", "set", "gateway", "--rate", "1MB/s")
    meter = region.meter()
    for number, steps in enumerate(STEPS):
        name = f"app{number}"
        source = random_tree(tmp_path / f"tree{number}", seed=number, files=8, size=1_500_000)
        stored = build(region, source, name, "1")["stored_bytes"]
        meter.restart()
        job = region.cli("job", "install", name, "--on", "pc-1", "--expires", "366d")["job"]
        until(lambda size=stored: meter.bytes()["server -> gateway"] > 0.2 * size, "a part came through")
        for tier, seconds in steps.items():
            step(tmp_path, tier, seconds)
        until(lambda job=job: region.cli("job", "show", job)["job"]["state"] != "open", f"the job ends ({steps})", 60)
        ended = region.cli("job", "show", job)["job"]
        assert ended["counts"] == {"done": 1}, (steps, ended)
        assert_installed(region, ["pc-1"], name, source)
    for tier in TIERS:  # a question that has expired by the clock of whoever is asked is not answered
        step(tmp_path, tier, 0)
    assert_balanced(region)
