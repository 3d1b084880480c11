"""When a new version is confirmed, and when it goes back alone, as a pure machine (docs/transactions.md).

Rules
- Time is counted from one try of the health program to the next, by a clock that only runs while this machine does.
- Where a gateway is needed, any authenticated parent does.  While no parent that the region names can be reached, and
  this machine's own network is up, it is the site that is down: such time does not count, up to the outage allowed.
- A broken network of the machine's own is no outage: that is what the confirmation is for.
- What was counted is kept before the next try; each new life of the agent costs one `every`, so that a machine that
  falls over again and again comes to an end too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from tiercast_protocol.content.package.confirmed import Confirmation


@dataclass(frozen=True, slots=True)
class Count:
    """Milliseconds that counted, and that an outage took; how often the agent began anew with it."""

    spent: int = 0
    outage: int = 0
    lives: int = 0


@dataclass(frozen=True, slots=True)
class Tried:
    """The health program ended, and this was seen besides.

    Attributes:
        ok: it confirmed.
        connected: a parent knows this machine, now.
        reachable: an address of some parent answers.
        network: a network of the machine's own is up.
    """

    ok: bool
    connected: bool = True
    reachable: bool = True
    network: bool = True


@dataclass(frozen=True, slots=True)
class Keep:
    """Write the count down, synced."""

    count: Count


@dataclass(frozen=True, slots=True)
class TryAt:
    """Run the health program again at `at`, on the clock of `now`."""

    at: int


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The new version stands for good."""


@dataclass(frozen=True, slots=True)
class GoBack:
    """It was not confirmed in time: why."""

    detail: str


Command: TypeAlias = Keep | TryAt | Confirmed | GoBack


class Confirm:
    """The confirmation of one installation.

    Args:
        terms: of the package.
        count: what earlier lives counted; None for the first.
        now: of a clock that never goes back, in milliseconds.
    """

    def __init__(self, terms: Confirmation, count: Count | None, *, now: int) -> None:
        self._terms, self._since = terms, now
        self._every, self._within = terms.every_s * 1000, terms.within_s * 1000
        before = count or Count()
        again = count is not None
        self.count = Count(before.spent + self._every * again, before.outage, before.lives + again)

    def handle(self, event: Tried, *, now: int) -> list[Command]:
        """What follows from a try."""
        passed, self._since = max(0, now - self._since), now
        count, needs = self.count, self._terms.needs_gateway
        away = needs and not event.connected
        site_down = away and not event.reachable and event.network
        if site_down and count.outage + passed <= self._terms.outage_s * 1000:
            count = Count(count.spent, count.outage + passed, count.lives)
        else:
            count = Count(count.spent + passed, count.outage, count.lives)
        self.count = count
        if event.ok and not away:
            return [Confirmed()]
        if count.spent >= self._within:
            return [Keep(count), GoBack(self._why(event))]
        return [Keep(count), TryAt(now + min(self._every, self._within - count.spent))]

    def _why(self, event: Tried) -> str:
        what = "No gateway was reached" if event.ok else "The health program did not confirm it"
        outage = f", besides {self.count.outage // 1000:,} s of outage" if self.count.outage else ""
        return f"{what} within {self._terms.within_s:,} s{outage}; the old version was put back."
