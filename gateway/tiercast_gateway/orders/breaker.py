"""The breaker of one rollout at one gateway, as a pure machine (docs/jobs.md, "Rollouts").

    closed --too many failed--> open --a person's word--> closed

Rules
- It opens by the results of its own sub-tree alone, so that a bad package is stopped with the way up cut, and it never
  closes by itself: only a person's word does, here or at the server.
- A word lets what failed before count no more; of the server's words the higher number counts, each once.
- All that it remembers is `Kept`; what is counted comes from the records each time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from tiercast_protocol.content.jobs.breaker import Limit


@dataclass(frozen=True, slots=True)
class Kept:
    """What outlives a restart.

    Attributes:
        limit: at what it opens.
        again: the number of the server's last word that was heard.
        forgiven: so many of those that failed count no more.
        since: when it opened, in milliseconds since 1970; 0 while it is closed.
        bad, total: what was counted when it opened.
        seq: how often something was said of it upward.
    """

    limit: Limit
    again: int = 0
    forgiven: int = 0
    since: int = 0
    bad: int = 0
    total: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """So many of the targets below failed, of so many in all waves that came here."""

    bad: int
    total: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """A person's word: the `again`th of the server's, or one that was said at this gateway (0)."""

    again: int = 0


Event: TypeAlias = Counted | Resumed


@dataclass(frozen=True, slots=True)
class Hold:
    """Hand out nothing more of it, and have whoever has not begun wait."""


@dataclass(frozen=True, slots=True)
class Release:
    """Hand out what was held, and let those who wait begin."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Say upward what it is now."""


Command: TypeAlias = Hold | Release | Tell


class Breaker:
    """One rollout's."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self._seen = Counted(kept.bad, kept.total)

    @property
    def counted(self) -> Counted:
        """What was counted last."""
        return self._seen

    @property
    def open(self) -> bool:
        """Whether nothing more of the rollout begins."""
        return self.kept.since > 0

    def handle(self, event: Event, *, now: int) -> list[Command]:
        """What to do after `event`, at `now` (milliseconds since 1970)."""
        match event:
            case Counted():
                return self._counted(event, now)
            case Resumed(again):
                return self._resumed(again)

    def _counted(self, counted: Counted, now: int) -> list[Command]:
        self._seen = counted
        if self.open:
            return []
        kept = self.kept
        # An earlier failure may be mended meanwhile: what is forgiven is never more than what there is.
        forgiven = min(kept.forgiven, counted.bad)
        if not kept.limit.reached(counted.bad - forgiven, counted.total):
            self.kept = replace(kept, forgiven=forgiven)
            return []
        self.kept = replace(
            kept, forgiven=forgiven, since=max(1, now), bad=counted.bad, total=counted.total, seq=kept.seq + 1
        )
        return [Hold(), Tell()]

    def _resumed(self, again: int) -> list[Command]:
        kept = self.kept
        if 0 < again <= kept.again:
            return []
        was_open = self.open
        self.kept = replace(
            kept, again=max(kept.again, again), forgiven=self._seen.bad, since=0, seq=kept.seq + int(was_open)
        )
        return [Release(), Tell()] if was_open else []
