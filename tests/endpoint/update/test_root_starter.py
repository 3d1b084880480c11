"""Which version of the root half starts: the installed one where it is root's alone and good, else the older one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tiercast_endpoint.update import root_starter, starter, trial

ROOT = Path(__file__).parents[3]
PACKAGE = root_starter.PACKAGE


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An install root and a folder of the root half."""
    (tmp_path / "root/.trees" / PACKAGE).mkdir(parents=True)
    (tmp_path / "half").mkdir()
    (tmp_path / "half/root.toml").write_text(f'install_root = "{tmp_path / "root"}"\n')
    return tmp_path


def version(place: Path, digest: str, source: str) -> str:
    """A version whose whole program is `source`, installed."""
    tree = f".trees/{PACKAGE}/{digest}"
    code = place / "root" / tree / "lib/tiercast_endpoint"
    code.mkdir(parents=True)
    (code / "__init__.py").touch()
    (code / "__main__.py").write_text(source)
    (code / "update").symlink_to(Path(starter.__file__).parent)
    for path in (place / "root").rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    link = place / "root" / PACKAGE
    link.unlink(missing_ok=True)
    link.symlink_to(tree)
    return tree


GOOD = """
import os, sys, pathlib
from tiercast_endpoint.update import root_starter
root_starter.reached(pathlib.Path(sys.argv[sys.argv.index("--state") + 1]))
print("new", os.environ["TIERCAST_ROOT_TREE"], *sys.argv[1:3])
"""


def start(place: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / one) for one in ("endpoint", "protocol"))}
    command = [sys.executable, "-m", "tiercast_endpoint.update.root_starter", "root", "run", "--state"]
    return subprocess.run(
        [*command, str(place / "half")], capture_output=True, text=True, check=False, timeout=60, env=environment
    )


def record(place: Path) -> trial.Record:
    return starter.load(place / "half" / root_starter.FILE)


def test_the_installed_version_is_started_and_is_good_once_it_can_answer(place: Path) -> None:
    tree = version(place, "0" * 16, GOOD)
    done = start(place)
    assert done.stdout.split() == ["new", tree, "root", "run"], done.stderr
    assert (record(place).good, record(place).trial) == (tree, "")


def test_one_that_does_not_come_so_far_is_refused_and_the_one_before_goes_on(place: Path) -> None:
    good = version(place, "0" * 16, GOOD)
    start(place)
    bad = version(place, "1" * 16, "raise SystemExit('broken')\n")
    for _ in range(trial.MOST_STARTS):
        assert "broken" in start(place).stderr
    done = start(place)
    assert done.stdout.split()[:2] == ["new", good], done.stderr
    assert (record(place).refused, record(place).good) == (bad, good)
    # and stays so, until the link leads elsewhere
    assert start(place).stdout.split()[:2] == ["new", good]
    assert record(place).refused == bad


def test_what_is_not_roots_alone_is_not_started(place: Path) -> None:
    tree = version(place, "0" * 16, GOOD)
    code = place / "root" / tree / "lib"
    for path in (code, place / "root", place / "root/.trees"):
        path.chmod(0o777)
        done = start(place)
        assert "new" not in done.stdout
        assert "is not root's alone" in done.stderr
        path.chmod(0o755)
    assert root_starter.alone(place / "root", tree) == tree
    (place / "lead").symlink_to(place / "root")
    assert root_starter.alone(place / "lead", tree) == ""
    if os.geteuid() == 0:
        os.chown(code, 65534, 65534)
        assert root_starter.alone(place / "root", tree) == ""


def test_without_a_package_the_first_installation_runs(place: Path) -> None:
    done = start(place)
    assert done.returncode != 0
    assert json.loads((place / "half" / root_starter.FILE).read_text())["trial"] == ""
    assert "trusted.json" in done.stderr or "root.unknown" in done.stderr or "root init" in done.stderr, done.stderr
