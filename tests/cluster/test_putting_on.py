"""Ways to put the agent on a machine, walked to their end: throw-away machines, real systemd, sshd, dpkg and Ansible.

With --long: the .deb is built with all its libraries (TIERCAST_TEST_DEB names one that was built before).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import machine
from cluster import ROOT, running, until
from machine import Machine
from region import Region, free_port

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(machine.missing()), reason=machine.missing() or "-"),
    pytest.mark.skipif(shutil.which("sshd") is None, reason="there is no sshd here (apt-get install openssh-server)"),
    pytest.mark.skipif(
        sys.version_info[:2] != (3, 11) or not Path("/usr/bin/python3.11").exists(),
        reason="the machine's own Python and ours differ: our libraries can't go into its .deb",
    ),
]
SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey /etc/reached/host
AuthorizedKeysFile /etc/reached/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
"""
UNIT = """[Unit]
Description=The app of a package
[Service]
User=app
ExecStart=/bin/sleep 100000
[Install]
WantedBy=multi-user.target
"""
DEFINITION = """
name = "app"
version = "{version}"

[[action]]
type = "user"
name = "app"
home = "/var/lib/app"

[[action]]
type = "file"
path = "/etc/app/app.conf"
source = "app.conf"
owner = "app"
config = "merge"

[[action]]
type = "unit"
name = "app.service"
source = "app.service"

[confirm]
argv = ["./health.sh"]
within = "2m"
every = "5s"
"""


def libraries(folder: Path) -> Path:
    """What the agent's base install needs, as our environment has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    todo = [Requirement(line) for line in project["dependencies"]]
    done: set[str] = set()
    while todo:
        one = todo.pop()
        if one.name.lower() in done or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
            continue
        done.add(one.name.lower())
        found = metadata.distribution(one.name)
        for file in found.files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(found.locate_file(file)), folder / file)
        todo += [Requirement(line) for line in found.requires or ()]
    return folder


@pytest.fixture(scope="module", name="deb")
def _deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if built := os.environ.get("TIERCAST_TEST_DEB"):
        return Path(built)
    folder = tmp_path_factory.mktemp("deb")
    command = [str(ROOT / "deploy/deb/build"), str(folder / "out"), "--libraries", str(libraries(folder / "lib"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=1800)
    return Path(done.stdout.strip())


@pytest.fixture(scope="module", name="region")
def _region() -> Iterator[Region]:
    with running() as made:
        made.add_server()
        yield made


@dataclass
class Reached:
    """A machine with an sshd, and the key that it lets in."""

    machine: Machine
    port: int
    key: Path

    @property
    def options(self) -> list[str]:
        """Of ssh: nothing of this machine's own settings, and nothing written there."""
        said = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        return ["-F", "/dev/null", "-i", str(self.key), *(word for one in said for word in ("-o", one))]


@contextmanager
def reached(folder: Path) -> Iterator[Reached]:
    """A throw-away machine with an sshd of its own on the loopback."""
    folder.mkdir()
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    port = free_port()
    (folder / "sshd_config").write_text(SSHD.format(port=port))
    with Machine(folder / "m") as made:
        for name, to in (("host", "host"), ("key.pub", "authorized_keys"), ("sshd_config", "sshd_config")):
            made.copy(folder / name, f"/etc/reached/{to}")
        made.run("chmod", "-R", "go-rwx", "/etc/reached")
        made.run("mkdir", "-p", "/run/sshd")
        command = ("/usr/sbin/sshd", "-D", "-e", "-f", "/etc/reached/sshd_config")
        made.run("systemd-run", "-q", "--unit=test-sshd", *command)
        one = Reached(made, port, folder / "key")
        until(lambda: not ssh(one, "true").returncode, "its sshd lets us in", 30)
        yield one


