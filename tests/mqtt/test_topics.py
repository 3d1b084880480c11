"""Matching by the standard's examples, and the tree against matching."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_mqtt.errors import MalformedPacket
from tiercast_mqtt.topics import FilterTree, check_filter, check_topic, matches, overlap

LEVEL = st.sampled_from(["", "a", "b", "$x"])
TOPICS = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = (
    st.tuples(st.lists(st.sampled_from(["", "a", "b", "$x", "+"]), max_size=4), st.sampled_from([[], ["#"]]))
    .map(lambda parts: "/".join(parts[0] + parts[1]))
    .filter(bool)
)


@pytest.mark.parametrize(
    ("filter_", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/+", "a/b/c", False),
        ("+/+", "/a", True),
        ("/+", "/a", True),
        ("+", "/a", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("$SYS/+", "$SYS/x", True),
        ("a/+/c/#", "a/b/c", True),
        ("a", "A", False),
    ],
)
def test_the_examples_of_the_standard(filter_: str, topic: str, expected: bool) -> None:
    assert matches(filter_, topic) is expected


@pytest.mark.parametrize("filter_", ["", "a+", "a/#/b", "#a", "a/b#", "+a/b"])
def test_bad_filters(filter_: str) -> None:
    with pytest.raises(MalformedPacket):
        check_filter(filter_)


@pytest.mark.parametrize("topic", ["", "a/+", "#"])
def test_bad_topics(topic: str) -> None:
    with pytest.raises(MalformedPacket):
        check_topic(topic)


@given(st.lists(st.tuples(FILTERS, st.integers(0, 3), st.integers(0, 1)), max_size=12), TOPICS, st.data())
def test_the_tree_finds_whom_matching_finds(
    entries: list[tuple[str, int, int]], topic: str, data: st.DataObject
) -> None:
    tree: FilterTree[int] = FilterTree()
    held: dict[tuple[str, int], int] = {}
    for filter_, holder, qos in entries:
        tree.add(filter_, holder, qos)
        held[filter_, holder] = qos
    for filter_, holder in data.draw(st.lists(st.sampled_from(sorted(held)), unique=True)) if held else []:
        tree.discard(filter_, holder)
        del held[filter_, holder]
    expected: dict[int, int] = {}
    for (filter_, holder), qos in held.items():
        if matches(filter_, topic):
            expected[holder] = max(qos, expected.get(holder, 0))
    assert tree.match(topic) == expected
    for filter_, holder in held:
        tree.discard(filter_, holder)
    assert not tree


@given(FILTERS, FILTERS, TOPICS)
def test_filters_that_share_a_topic_overlap(one: str, other: str, topic: str) -> None:
    assert overlap(one, other) == overlap(other, one)
    if matches(one, topic) and matches(other, topic):
        assert overlap(one, other)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("a/b", "a/+", True), ("a/b", "b/#", False), ("#", "$SYS/#", False), ("a", "a/#", True), ("a/b", "a", False)],
)
def test_overlap(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other) is expected
