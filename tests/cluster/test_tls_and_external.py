"""Brokers with TLS, and brokers that somebody else runs: a package still arrives.

Rules
- Every certificate is of a private authority, so nothing works by the system's own trust.
- The administrator of the external broker does what docs/operations.md says, and nothing else.
"""

from __future__ import annotations

import getpass
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from authority import Authority
from cluster import ROOT, assert_installed, build, random_tree, running, until
from region import Region, RegionError, free_port

PROGRAM = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
THEIRS = "/etc/mosquitto/tiercast/"


@pytest.fixture(name="authority")
def _authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority", "private")


def install(region: Region, folder: Path, *nodes: str) -> None:
    """A package goes to `nodes` and is there."""
    source = random_tree(folder / "app", seed=1, files=20, size=2_000_000)
    build(region, source, "app", "1")
    targets = [word for node in nodes for word in ("--on", node)]
    job = region.cli("job", "install", "app=1", *targets, "--watch")["job"]
    assert job["counts"] == {"done": len(nodes)}
    assert_installed(region, list(nodes), "app", source)


def refused(region: Region, node: str, *options: str, parent: str = "") -> str:
    """What an endpoint is told that can't join with `options`."""
    below = ("--parent", parent) if parent else ()
    invited = region.cli("node", "invite", node, *below)
    assert invited["url"].startswith("mqtts://")
    state = str(region.folder / node)
    done = region.tool("tiercast_endpoint", "join", invited["token"], "--state", state, *options, check=False)
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize("broker", ["embedded", "mosquitto"])
def test_own_brokers_speak_tls_and_ask_for_certificates(broker: str, authority: Authority, tmp_path: Path) -> None:
    cert, key = map(str, authority.issue("brokers"))
    shown = [str(path) for path in authority.issue("pc")]
    trust = ("--ca", str(authority.path))
    with running(broker) as region:
        region.broker_settings = {"cert": cert, "key": key}
        region.join_options = trust
        region.add_server()
        region.broker_settings["ca"] = str(authority.path)
        region.add_gateway("gw")
        region.join_options = (*trust, "--cert", shown[0], "--key", shown[1])
        region.add_endpoint("far", "gw")
        install(region, tmp_path, "far")

        if broker == "embedded":
            told = refused(region, "stranger")
            assert "certificate is not accepted" in told
            assert "--ca FILE" in told
        else:  # the embedded one would close without a word, which takes half a minute to be sure of
            told = refused(region, "bare", *trust, parent="gw")
            assert "takes only who shows a certificate" in told
            assert "--cert FILE" in told


class Administrator:
    """Runs a mosquitto, and brings over what its server or gateway writes for it."""

    def __init__(self, folder: Path, authority: Authority, made: Path) -> None:
        self.port, self.port_of_owner = free_port(), free_port()
        self._folder, self._made = folder, made
        folder.mkdir()
        for path, name in zip(authority.issue("broker"), ("cert.pem", "key.pem"), strict=True):
            path.rename(folder / name)
        shutil.copy(authority.path, folder / "ca.pem")
        for name in ("users", "acl"):
            (folder / name).touch(mode=0o600)
        self._write_settings()
        self._process: subprocess.Popen[bytes] | None = None

    def _write_settings(self) -> None:
        text = (ROOT / "deploy/mosquitto/tiercast.conf").read_text()
        for old, new in (
            ("\nlistener 1883\n", f"\nlistener {self.port} 127.0.0.1\n"),
            ("\n# listener 8884\n", f"\nlistener {self.port_of_owner} 127.0.0.1\n"),
            ("\n# certfile ", "\ncertfile "),
            ("\n# keyfile ", "\nkeyfile "),
        ):
            assert old in text
            text = text.replace(old, new)
        # the second listener asks for certificates, the first does not
        first, second = text.split(f"\nlistener {self.port_of_owner}")
        for word in ("cafile", "require_certificate", "use_identity_as_username"):
            assert f"\n# {word} " in second
            second = second.replace(f"\n# {word} ", f"\n{word} ")
        text = f"{first}\nlistener {self.port_of_owner}{second}user {getpass.getuser()}\n"
        (self._folder / "mosquitto.conf").write_text(text.replace(THEIRS, f"{self._folder}/"))

    @contextmanager
    def runs_it(self) -> Iterator[None]:
        with (self._folder / "log").open("wb") as log:
            command = [PROGRAM, "-c", str(self._folder / "mosquitto.conf")]
            self._process = process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            until(self._listens, "the external mosquitto listens")
            yield
        except BaseException:
            print((self._folder / "log").read_text())  # noqa: T201 - told with the failure
            raise
        finally:
            process.terminate()
            process.wait(60)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def brings_the_files(self) -> None:
        """Copy what differs and reload, once."""
        changed = False
        for name in ("acl", "users"):
            made, here = self._made / name, self._folder / name
            if made.exists() and (text := made.read_bytes()) != here.read_bytes():
                here.write_bytes(text)
                changed = True
        if changed and self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    @contextmanager
    def watches(self) -> Iterator[None]:
        """Bring the files over whenever they change, as a path unit of systemd would."""
        enough = threading.Event()

        def work() -> None:
            while not enough.wait(0.05):
                self.brings_the_files()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            enough.set()
            thread.join()


def test_a_server_logs_in_by_password_at_a_broker_of_somebody_else(authority: Authority, tmp_path: Path) -> None:
    with running() as region:
        made = region.folder / "server" / "broker"
        administrator = Administrator(tmp_path / "theirs", authority, made)
        region.join_options = ("--ca", str(authority.path))
        region.broker = f"mqtts://127.0.0.1:{administrator.port}"
        region.broker_settings = {"ca": str(authority.path), "user": "tiercast", "password": "hunter2"}
        with administrator.runs_it():
            with pytest.raises(RegionError, match="refuses the login") as raised:
                region.add_server()
            assert str(made / "users") in str(raised.value)
            assert "hunter2" not in str(raised.value)
            administrator.brings_the_files()
            with administrator.watches():
                region.restart("server")
                region.add_endpoint("pc")
                install(region, tmp_path, "pc")
                assert region.cli("status")["status"]["broker"]["kind"] == "external"


def test_a_gateway_logs_in_by_certificate_and_its_children_elsewhere(authority: Authority, tmp_path: Path) -> None:
    with running() as region:
        administrator = Administrator(tmp_path / "theirs", authority, region.folder / "gw" / "broker")
        region.join_options = ("--ca", str(authority.path))
        region.add_server()
        cert, key = map(str, authority.issue("gw"))
        region.broker = f"mqtts://localhost:{administrator.port_of_owner}"
        region.broker_settings = {
            "ca": str(authority.path), "cert": cert, "key": key, "advertise": f"127.0.0.1:{administrator.port}",
        }  # fmt: skip
        with administrator.runs_it(), administrator.watches():
            region.add_gateway("gw")
            region.add_endpoint("pc", "gw")
            install(region, tmp_path, "pc")
