"""Scripts that put the agent on machines, and machines that are reached by ssh: here a stand-in for it."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from cli_daemon import Daemon
from tiercast_cli.nodes import bootstraps
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.trust.credential import Token
from tiercast_protocol.errors import UsageError

KEY = b"k" * 32
DEB = "https://files.example/tiercast.deb"


def token(name: str = "pc-17", url: str = "mqtt://10.0.0.1:1883") -> str:
    return Token(
        region="demo", parent="berlin", url=url, token_id="t1", secret=b"s" * 16, name=name, role="endpoint",
        region_key=KEY, expires=1_800_000_000_000,
    ).text()  # fmt: skip


@pytest.fixture
def invites(daemon: Daemon) -> Daemon:
    daemon.answers["node.invite"] = {"token": token(), "expires": 1_800_000_000_000, "parent": "berlin", "url": "x"}
    return daemon


def stand_in(folder: Path, name: str, body: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


def test_a_script_names_the_region_and_is_shell(invites: Daemon, tmp_path: Path) -> None:
    said = invites.run("node", "bootstrap", "pc-17", "--parent", "berlin", "--from", "/x/t.deb")
    assert f"fingerprint='{digest_of(KEY).hex()[:16]}'" in said
    assert f"token='{token()}'" in said
    assert not [line for line in said.splitlines() if "@" in line and not line.startswith("#") and "$@" not in line]
    subprocess.run(["sh", "-n"], input=said, text=True, check=True)
    assert invites.asked[0][1]["role"] == "endpoint"
    out = tmp_path / "pc.sh"
    assert "sh pc.sh" in invites.run("node", "bootstrap", "pc-17", "--out", str(out))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "token=" in invites.json("node", "bootstrap", "pc-17")["script"]


@pytest.mark.parametrize(
    ("source", "sha256", "code"),
    [
        (DEB, "", "digest.invalid"),
        (DEB, "abc", "digest.invalid"),
        ("a'; rm -rf /; '", "", "bootstrap.invalid"),
        ("a\nb", "", "bootstrap.invalid"),
    ],
)
def test_what_can_not_be_named_so_costs_no_token(invites: Daemon, source: str, sha256: str, code: str) -> None:
    said = invites.json("node", "bootstrap", "pc-17", "--from", source, "--sha256", sha256, code=2)
    assert said["error"]["code"] == code
    assert invites.asked == []


def test_nothing_of_a_token_gets_out_of_its_quotes() -> None:
    said = bootstraps.render(token(url="mqtt://x'$(touch /tmp/no)'\n"), "", "")
    subprocess.run(["sh", "-n"], input=said, text=True, check=True)
    assert "x'$(" not in said
    with pytest.raises(UsageError):
        bootstraps.render("tcj1-nonsense", "", "")


def machine(folder: Path, uid: int) -> dict[str, str]:
    """A machine of stand-ins that write down how they were called."""
    folder.mkdir(exist_ok=True)
    log = folder / "log"
    for name in ("dpkg", "systemctl", "tiercast-endpoint"):
        stand_in(folder, name, f'echo "{name} $*" >> {log}; [ "$1" != join ] || cat >> {log}')
    stand_in(folder, "runuser", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    stand_in(folder, "id", f"echo {uid}")
    stand_in(folder, "curl", 'cp "$SERVED" "$3"')
    return {"PATH": f"{folder}:{os.environ['PATH']}", "TIERCAST_BIN": str(folder), "HOME": str(folder)}


def test_the_script_installs_joins_and_splits(tmp_path: Path) -> None:
    env = machine(tmp_path / "bin", 0)
    served = tmp_path / "served"
    served.write_bytes(b"package")
    good = subprocess.run(["sha256sum", str(served)], capture_output=True, text=True, check=True).stdout.split()[0]
    for digest, fits in ((good, True), ("0" * 64, False)):
        done = subprocess.run(
            ["sh", "-s"], input=bootstraps.render(token(), DEB, digest), env={**env, "SERVED": str(served)},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode == 0) is fits, done.stderr
    log = (tmp_path / "bin" / "log").read_text().splitlines()
    assert log[0].startswith("dpkg -i /")
    assert log[1].startswith("tiercast-endpoint join --state /var/lib/tiercast/endpoint")
    assert log[2] == token()
    assert f"--fingerprint {digest_of(KEY).hex()[:16]}" in log[3]
    assert log[4].startswith("systemctl enable --now tiercast-root.socket tiercast-endpoint.service")
    assert len(log) == 5, "what was not the named file was not installed"
    assert "sha256" in done.stderr


@pytest.mark.parametrize(
    ("source", "home", "says"),
    [
        ("x.deb", "home", "a .deb is for root: sudo sh"),
        ("x.whl", "", "say TIERCAST_DIR=FOLDER, where the agent is to live"),
        ("x.whl", "file", "can't be written: say TIERCAST_DIR=FOLDER for another place"),
        ("y.whl", "home", "is not on this machine: bring it here"),
        ("x.whl", "joined", "has joined already; start it with: "),
    ],
)
def test_a_user_is_told_what_he_can_do_before_anything_is_made(
    tmp_path: Path, source: str, home: str, says: str
) -> None:
    env = machine(tmp_path / "bin", 1000)
    for name in ("x.deb", "x.whl", "file"):
        (tmp_path / name).touch()
    joined = tmp_path / "joined/.local/share/tiercast/endpoint"
    joined.mkdir(parents=True)
    (joined / "enrolled.json").touch()
    env.pop("HOME")
    done = subprocess.run(
        ["sh", "-s"],
        input=bootstraps.render(token(), str(tmp_path / source), ""),
        env=env | ({"HOME": str(tmp_path / home)} if home else {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "bin/log").exists()
    assert not (tmp_path / "home").exists()


def test_machines_are_pushed_to_side_by_side_and_each_has_its_result(invites: Daemon, tmp_path: Path) -> None:
    stand_in(
        tmp_path,
        "ssh",
        f'cat > "{tmp_path}/$2.script"; case $2 in *bad*) echo "sh: no such thing" >&2; exit 7;; esac; echo "$3 on $2"',
    )
    hosts = ("root@pc-1.example", "pc-2", "root@bad-1", "10.0.0.7=pc-3")
    words = ("node", "push", *hosts, "--from", "/x/t.deb", "--ssh", f"{tmp_path}/ssh -q")
    said = invites.json(*words, code=1)["pushed"]
    assert [(one["node"], one["ok"], one["exit"]) for one in said] == [
        ("pc-1", True, 0),
        ("pc-2", True, 0),
        ("bad-1", False, 7),
        ("pc-3", True, 0),
    ]
    assert said[2]["says"] == "sh: no such thing"
    assert token() in (tmp_path / "root@pc-1.example.script").read_text()
    assert [asked["name"] for _, asked in invites.asked] == ["pc-1", "pc-2", "bad-1", "pc-3"]
    assert "failed (7)" in invites.run(*words, code=1)


def test_mistakes_in_machines_are_all_named_and_cost_no_token(invites: Daemon) -> None:
    said = invites.json("node", "push", "root@pc-1", "pc-1.example", code=2)["error"]
    assert (said["code"], said["what"]) == ("push.invalid", "Named twice: pc-1.")
    with pytest.raises(UsageError) as found:
        bootstraps._targets(["-oProxyCommand=x", "pc 1", "ok", "x=a b"])
    assert "-oProxyCommand=x, pc 1, x=a b" in found.value.what
    assert invites.asked == []


async def test_who_does_not_answer_is_left(tmp_path: Path) -> None:
    stand_in(tmp_path, "ssh", "sleep 60")
    found = await bootstraps.pushed([str(tmp_path / "ssh")], "h", "n", "x", limit_s=0.1)
    assert (found.ok, found.exit) == (False, -1)
    found = await bootstraps.pushed([str(tmp_path / "none")], "h", "n", "x")
    assert "could not be started" in found.says


def test_the_medium_is_refused_with_another_way(daemon: Daemon, tmp_path: Path) -> None:
    said = daemon.json("node", "medium", str(tmp_path), code=2)
    assert said["error"]["code"] == "medium.reserved"
    assert "bootstrap" in said["error"]["todo"]
