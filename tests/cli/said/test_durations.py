"""Times and rates as people type them."""

from __future__ import annotations

from datetime import datetime

import pytest

from tiercast_cli.said.durations import milliseconds_of, moment_of, rate_of, seconds_of, size_of
from tiercast_protocol.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800), ("1.5h", 5400)]
)
def test_lengths_of_time(text: str, seconds: int) -> None:
    assert seconds_of(text, "--valid") == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1h", "0s", "7 fortnights", "1e3s"])
def test_what_is_no_length_of_time_names_the_option_and_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        seconds_of(text, "--valid")
    assert caught.value.where == "--valid"
    assert "12h" in caught.value.todo


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20MB/s", 20_000_000),
        ("512KiB/s", 524_288),
        ("100Mbit/s", 12_500_000),
        ("1000", 1000),
        ("unlimited", 0),
        ("0", 0),
    ],
)
def test_rates(text: str, rate: int) -> None:
    assert rate_of(text, "--rate") == rate


@pytest.mark.parametrize("text", ["fast", "20MB/h", "MB/s", "-3MB/s", "20XB/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        rate_of(text, "--rate")


@pytest.mark.parametrize(
    ("text", "size"), [("4MiB", 4 << 20), ("2GB", 2_000_000_000), ("65536", 65536), ("1.5kb", 1500)]
)
def test_sizes(text: str, size: int) -> None:
    assert size_of(text, "--segment") == size


@pytest.mark.parametrize(("text", "millis"), [("250ms", 250), ("2s", 2000), ("1.5s", 1500), ("1m", 60_000)])
def test_short_lengths_of_time(text: str, millis: int) -> None:
    assert milliseconds_of(text, "--interval-pause") == millis


def test_points_of_time_are_still_to_come() -> None:
    now = datetime(2026, 11, 21, 12).timestamp()  # noqa: DTZ001 - the clock on the wall
    assert moment_of("18:00", "--until", now) == int((now + 6 * 3600) * 1000)
    assert moment_of("09:30", "--until", now) == int((now + 21.5 * 3600) * 1000)
    assert moment_of("2026-11-22 12:00", "--until", now) == int((now + 86_400) * 1000)
    for text in ("2026-11-20 12:00", "noon", "25:00", "12"):
        with pytest.raises(UsageError):
            moment_of(text, "--until", now)


@pytest.mark.parametrize("text", ["", "3 apples", "-1"])
def test_what_is_no_size_or_short_time_is_refused(text: str) -> None:
    for read in (size_of, milliseconds_of):
        with pytest.raises(UsageError):
            read(text, "--x")
