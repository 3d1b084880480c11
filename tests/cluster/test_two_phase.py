"""Jobs in two phases through real daemons: machines killed while they commit; a set ends all-old or all-new."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cluster import KEEPALIVE, asked, assert_installed, build, content_bytes, random_tree, running, until
from region import Region

PCS = ["pc-1", "pc-2", "pc-3"]
#: In this time a version on trial has to reach its gateway.
WITHIN_S = 20


@pytest.fixture(scope="module")
def site() -> Iterator[Region]:
    with running() as region:
        region.add_server()
        region.add_gateway("berlin")
        region.add_endpoints(PCS, "berlin")
        yield region


def ordered(site: Region, type_: str, package: str, *targets: str) -> str:
    """Order a job without a process for it; its id."""
    made = asked(site, "job.create", type=type_, package=package, targets=list(targets))
    return str(made["job"])


def installed_on(site: Region, package: str, *targets: str) -> None:
    """Have the package installed there."""
    job = ordered(site, "install", package, *targets)
    until(lambda: asked(site, "job.show", job=job)["state"] == "done", f"{package} is installed")


def phases(site: Region, job: str) -> dict[str, str]:
    """Each target's phase."""
    return {t["node"]: t["phase"] for t in asked(site, "job.show", job=job)["targets"]}


def reached(site: Region, job: str, *wanted: str) -> None:
    until(lambda: set(phases(site, job).values()) <= set(wanted), f"{job} is {wanted}")


def test_a_set_that_is_killed_while_it_commits_ends_all_new_and_one_that_is_undone_all_old(
    site: Region, tmp_path: Path
) -> None:
    trees = [random_tree(tmp_path / f"app-{n}", seed=n, files=4, size=700_000) for n in (1, 2, 3)]
    for number, tree in enumerate(trees, 1):
        build(site, tree, "app", str(number))
    on = [word for name in PCS for word in ("--on", name)]
    installed_on(site, "app=1", *PCS)

    # Prepared: nothing is changed, one by one it says why it waits, and too few are not committed.
    job = site.cli("job", "install", "app=2", *on, "--two-phase")["job"]
    reached(site, job, "prepared")
    assert_installed(site, PCS, "app", trees[0])
    (reason,) = site.cli("why", job, "pc-1")["why"]["chain"]
    assert reason["code"] == "commit.waits"

    # Committed while all of them are killed: the order stands in every tier, and all end new.
    site.cli("job", "commit", job)
    for name in PCS:
        site.kill(name)
    for name in PCS:
        site.start(site.daemons[name])
    reached(site, job, "committed")
    assert_installed(site, PCS, "app", trees[1])
    assert asked(site, "job.show", job=job)["phases"] == {"committed": 3}

    # A part is accepted; the rest goes back, killed meanwhile, from what it kept: no byte of content travels.
    before, carried = content_to(site, "berlin"), content_bytes(site, "berlin")
    assert carried > 1_400_000, "two versions came over this connection"
    site.cli("job", "accept", job, "--on", "pc-3")
    until(lambda: phases(site, job)["pc-3"] == "accepted", "pc-3 is accepted")
    site.cli("job", "undo", job)
    site.kill("pc-1")
    site.start(site.daemons["pc-1"])
    until(lambda: asked(site, "job.show", job=job)["state"] != "open", "the job has ended")
    assert phases(site, job) == {"pc-1": "undone", "pc-2": "undone", "pc-3": "accepted"}
    assert_installed(site, ["pc-1", "pc-2"], "app", trees[0])
    assert_installed(site, ["pc-3"], "app", trees[1])
    assert content_to(site, "berlin") == before
    assert content_bytes(site, "berlin") - carried <= KEEPALIVE, "by the kernel's count"


def content_to(site: Region, gateway: str) -> int:
    """Bytes of content that the server sent to it so far."""
    rows = asked(site, "ledger.show", link=gateway)["rows"]
    assert any(row["job"] for row in rows)
    return sum(row["bytes"] for row in rows if row["side"] == "sent" and row["reason"] == "published")


