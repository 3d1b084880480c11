"""Counters."""

from __future__ import annotations

from tiercast_protocol.node.metrics import Metrics


def test_snapshot_has_every_value_by_name() -> None:
    metrics = Metrics()
    drops = metrics.counter("drops_total", "what was dropped")
    drops.add()
    drops.add(2, label="late")
    assert metrics.snapshot() == {"drops_total": 3, "drops_total_by": {"late": 2}}
    assert metrics.counter("drops_total", "again") is drops


def test_a_peer_can_not_grow_the_labels_without_end() -> None:
    counter = Metrics().counter("by_peer_total", "")
    for n in range(1000):
        counter.add(label=f"peer-{n}")
    assert counter.value == 1000
    assert len(counter.by) == 201
    assert counter.by["other"] == 800
