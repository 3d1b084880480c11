"""Options of transfers: units become bytes, seconds and milliseconds; what is no value names its option."""

from __future__ import annotations

import pytest

from cli_daemon import Daemon
from tiercast_cli.said.terms import terms_of
from tiercast_protocol.errors import UsageError


def test_units_become_the_words_of_the_wire(daemon: Daemon) -> None:
    daemon.answers["job.create"] = {"job": "j1", "targets": 1}
    daemon.run(
        *("job", "install", "editor", "--on", "pc-1", "--priority", "9", "--rate", "400KB/s", "--floor", "8kbit/s"),
        *("--segment", "4MiB", "--pause", "2s", "--interval-frames", "16", "--interval-pause", "250ms"),
        *("--budget", "2GB", "--per", "day", "--fanout", "unicast", "--pass-suspended", "--metered"),
        *("--window", "mon-fri 22:00-06:00 at 2MB/s", "--window", "not daily 00:00-01:00 utc"),
    )
    assert daemon.asked[-1][1]["options"] == {
        "priority": 9,
        "rate": 400_000,
        "floor": 1000,
        "segment": 4 << 20,
        "pause": 2,
        "frames": 16,
        "frame_pause_ms": 250,
        "budget": 2_000_000_000,
        "per": "day",
        "fanout": "unicast",
        "pass_suspended": True,
        "metered": True,
        "window": "mon-fri 22:00-06:00 at 2000000; not daily 00:00-01:00 utc",
    }


def test_nothing_said_is_nothing_ordered(daemon: Daemon) -> None:
    daemon.answers["job.create"] = {"job": "j1", "targets": 1}
    daemon.run("job", "preload", "editor", "--on", "berlin", "--rate", "unlimited", "--segment", "none")
    assert daemon.asked[-1][1]["options"] == {}
    assert "--rate" not in daemon.run("job", "remove", "--help"), "nothing is transferred"


def test_none_takes_back() -> None:
    terms = terms_of({"rate": "unlimited", "budget": "none", "window": ["none"], "metered": False})
    assert terms.options == {"metered": False}
    assert set(terms.clear) == {"rate", "budget", "budget_s", "per", "window"}
    assert terms_of({"budget": "10h"}).options == {"budget_s": 36_000, "per": "job"}


@pytest.mark.parametrize(
    "given",
    [
        {"segment": "much"},
        {"rate": "4MB/h"},
        {"pause": "soon"},
        {"interval_frames": "few"},
        {"interval_pause": "3"},
        {"budget": "all"},
        {"per": "decade"},
        {"priority": "high"},
    ],
)
def test_what_is_no_value_names_its_option(given: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        terms_of(given)
    assert caught.value.where == "--" + next(iter(given)).replace("_", "-")
