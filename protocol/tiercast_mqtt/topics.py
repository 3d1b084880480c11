"""Topic names and filters: what is allowed (MQTT 3.1.1 section 4.7), what matches, and a tree of subscriptions.

Rules
- `+` stands for one level, `#` for the level above it and everything below; both stand alone in their level.
- A filter that begins with a wildcard does not match a topic that begins with `$` (section 4.7.2).
- `FilterTree` finds all holders of matching filters in time that grows with the topic's depth, not with their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from tiercast_mqtt.errors import MalformedPacket

Holder = TypeVar("Holder")


def check_topic(topic: str) -> None:
    """Raise MalformedPacket unless `topic` may name a message's topic."""
    if not topic:
        raise MalformedPacket("an empty topic")
    if "+" in topic or "#" in topic:
        raise MalformedPacket("a wildcard in the topic of a message")


def check_filter(filter_: str) -> None:
    """Raise MalformedPacket unless `filter_` may be subscribed to."""
    if not filter_:
        raise MalformedPacket("an empty topic filter")
    if "+" not in filter_ and "#" not in filter_:
        return
    levels = filter_.split("/")
    for level in levels:
        if len(level) > 1 and ("+" in level or "#" in level):
            raise MalformedPacket("a wildcard beside other characters of its level")
    if "#" in levels[:-1]:
        raise MalformedPacket("a # that is not the last level")


def matches(filter_: str, topic: str) -> bool:
    """Whether a message on `topic` belongs to a subscription to `filter_` (both valid)."""
    if topic.startswith("$") and filter_[0] in "+#":
        return False
    wanted, given = filter_.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(given) or level not in ("+", given[index]):
            return False
    return len(wanted) == len(given)


def overlap(one: str, other: str) -> bool:
    """Whether any topic could match both filters."""
    first, second = one.split("/"), other.split("/")
    if (first[0] in {"+", "#"} and second[0].startswith("$")) or (second[0] in {"+", "#"} and first[0].startswith("$")):
        return False
    for index in range(max(len(first), len(second))):
        left = first[index] if index < len(first) else None
        right = second[index] if index < len(second) else None
        if left == "#" or right == "#":
            return True
        if left is None or right is None or (left != right and "+" not in {left, right}):
            return False
    return True


class _Level(Generic[Holder]):
    __slots__ = ("below", "holders")

    def __init__(self) -> None:
        self.below: dict[str, _Level[Holder]] = {}
        self.holders: dict[Holder, int] = {}


class FilterTree(Generic[Holder]):
    """Who subscribed to what, with which QoS."""

    def __init__(self) -> None:
        self._root: _Level[Holder] = _Level()

    def add(self, filter_: str, holder: Holder, qos: int) -> None:
        """Remember `holder`'s subscription; a second one to the same filter replaces the first."""
        level = self._root
        for name in filter_.split("/"):
            below = level.below.get(name)
            if below is None:
                below = level.below[name] = _Level()
            level = below
        level.holders[holder] = qos

    def discard(self, filter_: str, holder: Holder) -> None:
        """Forget it, and the branches that nobody needs any more."""
        path = []
        level = self._root
        for name in filter_.split("/"):
            path.append((level, name))
            below = level.below.get(name)
            if below is None:
                return
            level = below
        level.holders.pop(holder, None)
        for above, name in reversed(path):
            if level.holders or level.below:
                return
            del above.below[name]
            level = above

    def match(self, topic: str) -> dict[Holder, int]:
        """Every holder of a matching filter, once, with the greatest QoS of those filters."""
        found: dict[Holder, int] = {}
        names = topic.split("/")
        hidden = topic.startswith("$")
        for level in self._matching(names, hidden=hidden):
            for holder, qos in level.holders.items():
                if qos >= found.get(holder, 0):
                    found[holder] = qos
        return found

    def _matching(self, names: list[str], *, hidden: bool) -> Iterator[_Level[Holder]]:
        current = [self._root]
        last = len(names) - 1
        for index, name in enumerate(names):
            wild = index > 0 or not hidden
            following = []
            for level in current:
                if wild and (rest := level.below.get("#")) is not None:
                    yield rest
                if wild and (one := level.below.get("+")) is not None:
                    following.append(one)
                if (exact := level.below.get(name)) is not None:
                    following.append(exact)
            if index == last:
                for level in following:
                    yield level
                    # "a/#" matches "a" itself (section 4.7.1.2)
                    if (rest := level.below.get("#")) is not None:
                        yield rest
            current = following

    def __bool__(self) -> bool:
        return bool(self._root.below)
