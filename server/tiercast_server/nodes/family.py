"""Who may be whose parent: the tree by names, its circles, and the candidates that nobody had to name.  Pure.

Rules
- Candidates by default: up to three gateways beside the node's own parent, each node others of them, so that the
  children of a dead gateway spread; and, last, the parent's own parent.  Who is directly below the server has none.
- Nobody is put below itself, nor offered a parent that is below it: the circle is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.errors import UsageError

#: Most candidates beside the parent.
BESIDE = 3


@dataclass(frozen=True, slots=True)
class Member:
    """A node as far as this goes: `present` is where it is, "" at home."""

    name: str
    role: str
    home: str
    joined: bool = True
    present: str = ""


class Family:
    """The tree of one region."""

    def __init__(self, server: str, members: Iterable[Member]) -> None:
        self.server = server
        self._members = {one.name: one for one in members}
        self._beside: dict[str, list[str]] = {}
        self._children: dict[str, list[str]] = {}
        for one in self._members.values():
            self._children.setdefault(one.home, []).append(one.name)
            if one.role == "gateway" and one.joined:
                self._beside.setdefault(one.home, []).append(one.name)

    def get(self, name: str) -> Member | None:
        """The member; None for the server and whoever is none."""
        return self._members.get(name)

    def below(self, name: str) -> list[str]:
        """All whose home is the node, or below it."""
        found: list[str] = []
        more = [name]
        while more:
            children = [child for child in self._children.get(more.pop(), ()) if child not in found]
            found += children
            more += children
        return found

    def candidates(self, name: str) -> list[str]:
        """Where the node may go by default while its home is away, in order."""
        member = self._members.get(name)
        home = self._members.get(member.home) if member is not None else None
        if home is None:
            return []
        others = {one for one in self._beside.get(home.home, ()) if one not in {home.name, name}}
        others.difference_update(self.below(name))
        near = sorted(others, key=lambda one: digest_of(f"{name}\0{one}".encode()))[:BESIDE]
        return [*near, home.home]

    def cost(self, name: str, candidate: str) -> int:
        """0 for a gateway beside, 1 for one above: those take in whom nobody else does."""
        home = self._members[name].home if name in self._members else self.server
        while home in self._members:
            home = self._members[home].home
            if home == candidate:
                return 1
        return 0

    def check_parent(self, name: str, parent: str, *, why: str = "can't be below") -> None:
        """Check that `parent` may be a parent of `name`.

        Raises:
            UsageError: parent.invalid or tree.cyclic, with the circle.
        """
        if parent == self.server:
            return
        found = self._members.get(parent)
        circle = self._circle(name, parent)
        if circle:
            raise UsageError(
                code="tree.cyclic",
                what=f"{name!r} {why} {parent!r}: that is the circle {' > '.join(circle)}.",
                todo="Move the one that is lower first, or name a gateway that is not below it.",
            )
        if found is None or found.role != "gateway" or not found.joined:
            reason = "is unknown" if found is None else "is no gateway" if found.role != "gateway" else "has not joined"
            raise UsageError(
                code="parent.invalid",
                what=f"{parent!r} {reason}, so nothing can be below it.",
                todo="Name a gateway that has joined, or the server; `tiercast node list` shows all.",
            )

    def _circle(self, name: str, parent: str) -> list[str]:
        """The names from `name` down to `parent` and round to `name`; empty where there is none."""
        for by_home in (True, False):
            chain, at = [parent], parent
            while at != name and (member := self._members.get(at)) is not None and len(chain) <= len(self._members):
                at = member.home if by_home else member.present or member.home
                chain.append(at)
            if at == name:
                return [*reversed(chain), name]
        return []
