"""Topics, and what they mean for access (docs/protocol.md, section 3).

Rules
- A node writes only under its own name; whoever is its parent reads that.
- What a parent writes for one child stands under the parent's name and `to/<child>`; the child reads only that.
- Group topics hold bulk frames alone: reading another's group tells nothing that a package may hide, and the
  frames prove themselves.
- A joining node has a name of its own, `join-<token id>`, and can reach nothing but its enrolment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ROOT = "tiercast/1"
#: What regions, nodes, packages, groups, cabinets may be called: one topic level, one path element, one shell word.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
JOIN_PREFIX = "join-"


def valid_name(name: str) -> bool:
    """Whether `name` may name a region, node, package, group or cabinet."""
    return NAME.match(name) is not None and not name.startswith(JOIN_PREFIX)


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics of one region."""

    region: str

    def _under(self, node: str) -> str:
        return f"{ROOT}/{self.region}/{node}"

    def up(self, child: str) -> str:
        """Control envelopes from `child` to its parent."""
        return f"{self._under(child)}/up"

    def report(self, child: str) -> str:
        """Transfer reports from `child` to its parent (bulk connection)."""
        return f"{self._under(child)}/report"

    def will(self, child: str) -> str:
        """The will of `child`'s control connection."""
        return f"{self._under(child)}/will"

    def down(self, parent: str, child: str) -> str:
        """Control envelopes from `parent` to `child`."""
        return f"{self._under(parent)}/to/{child}/control"

    def bulk(self, parent: str, child: str) -> str:
        """Bulk frames from `parent` for `child` alone."""
        return f"{self._under(parent)}/to/{child}/bulk"

    def group(self, parent: str, group: int) -> str:
        """Bulk frames from `parent` for all who joined `group`."""
        return f"{self._under(parent)}/group/{group}"

    def parent_filters(self) -> tuple[str, ...]:
        """What a parent's control connection subscribes to on its own broker."""
        return (self.up("+"), self.will("+"))

    def report_filter(self) -> str:
        """What a parent's bulk connection subscribes to on its own broker."""
        return self.report("+")

    def sender_of(self, topic: str) -> str | None:
        """The node under whose name `topic` stands; None when it is not of this region."""
        parts = topic.split("/")
        prefix = f"{ROOT}/{self.region}".split("/")
        if len(parts) < len(prefix) + 2 or parts[: len(prefix)] != prefix:
            return None
        return parts[len(prefix)]
