"""Times and rates as people type them."""

from __future__ import annotations

import pytest

from tiercast_cli.durations import rate_of, seconds_of
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
