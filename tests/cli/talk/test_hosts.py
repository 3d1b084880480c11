"""The control socket of another machine: by a real sshd, and by a stand-in that breaks where it is told to."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli_daemon import Daemon
from tiercast_cli.__main__ import app
from tiercast_cli.talk.hosts import USUAL, Host, carried, command, parse
from tiercast_protocol.errors import UsageError

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
STAND_IN = Path(__file__).parents[2] / "support/ssh_stand_in.py"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("ssh://ann@server", Host("server", "ann")),
        ("ssh://server:2222/run/x.sock", Host("server", port=2222, socket="/run/x.sock")),
        ("ssh://a%40b@[fe80::1]:22", Host("fe80::1", "a@b", 22)),
    ],
)
def test_addresses(text: str, host: Host) -> None:
    assert parse(text) == host


@pytest.mark.parametrize(
    "text",
    ["server", "http://server", "ssh://", "ssh://-oProxyCommand=x/", "ssh://-x@server", "ssh://a b@c", "ssh://u:pw@c",
     "ssh://server:no", "ssh://server/a:b", "ssh://server?x"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.code == "host.invalid"


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERCAST_SSH", "ssh -i 'my key'")
    words = command(Host("server", "ann", 2222), Path("/tmp/x"))
    assert words[:3] == ["ssh", "-i", "my key"]
    assert words[-4:] == ["-L", f"/tmp/x:{USUAL}", "--", "server"]
    assert "BatchMode=yes" in words


@pytest.fixture(name="stand_in")
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERCAST_SSH", f"{sys.executable} {STAND_IN}")


def run(host: str, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["--host", host, *words])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.usefixtures("stand_in")
def test_commands_work_there(daemon: Daemon) -> None:
    daemon.answers |= {"cabinet.list": [{"name": "main", "packages": 1, "note": ""}]}
    assert "main" in run(f"ssh://ann@server{daemon.path}", "cabinet", "list")


@pytest.mark.usefixtures("stand_in")
def test_nobody_there(tmp_path: Path) -> None:
    said = run(f"ssh://server{tmp_path}/no.sock", "cabinet", "list", code=3)
    assert "server can't be reached by ssh: stand-in: nobody is there" in said


#: Names the socket long before it listens.
SLOW = STAND_IN.read_text().replace("listener.listen()", "import time; time.sleep(0.3); listener.listen()")


def test_a_socket_is_there_once_somebody_listens(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    monkeypatch.setenv("TIERCAST_SSH", f"{sys.executable} {script}")
    daemon.answers |= {"cabinet.list": [{"name": "main", "packages": 1, "note": ""}]}
    assert "main" in run(f"ssh://ann@server{daemon.path}", "cabinet", "list")


def test_no_such_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERCAST_SSH", "/no/such/program")
    assert "can't be started" in run("ssh://server", "cabinet", "list", code=3)


@pytest.mark.usefixtures("stand_in")
def test_a_build_that_broke_goes_on_where_it_stopped(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(40):
        (tree / f"f{number}").write_bytes(os.urandom(200_000))
    held: dict[bytes, bytes] = {}
    sent: list[int] = []

    def missing(args: dict[str, Any]) -> dict[str, Any]:
        asked = [args["digests"][at : at + 32] for at in range(0, len(args["digests"]), 32)]
        return {"missing": b"".join(one for one in asked if one not in held)}

    def store(args: dict[str, Any]) -> dict[str, Any]:
        sent.append(sum(len(stored) for _, stored in args["chunks"]))
        held.update(dict(args["chunks"]))
        return {"stored": len(args["chunks"])}

    registered = {
        "package": "a",
        "version": "1",
        "files": 40,
        "size": 1,
        "chunks": 1,
        "stored_bytes": 1,
        "created": True,
    }
    daemon.answers |= {"package.missing": missing, "package.store": store, "package.register": registered}
    words = ("package", "build", str(tree), "--name", "a", "--version", "1")
    host = f"ssh://server{daemon.path}"
    monkeypatch.setenv("CUT", str(5 << 20))
    run(host, *words, code=3)
    first = sum(sent)
    assert 0 < first < 6 << 20
    sent.clear()
    monkeypatch.delenv("CUT")
    assert "registered" in run(host, *words)
    assert first + sum(sent) < 8_300_000, "what had come was not sent again"


@pytest.fixture(name="server")
def _server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A real sshd of our own: unprivileged port, its own keys; the client's configuration is of the test too."""
    assert SSHD is not None
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    shutil.copy(tmp_path / "client.pub", tmp_path / "authorized")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lines = [f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {tmp_path}/host", "StrictModes no", "UsePAM no",
             f"AuthorizedKeysFile {tmp_path}/authorized", "PidFile none", "PermitRootLogin prohibit-password",
             "AuthenticationMethods publickey"]  # fmt: skip
    (tmp_path / "sshd_config").write_text("\n".join(lines) + "\n")
    key = (tmp_path / "host.pub").read_text()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {key}")
    monkeypatch.setenv(
        "TIERCAST_SSH", f"ssh -F none -i {tmp_path}/client -o UserKnownHostsFile={tmp_path}/known -o IdentitiesOnly=yes"
    )
    words = [SSHD, "-D", "-e", "-f", str(tmp_path / "sshd_config")]
    if os.geteuid() == 0:  # it wants a folder and a user of the machine: in a namespace of its own it has both
        users = Path("/etc/passwd").read_text()
        (tmp_path / "passwd").write_text(f"{users}sshd:x:65533:65534::/run/sshd:/bin/false\n")
        prepared = f"mount -t tmpfs none /run && mkdir -m 755 /run/sshd && mount --bind {tmp_path}/passwd /etc/passwd"
        words = ["unshare", "-m", "sh", "-c", f'{prepared} && exec "$0" "$@"', *words]
    daemon = subprocess.Popen(words, stderr=subprocess.PIPE, start_new_session=True)
    try:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert daemon.poll() is None, daemon.stderr.read().decode() if daemon.stderr else ""
        yield port
    finally:
        daemon.terminate()
        daemon.wait(10)
        if daemon.stderr:
            daemon.stderr.close()


@pytest.mark.skipif(SSHD is None, reason="no sshd here; scripts/test has one")
def test_through_a_real_sshd(daemon: Daemon, server: int) -> None:
    daemon.answers |= {"cabinet.list": [{"name": "main", "packages": 1, "note": ""}]}
    host = f"ssh://{getpass.getuser()}@127.0.0.1:{server}{daemon.path}"
    assert "main" in run(host, "cabinet", "list")
    other = f"ssh://nobody-{os.getpid()}@127.0.0.1:{server}{daemon.path}"
    assert "Permission denied" in run(other, "cabinet", "list", code=3)


@pytest.mark.usefixtures("stand_in")
async def test_nothing_is_left_behind(daemon: Daemon) -> None:
    async with carried(Host("server", socket=str(daemon.path))) as path:
        folder = path.parent
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
    assert not [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
