"""The mistakes that people make, and the garbage that others send."""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import build, random_tree, running
from region import Region, free_port


@pytest.fixture(scope="module", name="region")
def _region() -> Iterator[Region]:
    with running() as region:
        region.add_server()
        region.add_endpoint("pc-1")
        yield region


def join(token: str, folder: Path) -> tuple[str, ...]:
    """The command with which an endpoint joins."""
    return ("tiercast_endpoint", "join", token, "--state", str(folder), "--install-root", str(folder / "apps"))


def refused(region: Region, module: str, *args: str) -> str:
    """Run a command that must fail with exit code 2; what it said."""
    done = region.tool(module, *args, check=False)
    assert done.returncode == 2, f"exit {done.returncode}: {done.stdout} {done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stderr + done.stdout


def test_a_token_is_good_for_one_machine_of_its_name(region: Region, tmp_path: Path) -> None:
    token = str(region.cli("node", "invite", "pc-7")["token"])
    region.tool(
        "tiercast_endpoint", "join", token, "--state", str(tmp_path / "a"), "--install-root", str(tmp_path / "x")
    )
    said = refused(
        region,
        "tiercast_endpoint",
        "join",
        token,
        "--state",
        str(tmp_path / "b"),
        "--install-root",
        str(tmp_path / "y"),
    )
    assert "used" in said
    gateway = str(region.cli("node", "invite", "gw-7", "--gateway")["token"])
    said = refused(
        region,
        "tiercast_endpoint",
        "join",
        gateway,
        "--state",
        str(tmp_path / "c"),
        "--install-root",
        str(tmp_path / "z"),
    )
    assert "gateway" in said


def test_a_token_that_was_cut_off_or_is_late_is_refused(region: Region, tmp_path: Path) -> None:
    token = str(region.cli("node", "invite", "pc-8", "--valid", "1s")["token"])
    assert "token" in refused(region, "tiercast_endpoint", "join", token[:-9], "--state", str(tmp_path / "a"))
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        time.sleep(0.05)  # the token's own second
    assert "invite" in refused(region, "tiercast_endpoint", "join", token, "--state", str(tmp_path / "b"))


def test_inviting_under_an_impossible_name_or_parent(region: Region) -> None:
    assert region.cli("node", "invite", "../evil", check=False)["error"]["code"].endswith("invalid")
    assert region.cli("node", "invite", "pc-9", "--parent", "nobody", check=False)["error"]["code"] == "node.unknown"
    assert region.cli("node", "invite", "pc-9", "--parent", "pc-1", check=False)["error"]


def test_a_configuration_with_several_mistakes_names_them_all(tmp_path: Path, region: Region) -> None:
    state = tmp_path / "s"
    region.tool(
        "tiercast_server", "init", "--state", str(state), "--region", "x", "--listen", f"127.0.0.1:{free_port()}"
    )
    config = state / "server.toml"
    text = config.read_text()
    config.write_text(text.replace("[broker]", "nonsense = 1\n[broker]\nmodee = 3\n", 1) + "\n[log2]\nlevel = 4\n")
    said = refused(region, "tiercast_server", "run", "--state", str(state))
    assert "server.toml" in said
    assert "modee" in said
    assert "log2" in said


def test_two_daemons_on_one_state_directory(region: Region) -> None:
    done = region.tool("tiercast_server", "run", "--state", str(region.daemons["server"].folder), check=False)
    assert done.returncode != 0
    assert str(region.daemons["server"].pid) in done.stderr


def test_a_state_directory_of_a_newer_version(region: Region) -> None:
    daemon = region.daemons["pc-1"]
    region.kill("pc-1", signal.SIGTERM)
    databases = sorted(daemon.folder.glob("*.db"))
    assert databases
    connection = sqlite3.connect(databases[0])
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute("PRAGMA user_version = 9999")
    connection.close()
    done = region.tool("tiercast_endpoint", "run", "--state", str(daemon.folder), check=False)
    assert done.returncode != 0
    assert "newer" in done.stderr
    connection = sqlite3.connect(databases[0])
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    region.restart("pc-1")


def test_garbage_on_the_control_sockets_and_the_brokers_port_harms_nobody(region: Region, tmp_path: Path) -> None:
    rng = random.Random(5)
    for name in ("server", "pc-1"):
        for size in (1, 4, 5, 100, 5000):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(region.daemons[name].socket))
                client.sendall(rng.randbytes(size))
    for size in (1, 2, 50, 3000):
        with socket.create_connection(("127.0.0.1", region.daemons["server"].port)) as client:
            client.sendall(rng.randbytes(size))
    for daemon in region.daemons.values():
        assert daemon.process is not None
        assert daemon.process.poll() is None
    build(region, random_tree(tmp_path / "t", seed=9, files=2, size=1000), "still", "1")
    assert region.cli("job", "install", "still", "--on", "pc-1", "--watch")["job"]["counts"] == {"done": 1}


def test_trees_that_cannot_be_packaged_are_refused_by_name(region: Region, tmp_path: Path) -> None:
    def pipe(tree: Path) -> None:
        os.mkfifo(tree / "pipe")

    def link_out(tree: Path) -> None:
        (tree / "link").symlink_to("/etc/passwd")

    def link_up(tree: Path) -> None:
        (tree / "link").symlink_to("../../x")

    def unix_socket(tree: Path) -> None:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(tree / "sock"))

    def case(tree: Path) -> None:
        (tree / "Readme").write_text("a")
        (tree / "README").write_text("b")

    def not_utf8(tree: Path) -> None:
        (tree / os.fsdecode(b"caf\xe9")).write_text("x")

    for number, spoil in enumerate((pipe, link_out, link_up, unix_socket, case, not_utf8)):
        tree = Path("/tmp") / f"tcbad{os.getpid()}-{number}"
        tree.mkdir()
        try:
            (tree / "ok").write_text("fine")
            spoil(tree)
            answer = region.cli("package", "build", str(tree), "--name", "bad", "--version", "1", check=False)
            assert answer["error"]["what"], spoil.__name__
            assert answer["error"]["todo"] or answer["error"]["where"], spoil.__name__
        finally:
            for path in tree.iterdir():
                path.unlink()
            tree.rmdir()
    assert not [p for p in region.cli("package", "list")["packages"] if p["package"] == "bad"]
