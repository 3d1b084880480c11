"""The starter as a process: versions that do not start, that hang, and those that are good."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tiercast_endpoint.update import starter, trial

ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
GOOD, BAD, HANGS = (f".trees/agent/{digit * 16}" for digit in "0bc")
SOURCE = {
    GOOD: "import os, sys; print('good', *sys.argv[1:2], os.environ['TIERCAST_AGENT_TREE'])",
    BAD: "raise SystemExit('bad')",
    HANGS: "import time; print('hangs', flush=True); time.sleep(600)",
}


class Machine:
    def __init__(self, folder: Path) -> None:
        self.state, self.root = folder / "state", folder / "root"
        self.state.mkdir()
        self.root.mkdir()
        for tree, source in SOURCE.items():
            inner = self.root / tree / "lib" / "tiercast_endpoint"
            inner.mkdir(parents=True)
            (inner / "__init__.py").write_text("")
            (inner / "__main__.py").write_text(source)
        self.trial("1s")

    def trial(self, time: str) -> None:
        text = f'install_root = "{self.root}"\nagent_package = "agent"\nagent_trial = "{time}"\n'
        (self.state / "endpoint.toml").write_text(text)

    def link(self, tree: str) -> None:
        link = self.root / "agent"
        link.unlink(missing_ok=True)
        link.symlink_to(tree)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tiercast_endpoint.update.starter", "run", "--state", str(self.state)]

    def start(self) -> str:
        done = subprocess.run(self.command(), env=ENV, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    @property
    def record(self) -> trial.Record:
        return starter.load(self.state / starter.FILE)

    def parent_at(self, port: int) -> None:
        (self.state / "enrolled.json").write_text(f'{{"url": "mqtt://127.0.0.1:{port}"}}')


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_an_own_package_it_is_the_machines_first_agent(machine: Machine) -> None:
    assert "join" in machine.start()


def test_a_version_that_does_not_start_is_left_after_three_times(machine: Machine) -> None:
    machine.link(GOOD)
    assert machine.start() == f"good run {GOOD}"
    starter.save(machine.state / starter.FILE, trial.reached(machine.record, GOOD))
    machine.link(BAD)
    machine.trial("10min")  # it is the number of starts that counts here
    assert [machine.start() for _ in range(4)] == ["bad", "bad", "bad", f"good run {GOOD}"]
    assert machine.record.refused == BAD
    machine.link(GOOD)
    assert machine.start() == f"good run {GOOD}"
    assert (machine.record.good, machine.record.refused, machine.record.trial) == (GOOD, "", "")


def test_a_version_that_hangs_is_ended_when_a_parent_listens(machine: Machine) -> None:
    starter.save(machine.state / starter.FILE, trial.Record(good=GOOD))
    machine.link(HANGS)
    with socket.create_server(("127.0.0.1", 0)) as parent:
        machine.parent_at(parent.getsockname()[1])
        done = subprocess.run(machine.command(), env=ENV, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -15
    assert machine.record.refused == HANGS
    assert machine.start() == f"good run {GOOD}"


def test_while_nobody_listens_its_time_stands_still(machine: Machine) -> None:
    starter.save(machine.state / starter.FILE, trial.Record(good=GOOD))
    machine.link(HANGS)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        machine.parent_at(taken.getsockname()[1])
        with subprocess.Popen(machine.command(), env=ENV, stdout=subprocess.PIPE) as process:
            try:
                first, deadline = machine.record.since, time.monotonic() + 30
                while not first or machine.record.since <= first:
                    first = first or machine.record.since
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                assert process.poll() is None
                assert machine.record.trial == HANGS
            finally:
                process.kill()
                process.wait()


def test_what_is_no_agent_is_not_started(machine: Machine, tmp_path: Path) -> None:
    for target in ("/etc", "../x", ".trees/other/" + "0" * 16, ".trees/agent/" + "9" * 16):
        machine.link(target)
        assert starter.installed(machine.root, "agent") == ""
    assert starter.installed(tmp_path / "none", "agent") == ""


def test_parents_are_read_from_the_agents_files(machine: Machine) -> None:
    machine.parent_at(1234)
    (machine.state / "parents.json").write_text('{"a": {"url": "mqtts://gw.example"}, "b": {"url": "nonsense"}}')
    assert starter.parents(machine.state) == [("127.0.0.1", 1234), ("gw.example", 8883)]
    assert starter.anybody_listens([])
