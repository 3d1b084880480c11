"""What was sent of each job over each link, against budgets (docs/protocol-steering.md, section 5).

Rules
- The machine's own counts are read; what a lane counted is added up here, so that a lane that begins anew, or this
  process, loses nothing but what was sent since the last look.
- A period is a day, a week or a month by the clock on the wall, or the job itself.  With a new one the count begins
  anew.
- Seconds are those in which something was sent.
- Only what has a budget is counted and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tiercast_protocol.transfer.terms import Quota

#: Of a link without regard to the job, and of a job without regard to the link.
ALL = ""

Pair = tuple[str, str]

_OF_LINK = "|link"


def of_link(job: str) -> str:
    """What a link counts of one job stands beside what the job counts on it: both may have a budget."""
    return f"{job}{_OF_LINK}"


@dataclass(slots=True)
class Spent:
    """What was used in one period."""

    period: str = ""
    bytes: int = 0
    seconds: float = 0.0


def period_of(per: str, wall: float) -> str:
    """The name of the period in which `wall` (seconds since 1970) lies, on this machine's clock."""
    here = datetime.fromtimestamp(wall)  # noqa: DTZ006 - days as people here count them
    if per == "day":
        return f"{here:%Y-%m-%d}"
    if per == "week":
        year, week, _ = here.isocalendar()
        return f"{year}-w{week:02}"
    return f"{here:%Y-%m}" if per == "month" else per


def period_end(per: str, wall: float) -> float:
    """When that period ends, in seconds since 1970; 0 for a job's, which has no other after it."""
    day = datetime.fromtimestamp(wall).replace(hour=0, minute=0, second=0, microsecond=0)  # noqa: DTZ006
    if per == "day":
        return (day + timedelta(days=1)).timestamp()
    if per == "week":
        return (day + timedelta(days=7 - day.weekday())).timestamp()
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1).timestamp() if per == "month" else 0.0


class Budgets:
    """Counts by (child, job)."""

    def __init__(self) -> None:
        self._spent: dict[Pair, Spent] = {}
        self._last: dict[Pair, int] = {}
        self._unsaved: set[Pair] = set()

    def load(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Take up what an earlier process counted."""
        for name, body in rows.items():
            child, _, job = name.partition("|")
            self._spent[child, job] = Spent(body["period"], body["bytes"], body["seconds"])

    def begin(self, counts: Mapping[Pair, int]) -> None:
        """The first budget was set: what was sent before does not count."""
        self._last = dict(counts)

    def look(self, quotas: Mapping[Pair, Quota], counts: Mapping[Pair, int], *, wall: float, passed: float) -> None:
        """Add what was sent since the last look.

        Args:
            quotas: what has a budget.
            counts: bytes sent by (child, job) as the machine counts them; begins anew with a lane.
            wall: seconds since 1970.
            passed: seconds since the last look.
        """
        more: dict[Pair, int] = {}
        for pair, count in counts.items():
            last = self._last.get(pair, 0)
            grown = count - last if count >= last else count
            if grown:
                child, job = pair
                for whole in {pair, (child, ALL), (ALL, ALL), (child, of_link(job)), (ALL, of_link(job))}:
                    more[whole] = more.get(whole, 0) + grown
        self._last = dict(counts)
        for pair, quota in quotas.items():
            spent = self._spent.setdefault(pair, Spent())
            period = period_of(quota.per, wall)
            if spent.period != period:
                spent.period, spent.bytes, spent.seconds = period, 0, 0.0
                self._unsaved.add(pair)
            if grown := more.get(pair, 0):
                spent.bytes += grown
                spent.seconds += passed
                self._unsaved.add(pair)

    def spent(self, pair: Pair) -> Spent:
        """What was used of this budget in its present period."""
        return self._spent.get(pair, Spent())

    def unsaved(self) -> dict[str, dict[str, Any] | None]:
        """Rows that changed since the last call."""
        rows: dict[str, dict[str, Any] | None] = {}
        for child, job in self._unsaved:
            spent = self._spent.get((child, job))
            rows[f"{child}|{job}"] = (
                None
                if spent is None
                else {"period": spent.period, "bytes": spent.bytes, "seconds": round(spent.seconds, 3)}
            )
        self._unsaved.clear()
        return rows

    def forget(self, jobs: Iterable[str]) -> None:
        """These jobs are over."""
        gone = {name for job in jobs for name in (job, of_link(job))}
        for pair in [pair for pair in self._spent if pair[1] in gone]:
            del self._spent[pair]
            self._unsaved.add(pair)
