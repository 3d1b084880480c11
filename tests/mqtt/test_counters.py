"""Every counter has a topic."""

from __future__ import annotations

from tiercast_mqtt.counters import Counters


def test_each_counter_has_its_topic() -> None:
    counters = Counters(bytes_dropped=7)
    topics = counters.as_topics()
    assert topics["$SYS/broker/bytes/dropped"] == 7
    assert len(topics) == len(Counters.__slots__)  # type: ignore[attr-defined]
