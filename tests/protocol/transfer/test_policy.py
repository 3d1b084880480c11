"""What may be said about a transfer, and what is refused with its figures."""

from __future__ import annotations

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer.policy import JobPolicy, Pace, job_policy, pace_of


def test_nothing_said_is_the_usual() -> None:
    assert job_policy({"reinstall": True}) == JobPolicy()


def test_every_word_is_taken() -> None:
    said = job_policy(
        {
            "rate": 50_000,
            "floor": 2_000,
            "segment": 1 << 20,
            "pause": 2,
            "frames": 3,
            "frame_pause_ms": 250,
            "budget": 10**9,
            "priority": 9,
            "fanout": "multicast",
            "pass_suspended": True,
            "metered": True,
        }
    )
    assert said == JobPolicy(Pace(50_000.0, 2_000.0, 1 << 20, 2.0, 3, 0.25, 10**9), 9, "multicast", True, True)


@pytest.mark.parametrize(
    ("options", "code", "figure"),
    [
        ({"segment": 0, "pause": 1}, "transfer.segment", "1024"),
        ({"segment": 4096}, "transfer.segment", "together"),
        ({"segment": 4096, "pause": 100_000}, "transfer.pause", "86400"),
        ({"rate": 10}, "transfer.rate", "1024"),
        ({"rate": 2048, "floor": 4096}, "transfer.floor", "4,096 bytes per second is above the rate of 2,048"),
        ({"frames": 0, "frame_pause_ms": 5}, "transfer.frames", "1"),
        ({"frames": 3}, "transfer.frames", "interval-frames and interval-pause belong together"),
        ({"budget": 0}, "transfer.budget", "1"),
        ({"priority": True}, "transfer.priority", "True"),
        ({"rate": "fast"}, "transfer.rate", "fast"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_figures(options: dict[str, object], code: str, figure: str) -> None:
    with pytest.raises(UsageError) as caught:
        pace_of(options) if "priority" not in options else job_policy(options)
    assert caught.value.code == code
    assert figure in caught.value.what


def test_an_unknown_fanout_names_the_choices() -> None:
    with pytest.raises(UsageError) as caught:
        job_policy({"fanout": "broadcast"})
    assert "multicast" in caught.value.todo
