"""Stories of a whole region: whatever goes wrong, every endpoint ends with every chunk, and little travels twice."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import fields

import pytest
from tests.simulation.region import STEERED, Shape, only, story
from tests.simulation.world import NO_FAULTS, Faults

from tiercast_protocol.transfer.books import Balance
from tiercast_protocol.transfer.lanestates import CHANGES

SEEDS = 200
KINDS = (
    "loss",
    "duplicate",
    "reorder",
    "corrupt",
    "failed publish",
    "cut",
    "one-way cut",
    "restart",
    "slow child",
)
WORDS = ("link policy", "job policy", "suspended job", "suspended host", "suspended sub-tree", "wish")


@pytest.mark.timeout(600)
def test_every_story_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    injected: Counter[str] = Counter()
    longest = 0.0
    for seed in range(SEEDS):
        # every second one is steered while it runs
        outcome = story(seed, Faults(steered=STEERED * (seed % 2)))
        injected += outcome.injected
        longest = max(longest, outcome.seconds)
    with capsys.disabled():
        faults = ", ".join(f"{kind} {injected[kind]}" for kind in (*KINDS, *WORDS))
        states = ", ".join(f"{kind[1:-1]} {number}" for kind, number in sorted(injected.items()) if kind[0] == "(")
        told = f"{SEEDS} seeds: {faults}; longest {longest:.0f} virtual seconds; {states}"
        sys.stdout.write(f"\n{told}\n")
    for kind in KINDS:
        assert injected[kind] >= 500, f"only {injected[kind]} of {kind}"
    for kind in WORDS:
        assert injected[kind] >= 40, f"only {injected[kind]} of {kind}"
    for change in CHANGES:
        for origin in change.origins:
            told = f"({origin} > {change.state}: {change.reason})"
            assert injected[told], f"no story told of {told}"


@pytest.mark.parametrize("kind", [field.name for field in fields(Faults)])
def test_one_kind_of_fault_alone(kind: str) -> None:
    for seed in range(3):
        story(seed, only(kind))


@pytest.mark.parametrize("seed", range(8))
def test_without_faults_each_chunk_crosses_each_link_once(seed: int) -> None:
    outcome = story(seed, NO_FAULTS, Shape(held=0.0))
    for name, node in outcome.region.nodes.items():
        if node.link is None:
            continue
        traffic = node.link.traffic
        assert traffic.lost == traffic.dropped == traffic.stray == 0
        assert traffic.frames < 1000
        assert node.fetched == len(outcome.region.content), f"{name}: one fetch per chunk"
        assert traffic.payload == outcome.content
        (balance,) = node.balances().values()
        assert balance == Balance(outcome.content, outcome.content, 0, 0, 0, 0), f"{name}: by both books"
        assert traffic.down + traffic.up <= 1.02 * outcome.content
        # What the broker held for the child never passed the window (frames' headers come on top).
        assert node.link.longest <= outcome.region.shape.window * 1.02
        assert node.receiver is not None
        assert node.receiver.counters.repeated == node.receiver.counters.unasked == 0


def test_what_a_child_holds_is_not_sent() -> None:
    outcome = story(3, NO_FAULTS, Shape(held=0.5))
    for node in outcome.region.endpoints:
        assert node.link is not None
        fetched = sum(len(chunk) for digest, chunk in node.store.items() if digest not in node.held)
        assert node.link.traffic.payload == fetched < 0.8 * outcome.content


def test_the_same_seed_tells_the_same_story() -> None:
    first, second = story(7, Faults(steered=STEERED)), story(7, Faults(steered=STEERED))
    assert (first.seconds, first.injected) == (second.seconds, second.injected)
    for name, node in first.region.nodes.items():
        other = second.region.nodes[name]
        if node.link is not None and other.link is not None:
            assert node.link.traffic == other.link.traffic
