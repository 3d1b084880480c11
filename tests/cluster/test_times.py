"""Times through real daemons: prepared early and installed in time; cancelled while prepared; run again."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cluster import asked, assert_installed, build, random_tree, running, states, until
from region import Region

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@pytest.fixture(scope="module", name="site")
def _site() -> Iterator[Region]:
    with running() as region:
        region.add_server()
        region.add_gateway("berlin")
        region.add_endpoints(["pc-1", "pc-2"], "berlin")
        yield region


def clock(ahead: float) -> tuple[str, float]:
    """A moment so many seconds from now: as it is typed, and in seconds since 1970."""
    at = datetime.now() + timedelta(seconds=ahead)  # noqa: DTZ005 - the clock on the wall is what is typed
    at = at.replace(microsecond=0) + timedelta(seconds=1)
    return at.isoformat(" "), at.timestamp()


def codes(site: Region, job: str) -> dict[str, tuple[str, str]]:
    """State and code of each target."""
    return {row["node"]: (row["state"], row["code"]) for row in asked(site, "job.show", job=job)["targets"]}


def shut_window() -> str:
    """A window that opens in three days."""
    return f"{DAYS[(datetime.now().weekday() + 3) % 7]} 01:00-02:00"  # noqa: DTZ005 - as above


def test_nothing_moves_before_one_time_and_nothing_is_installed_before_the_other(site: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "app", seed=1, files=8, size=800_000)
    build(site, source, "app", "1")
    first, moves = clock(1.5)
    second, installs = clock(5)
    targets = ("--on", "pc-1", "--on", "pc-2")
    times = ("--distribute-at", first, "--prepare-by", second, "--install-at", second)
    job = site.cli("job", "install", "app", *targets, *times)["job"]
    until(lambda: codes(site, job)["pc-1"][1] == "time.distribute", "it says what it waits for")
    (link,) = (row for row in asked(site, "link.list") if row["child"] == "berlin")
    assert time.time() > moves or link["jobs"] == [] or all(one["sent_bytes"] == 0 for one in link["jobs"])
    prepared = ("staged", "time.install")
    until(lambda: set(codes(site, job).values()) == {prepared}, "both are prepared")
    assert moves < time.time() < installs
    assert not (site.apps("pc-1") / "app").exists()
    site.kill("pc-1")
    site.restart("pc-1")
    until(lambda: asked(site, "job.show", job=job)["state"] == "done", "both are installed")
    assert_installed(site, ["pc-1", "pc-2"], "app", source)
    until(lambda: asked(site, "job.show", job=job)["missed"] == {}, "the gateway is known to hold it")
    for node in ("pc-1", "pc-2"):
        receipt = asked(site, "job.receipt", job=job, node=node)
        assert installs * 1000 <= receipt["finished"] <= (installs + 20) * 1000


def test_a_job_whose_time_has_not_come_holds_up_no_other_of_the_same_content(site: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "twice", seed=9, files=4, size=400_000)
    build(site, source, "twice", "1")
    later = site.cli("job", "install", "twice", "--on", "pc-1", "--distribute-at", clock(3600)[0])["job"]
    until(lambda: codes(site, later)["pc-1"][1] == "time.distribute", "its gateway waits with it")
    now = site.cli("job", "install", "twice", "--on", "pc-2")["job"]
    until(lambda: states(site, now) == {"pc-2": "done"}, "the other is installed", 30)
    assert_installed(site, ["pc-2"], "twice", source)
    assert states(site, later)["pc-1"] in {"ordered", "waiting"}  # the second once the agent has said so itself
    asked(site, "job.cancel", job=later)


def test_what_is_prepared_is_cancelled_in_one_place_and_then_everywhere(site: Region, tmp_path: Path) -> None:
    build(site, random_tree(tmp_path / "late", seed=2, files=4, size=200_000), "late", "1")
    job = site.cli(
        "job", "install", "late", "--on", "pc-1", "--on", "pc-2", "--install-window", shut_window()
    )["job"]  # fmt: skip
    until(lambda: set(codes(site, job).values()) == {("staged", "window.shut")}, "both are prepared")
    assert site.cli("job", "cancel", job, "--on", "pc-1")["targets"] == ["pc-1"]
    until(lambda: states(site, job) == {"pc-1": "cancelled", "pc-2": "staged"}, "one is cancelled")
    assert asked(site, "job.show", job=job)["state"] == "open"
    site.cli("job", "cancel", job, "--below", "berlin", "--force")
    until(lambda: asked(site, "job.show", job=job)["state"] == "cancelled", "both are cancelled")
    assert not (site.apps("pc-2") / "late").exists()
    assert [row["job"] for row in asked(site, "jobs", at="pc-2") if not row["finished"]] == []


def test_a_job_is_run_again_where_it_failed(site: Region, tmp_path: Path) -> None:
    source, mended = tmp_path / "moody", tmp_path / "mended"
    source.mkdir()
    (source / "before.sh").write_text(f"#!/bin/sh\ncase $PWD in *pc-2*) exit 0;; esac\ntest -e {mended}\n")
    (source / "before.sh").chmod(0o755)
    (source / "package.toml").write_text('name = "moody"\nversion = "1"\n[run_before]\nargv = ["./before.sh"]\n')
    site.cli("package", "build", str(source))
    first = site.cli("job", "install", "moody", "--on", "pc-1", "--on", "pc-2", "--watch", check=False)["job"]
    assert first["counts"] == {"done": 1, "failed": 1}
    mended.touch()
    made: dict[str, Any] = site.cli("job", "rerun", first["job"], "--failed")
    assert (made["origin"], made["targets"]) == (first["job"], 1)
    until(lambda: states(site, made["job"]) == {"pc-1": "done"}, "it is done where it had failed")
    assert asked(site, "job.show", job=made["job"])["origin"] == first["job"]


def test_times_that_can_not_be_are_refused_with_figures(site: Region) -> None:
    for options, code, figure in (
        (("--install-at", "2020-01-01 10:00"), "time.invalid", "2020-01-01"),
        (("--install-window", shut_window(), "--expires", "1d"), "window.never", "never opens"),
        (("--install-window", "daily 22:00-23:00", "--max-duration", "2h"), "window.short", "7,200 s"),
        (("--deadline", clock(300)[0], "--rate", "1KiB/s"), "times.deadline", "bytes per second"),
    ):
        answer = site.cli("job", "install", "app", "--on", "pc-1", *options, check=False)
        assert answer["error"]["code"] == code
        assert figure in answer["error"]["what"]


def test_what_waits_for_the_stop_is_installed_as_the_agent_is_stopped(site: Region, tmp_path: Path) -> None:
    source = random_tree(tmp_path / "quiet", seed=3, files=3, size=100_000)
    build(site, source, "quiet", "1")
    job = site.cli("job", "install", "quiet", "--on", "pc-1", "--install-when", "shutdown")["job"]
    until(lambda: codes(site, job) == {"pc-1": ("staged", "agent.stop")}, "it is prepared")
    site.kill("pc-1", signal.SIGTERM)
    assert_installed(site, ["pc-1"], "quiet", source)
    site.restart("pc-1")
    until(lambda: states(site, job) == {"pc-1": "done"}, "its receipt")