def test_a_set_commits_by_itself_and_is_undone_as_a_part_fails(site: Region, tmp_path: Path) -> None:
    good = random_tree(tmp_path / "one", seed=7, files=2, size=9_000)
    bad = shutil.copytree(good, tmp_path / "two")
    (bad / "after.sh").write_text("#!/bin/sh\ncase $PWD in */pc-2-apps/*) exit 3;; esac\n")
    (bad / "after.sh").chmod(0o755)
    (bad / "package.toml").write_text('name = "tool"\nversion = "2"\n[run_after]\nargv = ["./after.sh"]\n')
    build(site, good, "tool", "1")
    site.cli("package", "build", str(bad))
    on = [word for name in PCS for word in ("--on", name)]
    installed_on(site, "tool=1", *PCS)
    rules = ("--two-phase", "--commit-at-least", "100%", "--undo-if-failed", "30%")
    job = site.cli("job", "install", "tool=2", *on, *rules)["job"]
    until(lambda: asked(site, "job.show", job=job)["state"] == "failed", "the job has ended")
    found = phases(site, job)
    assert found == {"pc-1": "undone", "pc-2": "failed", "pc-3": "undone"}
    assert_installed(site, PCS, "tool", good)


def test_what_is_not_confirmed_in_time_goes_back_alone_also_over_a_kill(site: Region, tmp_path: Path) -> None:
    old = random_tree(tmp_path / "old", seed=9, files=2, size=9_000)
    new = shutil.copytree(old, tmp_path / "new")
    (new / "health.sh").write_text("#!/bin/sh\necho looked; test -e ../../../allowed\n")
    (new / "health.sh").chmod(0o755)
    build(site, old, "trial", "1")
    for version, within in (("2", "2s"), ("3", "1h")):
        confirm = f'[confirm]\nargv = ["./health.sh"]\nwithin = "{within}"\nevery = "1s"\nneeds_gateway = true\n'
        (new / "package.toml").write_text(f'name = "trial"\nversion = "{version}"\n{confirm}')
        site.cli("package", "build", str(new))
    installed_on(site, "trial=1", "pc-1")

    job = ordered(site, "install", "trial=2", "pc-1")
    site.kill("pc-1")
    site.start(site.daemons["pc-1"])
    until(lambda: asked(site, "job.show", job=job)["state"] == "failed", "it went back alone")
    (target,) = asked(site, "job.show", job=job)["targets"]
    assert target["code"] == "confirm.timeout"
    assert "looked" in asked(site, "job.receipt", job=job, node="pc-1")["programs"][-1]["output"]
    assert_installed(site, ["pc-1"], "trial", old)

    job = ordered(site, "install", "trial=3", "pc-1")
    until(lambda: asked(site, "job.show", job=job)["targets"][0]["code"] == "confirm.waits", "it is on trial")
    (site.apps("pc-1") / "allowed").touch()
    until(lambda: asked(site, "job.show", job=job)["state"] == "done", "it is confirmed")
    assert (site.apps("pc-1") / "trial" / "health.sh").exists()


