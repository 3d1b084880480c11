"""Who is below and who of them is there (docs/protocol.md, section 4).

Rules
- Presence is volatile: it is told by `Hello` and `Gone`, and forgotten with the broker connection.
- `boot` of a child is its process; `lane` is our name for its lane.  Whenever a lane is lost, its name
  changes, and the next `Hello` down tells the child to say everything again.  So it does not matter who came
  first, the child, the broker or this node.
- Any control message proves that its sender is there, even one that never says `Hello` (a node that joins).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tiercast_protocol.wire.messages import Hello


@dataclass(slots=True)
class Child:
    """One child as it is known now; times are milliseconds since 1970."""

    name: str
    role: str = ""
    online: bool = False
    since: int = 0
    boot: bytes = b""
    lane: bytes = field(default_factory=lambda: os.urandom(8))
    software: str = ""
    free: int = 0
    metered: int = 0
    quota: int = -1


class Children:
    """Presence of the direct children."""

    def __init__(self) -> None:
        self._children: dict[str, Child] = {}
        #: Called when a child says something else of its link than before.
        self.on_terms: Callable[[], None] = lambda: None

    def all(self) -> list[Child]:
        """Every child that was heard of since start, by name."""
        return [self._children[name] for name in sorted(self._children)]

    def get(self, name: str) -> Child:
        """The child, made if it is new."""
        child = self._children.get(name)
        if child is None:
            child = self._children[name] = Child(name)
        return child

    def online(self, name: str) -> bool:
        """Whether the child is there now."""
        child = self._children.get(name)
        return child is not None and child.online

    def since(self, name: str) -> int:
        """When the child came or went last; 0 where nobody knows."""
        child = self._children.get(name)
        return child.since if child is not None else 0

    def heard(self, name: str) -> bool:
        """A message of the child came; true when it was not known to be there."""
        child = self.get(name)
        if child.online:
            return False
        child.online, child.since = True, _now()
        # of the process before: this may be another one, and then its will must count though it never says `Hello`
        child.boot = b""
        return True

    def hello(self, name: str, hello: Hello) -> tuple[bool, bool]:
        """The child said `Hello`: (is that news, is its process another one than before)."""
        child = self.get(name)
        restarted = child.boot not in {b"", hello.boot}
        news = restarted or not child.online or child.boot != hello.boot
        if restarted:
            child.lane = os.urandom(8)
        if news:
            child.since = _now()
        child.online, child.boot = True, hello.boot
        child.role, child.software, child.free = hello.role, hello.software, hello.free
        child.quota = hello.quota
        if child.metered != hello.metered:
            child.metered = hello.metered
            self.on_terms()
        return news, restarted

    def gone(self, name: str, boot: bytes) -> bool:
        """The child's will arrived; false when it speaks of a process that was replaced since."""
        child = self._children.get(name)
        if child is None or not child.online or child.boot not in {b"", boot}:
            return False
        self._lose(child)
        return True

    def all_gone(self) -> list[str]:
        """Our own broker connection is cut: nobody is known to be there.  Names of those who were."""
        lost = [child.name for child in self._children.values() if child.online]
        for child in self._children.values():
            self._lose(child)
        return lost

    def remove(self, name: str) -> None:
        """The node left the region, or this parent."""
        self._children.pop(name, None)

    def _lose(self, child: Child) -> None:
        if child.online:
            child.online, child.since = False, _now()
        child.lane = os.urandom(8)


def _now() -> int:
    return time.time_ns() // 1_000_000
