"""Defaults, and every mistake at once."""

from __future__ import annotations

from tiercast_mqtt.limits import Limits, parse_limits


def test_defaults_stand_where_nothing_is_said() -> None:
    limits, mistakes = parse_limits({"filters": 3})
    assert not mistakes
    assert limits == Limits(filters=3)


def test_every_mistake_is_told() -> None:
    _, mistakes = parse_limits({"colour": 1, "filters": 0, "in_flight": 1.5, "sessions": True, "queue_bytes": 5})
    assert [line.split(":")[0] for line in mistakes] == [
        "limits.colour",
        "limits.filters",
        "limits.in_flight",
        "limits.sessions",
        "limits.queue_bytes",
    ]