def ssh(to: Reached, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["ssh", *to.options, "-p", str(to.port), "root@127.0.0.1", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def lives_as_ordered(region: Region, made: Machine, node: str, folder: Path) -> None:
    """What the two halves do under a real service manager, from the first package to the last."""
    for unit in ("tiercast-endpoint.service", "tiercast-root.socket"):
        assert made.run("systemctl", "is-active", unit).strip() == "active"
        assert made.run("systemctl", "is-enabled", unit).strip() == "enabled"
    assert made.run("systemctl", "show", "-P", "User", "tiercast-endpoint.service").strip() == "tiercast-endpoint"
    for version in ("1.0", "2.0"):
        tree = folder / f"{node}-{version}"
        tree.mkdir()
        (tree / "app.conf").write_text(f"of = {version}\n")
        (tree / "app.service").write_text(UNIT)
        (tree / "health.sh").write_text(
            "#!/bin/sh\nid -un; systemctl is-active app.service && test -r /etc/app/app.conf\n"
        )
        (tree / "health.sh").chmod(0o755)
        text = DEFINITION.format(version=version)
        (folder / f"{node}.toml").write_text(text.replace('"app"', f'"app-{node}"', 1))
        region.cli("package", "build", str(tree), "--definition", str(folder / f"{node}.toml"))
        done = region.cli("job", "install", f"app-{node}={version}", "--on", node, "--watch", check=False)
        receipt = region.cli("job", "receipt", done["job"]["job"], node, check=False)
        assert done["job"]["state"] == "done", (receipt, made.run("journalctl", "--no-pager", "-n", "60"))
        assert (made.root / "etc/app/app.conf").read_text() == f"of = {version}\n"
        pid = made.run("systemctl", "show", "-P", "MainPID", "app.service").strip()
        assert made.run("stat", "-c", "%U", f"/proc/{pid}", "/etc/app/app.conf").split() == ["app", "app"]
    assert made.run("stat", "-c", "%U", f"/opt/tiercast-apps/app-{node}").strip() == "root"
    verified = region.cli("job", "verify", f"app-{node}", "--on", node, "--watch")
    assert verified["job"]["state"] == "done"
    seen = made.run("tiercast-endpoint", "packages", "--state", "/var/lib/tiercast/endpoint", "--json")
    assert f"app-{node}" in seen
    until(
        lambda: "inactive" in made.run("systemctl", "is-active", "tiercast-root.service", check=False), "it is gone", 60
    )
    gone = region.cli("job", "remove", f"app-{node}", "--on", node, "--watch")
    assert gone["job"]["state"] == "done"
    assert not (made.root / "etc/app").exists()
    assert "app:" not in (made.root / "etc/passwd").read_text()
    assert made.run("systemctl", "show", "-P", "LoadState", "app.service").strip() == "not-found"
    assert made.run("systemctl", "--failed", "--plain", "--no-legend") == ""


def test_a_machine_is_pushed_to_over_ssh_and_lives_as_ordered(region: Region, deb: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    with reached(tmp_path / "pushed") as to:
        to.machine.copy(deb, "/srv/agent.deb")
        words = " ".join(["ssh", *to.options, "-p", str(to.port)])
        source = ("--from", "/srv/agent.deb", "--sha256", digest, "--ssh", words)
        started = time.monotonic()
        said: dict[str, Any] = region.cli("node", "push", "root@127.0.0.1=pc-1", *source, check=False)
        (one,) = said["pushed"]
        assert (one["ok"], one["exit"], one["node"]) == (True, 0, "pc-1"), one["says"]
        assert "has joined" in one["says"]
        assert time.monotonic() - started < 300
        comes(region, to.machine, "pc-1")
        lives_as_ordered(region, to.machine, "pc-1", tmp_path)
        # once more: the machine has joined already, and says so
        (again,) = region.cli("node", "push", "root@127.0.0.1=pc-1b", *source, check=False)["pushed"]
        assert (again["ok"], "has joined already" in again["says"]) == (False, True)
        to.machine.run("dpkg", "--purge", "tiercast-endpoint")
        assert not (to.machine.root / "var/lib/tiercast/endpoint").exists()
        assert "tiercast" not in to.machine.run(
            "systemctl", "list-units", "--all", "--plain", "--no-legend", "tiercast*"
        )


def comes(region: Region, made: Machine, node: str) -> None:
    """The agent on it has reached its parent; if not, its log is told."""

    def connected() -> bool:
        return any(one["name"] == node and one["online"] for one in region.cli("node", "list")["nodes"])

    try:
        until(connected, f"{node} has reached its parent", 90)
    except AssertionError as error:
        log = made.run("journalctl", "--no-pager", "-n", "60", check=False)
        units = made.run("systemctl", "status", "tiercast-endpoint.service", "--no-pager", check=False)
        raise AssertionError(f"{error}\n{region.cli('node', 'list')}\n{units}\n{log}") from error


@pytest.fixture(scope="module", name="playbook")
def _playbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real ansible-playbook: in an environment of the test's own, where this machine has none."""
    if found := shutil.which("ansible-playbook"):
        return Path(found)
    folder = tmp_path_factory.mktemp("ansible")
    venv.create(folder, with_pip=True)
    command = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "ansible-core>=2.14,<2.19"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode != 0:
        pytest.skip(f"ansible-core can't be had here: {done.stderr.strip()[-200:]}")
    return folder / "bin/ansible-playbook"


def test_the_role_makes_a_machine_an_agents_and_changes_nothing_the_second_time(
    region: Region, deb: Path, playbook: Path, tmp_path: Path
) -> None:
    wrapper = tmp_path / "tiercast"
    socket, paths = region.daemons["server"].socket, region.environment()["PYTHONPATH"]
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={paths} exec {sys.executable} -m tiercast_cli --socket {socket} "$@"\n')
    wrapper.chmod(0o755)
    with reached(tmp_path / "m") as to:
        hosts = tmp_path / "hosts"
        options = " ".join(to.options)
        hosts.write_text(
            f"pc-2 ansible_host=127.0.0.1 ansible_port={to.port} ansible_user=root "
            f"ansible_python_interpreter=/usr/bin/python3 ansible_ssh_common_args='{options}'\n"
            "localhost ansible_connection=local\n"
        )

        def play() -> str:
            command = [str(playbook), "-i", str(hosts), "--limit", "pc-2", str(ROOT / "deploy/ansible/site.yml")]
            more = ["-e", f"tiercast_deb={deb}", "-e", f"tiercast_command={wrapper}"]
            environment = {
                "PATH": f"{playbook.parent}:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": str(tmp_path),
                "LANG": "C.UTF-8",
                "ANSIBLE_LOCALHOST_WARNING": "false",
            }
            done = subprocess.run(
                [*command, *more], capture_output=True, text=True, check=False, timeout=900, env=environment
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        first = play()
        assert "failed=0" in first
        comes(region, to.machine, "pc-2")
        lives_as_ordered(region, to.machine, "pc-2", tmp_path)
        second = play()
        assert "changed=0" in second, second
