"""`tiercast node ...` and `tiercast status`."""

from __future__ import annotations

from cli_daemon import Daemon

NODE = {
    "name": "pc-1",
    "role": "endpoint",
    "parent": "berlin",
    "online": True,
    "since": 1,
    "generation": 1,
    "joined": 1,
}
STATUS = {
    "name": "server",
    "region": "demo",
    "role": "server",
    "version": "0.1.0",
    "broker": {"kind": "embedded", "url": "mqtt://127.0.0.1:1883", "pid": 1},
    "depot": {"chunks": 3, "bytes": 2048, "quota": 0, "free": 1 << 30},
    "children": [{"name": "berlin", "role": "gateway", "online": True, "lane": "active", "wanted": 4}],
}


def test_an_invitation_prints_the_command_for_the_new_machine(daemon: Daemon) -> None:
    daemon.answers["node.invite"] = {
        "token": "tcj1-xyz",
        "expires": 1_800_000_000_000,
        "parent": "berlin",
        "url": "mqtt://x",
    }
    said = daemon.run("node", "invite", "pc-1", "--parent", "berlin", "--valid", "2h")
    assert "tiercast-endpoint join tcj1-xyz" in said
    assert daemon.asked[0][1] == {
        "name": "pc-1",
        "role": "endpoint",
        "parent": "berlin",
        "ttl_s": 7200,
        "replace": False,
    }
    assert "tiercast-gateway join" in daemon.run("node", "invite", "berlin", "--gateway")


def test_a_wrong_length_of_time_is_a_usage_error_before_anything_is_asked(daemon: Daemon) -> None:
    assert "12h" in daemon.run("node", "invite", "pc-1", "--valid", "soon", code=2)
    assert daemon.asked == []


def test_list_show_remove(daemon: Daemon) -> None:
    daemon.answers |= {"node.list": [NODE], "node.show": NODE}
    assert "pc-1" in daemon.run("node", "list")
    assert daemon.json("node", "list")["nodes"] == [NODE]
    assert "berlin" in daemon.run("node", "show", "pc-1")
    assert "no longer belongs" in daemon.run("node", "remove", "pc-1")


def test_status_of_the_daemon_at_the_socket(daemon: Daemon) -> None:
    daemon.answers["status"] = STATUS
    said = daemon.run("status")
    assert "server server of region demo" in said
    assert "2.00 KiB in 3 chunks" in said
    assert "berlin" in said
    assert daemon.json("node", "status")["status"] == STATUS


def test_status_of_an_endpoint_shows_its_parent_instead_of_a_broker(daemon: Daemon) -> None:
    daemon.answers["status"] = {
        "name": "pc-1",
        "region": "demo",
        "role": "endpoint",
        "version": "0.1.0",
        "parent": {"name": "berlin", "url": "mqtt://127.0.0.1:1884", "connected": False},
        "install_root": "/srv/apps",
        "disk_free": 1 << 30,
        "open_jobs": [{"job": "j1", "package": "editor", "state": "fetching"}],
    }
    said = daemon.run("status")
    assert "parent berlin at mqtt://127.0.0.1:1884, not connected" in said
    assert "installs into /srv/apps, 1.00 GiB free" in said
    assert "job j1 editor: fetching" in said
    assert "broker" not in said


def test_the_tree_shows_who_is_where_and_why(daemon: Daemon) -> None:
    server = NODE | {"name": "server", "role": "server", "parent": "", "present": "", "placed": 0, "reason": ""}
    berlin = NODE | {"name": "berlin", "role": "gateway", "parent": "server", "present": "server", "online": False}
    guest = NODE | {"present": "server", "placed": 1, "reason": "berlin was away"}
    lost = NODE | {"name": "pc-2", "parent": "gone", "present": "gone"}
    daemon.answers["node.list"] = [server, berlin, guest, lost]
    lines = daemon.run("node", "tree").splitlines()
    assert [line.split(" (")[0] for line in lines] == ["server", "  berlin", "  pc-1", "pc-2"]
    assert "online, home is berlin: berlin was away, " in lines[2]
    assert daemon.json("node", "tree")["nodes"][0]["name"] == "server"
    assert "server (home: berlin)" in daemon.run("node", "list")
