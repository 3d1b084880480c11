"""Times at the command line: what is typed becomes the words of an order."""

from __future__ import annotations

from datetime import datetime

import pytest

from cli_daemon import Daemon
from tiercast_cli.said.times import times_of, times_shown
from tiercast_protocol.content.jobs import times
from tiercast_protocol.errors import UsageError

NOW = datetime(2026, 11, 21, 12, 0).timestamp()  # noqa: DTZ001 - the clock on the wall is what a person means


def at(hour: int, day: int = 21) -> int:
    return int(datetime(2026, 11, day, hour, 0).timestamp() * 1000)  # noqa: DTZ001 - as above


def test_all_options_become_words_that_an_agent_reads() -> None:
    said = times_of(
        {
            "distribute_at": "18:00",
            "prepare_by": "2026-11-22 06:00",
            "install_at": "2026-11-22 22:00",
            "deadline": "2026-11-23 06:00",
            "install_window": ["mon-fri 22:00-06:00", "not wed 00:00-24:00 utc"],
            "install_when": "Shutdown",
            "spread": "30m",
            "max_duration": "15m",
            "tries": "3",
            "try_pause": "5m",
            "try_on": ["disk.full", "chunk.missing"],
            "install_tries": "2",
            "install_pause": "1h",
            "install_on": [],
            "install_unless": ["editor", "viewer"],
        },
        NOW,
    )
    assert said["distribute_at"] == at(18)
    assert said["prepare_by"] == at(6, 22)
    assert said["install_unless"] == "editor,viewer"
    assert said["install_window"] == "mon-fri 22:00-06:00; not wed 00:00-24:00 utc"
    read = times.read(said)
    assert (read.when, read.spread_s, read.max_duration_s) == ("shutdown", 1800, 900)
    assert read.transfer == times.Tries(3, 300, frozenset({"disk.full", "chunk.missing"}))
    assert read.installation == times.Tries(2, 3600)
    assert set(said) <= times.WORDS


def test_nothing_said_is_nothing_ordered(daemon: Daemon) -> None:
    assert times_of({}) == {}
    daemon.answers["job.create"] = {"job": "j1", "targets": 1}
    daemon.run("job", "install", "editor", "--on", "pc-1")
    assert daemon.asked[-1][1]["options"] == {}


def test_they_go_with_the_job(daemon: Daemon) -> None:
    daemon.answers["job.create"] = {"job": "j1", "targets": 1}
    daemon.run("job", "install", "editor", "--on", "pc-1", "--install-window", "sat,sun 00:00-24:00", "--rate", "1MB/s")
    assert daemon.asked[-1][1]["options"] == {"install_window": "sat,sun 00:00-24:00", "rate": 1_000_000}
    daemon.run("job", "remove", "editor", "--on", "pc-1", "--max-duration", "10m")
    assert daemon.asked[-1][1]["options"] == {"max_duration_s": 600}
    assert "--install-at" not in daemon.run("job", "preload", "--help"), "a preload installs nothing"
    assert "--distribute-at" not in daemon.run("job", "remove", "--help"), "nothing of a removal moves"


@pytest.mark.parametrize(
    ("given", "where", "code"),
    [
        ({"install_at": "2026-11-21 11:59"}, "--install-at", "time.invalid"),
        ({"distribute_at": "soon"}, "--distribute-at", "time.invalid"),
        ({"spread": "-5m"}, "--spread", "time.invalid"),
        ({"max_duration": "0s"}, "--max-duration", "time.invalid"),
        ({"tries": "many"}, "--tries", "number.invalid"),
    ],
)
def test_what_is_no_time_names_its_option(given: dict[str, str], where: str, code: str) -> None:
    with pytest.raises(UsageError) as refused:
        times_of(given, NOW)
    assert (refused.value.where, refused.value.code) == (where, code)


def test_what_was_ordered_and_who_did_not_keep_to_it_is_shown() -> None:
    options = {"install_window": "daily 22:00-06:00", "spread_s": 600, "prepare_by": at(18), "deadline": at(20)}
    late = [f"pc-{number}" for number in range(12)]
    lines = times_shown({"options": options, "origin": "j1", "missed": {"prepare_by": ["berlin"], "deadline": late}})
    assert lines[0].startswith("times: prepare-by ")
    assert "install-window daily 22:00-06:00, spread 600 s" in lines[0]
    assert lines[1] == "another run of j1"
    assert lines[2].endswith(": berlin")
    assert lines[3].endswith("pc-9 and 2 more")
    assert times_shown({}) == []


def test_the_way_has_a_time_out_of_its_own() -> None:
    assert times_of({"send_timeout": "30m", "max_duration": "10m"}) == {"send_timeout_s": 1800, "max_duration_s": 600}


def test_a_spread_may_be_left_to_the_links() -> None:
    assert times_of({"spread": "auto"}) == {"spread_auto": True}
    assert times_of({"spread": "30m"}) == {"spread_s": 1800}