def test_what_was_changed_by_hand_is_found_counted_and_mended_by_its_wrong_chunks(site: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "whole", seed=11, files=2, size=2_400_000)
    build(site, source, "whole", "1")
    installed_on(site, "whole=1", "pc-2")
    installed = (site.apps("pc-2") / "whole").resolve()
    hurt = min(path for path in installed.rglob("*") if path.is_file())
    with hurt.open("r+b") as opened:  # one bit, in one chunk of several
        opened.seek(hurt.stat().st_size // 2)
        byte = opened.read(1)
        opened.seek(-1, 1)
        opened.write(bytes([byte[0] ^ 1]))
    (installed / "stranger").touch()

    found = site.cli("job", "verify", "whole", "--on", "pc-2", "--watch", check=False)["job"]["targets"][0]
    assert (found["state"], found["code"]) == ("failed", "verify.differs")
    assert "stranger" in found["detail"]
    (here,) = asked(site, "verify", at="pc-2", package="whole")
    assert [one["what"] for one in here["differences"]] == ["was changed", "does not belong there"]
    until(lambda: "whole" not in asked(site, "inventory", at="pc-2")["packages"], "it is not said to be there")

    before, carried = sent_to(site, "pc-2"), (content_bytes(site, "pc-2"), content_bytes(site, "berlin"))
    assert site.cli("job", "repair", "whole", "--on", "pc-2", "--watch")["job"]["state"] == "done"
    assert_installed(site, ["pc-2"], "whole", source)
    largest = 2 * 128 * 1024  # a chunk has no more than this, and one that spans two files comes for both
    assert 0 < sent_to(site, "pc-2") - before < largest, "only the wrong chunk travels"
    assert 0 < content_bytes(site, "pc-2") - carried[0] < largest, "by the kernel's count"
    assert content_bytes(site, "berlin") - carried[1] <= KEEPALIVE, "and it comes from the nearest"
    verified = ordered(site, "verify", "whole", "pc-2")
    until(lambda: asked(site, "job.show", job=verified)["state"] == "done", "it is whole")
    assert asked(site, "inventory", at="pc-2")["packages"]["whole"] == "1"


def test_an_installation_goes_on_behind_a_restart_of_the_machine(site: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "driver", seed=12, files=2, size=9_000)
    (source / "package.toml").write_text('name = "driver"\nversion = "1"\nreboot = "now"\n')
    site.cli("package", "build", str(source))
    agent, life = site.daemons["pc-3"], tmp_path / "boot_id"
    life.write_text("first\n")
    stand_in = tmp_path / "reboot.sh"
    stand_in.write_text(f"#!/bin/sh\necho second > {life}\nkill -9 $PPID\n")
    stand_in.chmod(0o755)
    site.kill("pc-3")
    settings = agent.folder / "endpoint.toml"
    power = f'[power]\nreboot_command = ["{stand_in}"]\nboot_id = "{life}"\n'
    settings.write_text(re.sub(r"(?ms)^\[power\]\n.*?(?=^\[|\Z)", "", settings.read_text()) + "\n" + power)
    site.start(agent)

    job = site.cli("job", "install", "driver=1", "--on", "pc-3", "--reboot", "ask")["job"]
    until(lambda: asked(site, "job.show", job=job)["targets"][0]["code"] == "reboot.waits", "it asks")
    site.kill("pc-3")
    site.start(agent)
    assert [one["mode"] for one in asked(site, "reboots", at="pc-3")] == ["ask"], "an agent that fell is no restart"
    asked(site, "reboot", at="pc-3")
    until(lambda: agent.process is not None and agent.process.poll() is not None, "the stand-in ended the agent")
    assert life.read_text() == "second\n"
    site.start(agent)
    until(lambda: asked(site, "job.show", job=job)["state"] == "done", "it went on")
    assert (site.apps("pc-3") / "driver").exists()


def sent_to(site: Region, child: str) -> int:
    """Bytes of content that berlin sent to it so far."""
    rows = asked(site, "ledger.show", at="berlin", link=child)["rows"]
    return sum(row["bytes"] for row in rows if row["side"] == "sent" and row["reason"] == "published")


@pytest.mark.parametrize("outage_s", [4, pytest.param(2 * WITHIN_S, marks=pytest.mark.long)])
def test_an_outage_of_the_site_extends_the_time_and_undoes_nothing(site: Region, tmp_path: Path, outage_s: int) -> None:
    """A second stands for half a minute: ten minutes to be confirmed in, and a gateway that is down for twenty."""
    package = f"net-{outage_s}"
    old = random_tree(tmp_path / "old", seed=13 + outage_s, files=2, size=9_000)
    new = shutil.copytree(old, tmp_path / "new")
    (new / "health.sh").write_text("#!/bin/sh\nuntil test -e ../../../go; do sleep 0.1; done\n")
    (new / "health.sh").chmod(0o755)
    confirm = f'[confirm]\nargv = ["./health.sh"]\nwithin = "{WITHIN_S}s"\nevery = "1s"\nneeds_gateway = true\n'
    (new / "package.toml").write_text(f'name = "{package}"\nversion = "2"\n{confirm}')
    build(site, old, package, "1")
    site.cli("package", "build", str(new))
    installed_on(site, f"{package}=1", "pc-1")
    job = site.cli("job", "install", f"{package}=2", "--on", "pc-1")["job"]
    until(lambda: counted(site, "pc-1"), "it is on trial")
    for name in ("berlin", "server"):  # the whole site is cut off: any other parent that the region names would do
        site.kill(name)
    until(lambda: not asked(site, "status", at="pc-1")["parent"]["connected"], "it lost its gateway")
    (site.apps("pc-1") / "go").touch()  # from now on its health is all that could be wished for
    until(lambda: counted(site, "pc-1")[1] > outage_s * 1000, "time passes without a gateway")
    assert counted(site, "pc-1")[0] < 2_000, "and does not count"
    assert (site.apps("pc-1") / package / "health.sh").exists(), "nothing was undone"
    for name in ("berlin", "server"):  # its own gateway first: it looks for that one all the time
        site.start(site.daemons[name])
    until(lambda: asked(site, "job.show", job=job)["state"] == "done", "it is confirmed")
    assert (site.apps("pc-1") / package / "health.sh").exists()
    (site.apps("pc-1") / "go").unlink()


def counted(site: Region, endpoint: str) -> tuple[int, ...]:
    """Milliseconds that count for what is on trial there, and that an outage took; none where nothing is."""
    with closing(sqlite3.connect(f"file:{site.daemons[endpoint].folder}/agent.db?mode=ro", uri=True)) as db:
        found: tuple[int, ...] = db.execute("SELECT spent, outage FROM confirming").fetchone() or ()
        return found
