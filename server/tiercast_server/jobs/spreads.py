"""How long the start of a job is spread by itself (`--spread auto`): what the slowest link on the way takes.  Pure.

Rules (docs/jobs.md, "Times")
- A link carries one copy of the content; what a parent's links may carry together carries one for each of its children
  that are on the ways.  The longest of these times is the spread: so no link is asked for more than it carries.
- Machines begin to fetch spread over that time, each at its place.  Of a rate what was said counts, else what was seen.
- A way of which nothing is known can't be reckoned with: then a person says how long.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from tiercast_protocol.content.jobs import times
from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer.overlap import Limit

Options = dict[str, str | int | bool]


def spread_out(
    options: Mapping[str, str | int | bool], size: int, ways: Iterable[Sequence[Limit]], left: int
) -> Options:
    """The options with the time over which machines begin to fetch, where that was left to us.

    Args:
        options: as they were asked.
        size: stored bytes that travel to each.
        ways: the limits on the ways.
        left: seconds until the job expires.

    Raises:
        UsageError: times.spread_s.
    """
    found = dict(options)
    if not found.pop(times.SPREAD_AUTO, False):
        return found
    if not size:
        raise _refused("Nothing travels for this job, so no link needs its start spread", "Say how long: --spread 30m.")
    slowest = max(
        ((size * limit.copies / rate, limit) for way in ways for limit in way if (rate := _rate(limit))),
        key=lambda pair: pair[0],
        default=None,
    )
    if slowest is None:
        todo = "Say how long (--spread 30m), or what the links carry: tiercast link set CHILD --rate 2MB/s."
        raise _refused("Nothing is known of what the links on the way carry", todo)
    seconds, limit = math.ceil(slowest[0]), slowest[1]
    copies = f"{limit.copies:,} times " if limit.copies > 1 else ""
    if seconds >= min(left, times.LONGEST_SPREAD_S):
        what = (
            f"{copies}{size:,} bytes take {seconds:,} s over {limit.name} at {_rate(limit):,.0f} bytes per second,"
            f" and the job expires in {left:,} s; {times.LONGEST_SPREAD_S:,} s is the longest spread"
        )
        raise _refused(what, "Give a later expiry, a higher rate, or fewer targets.")
    return {**found, times.FETCH_SPREAD: max(1, seconds)}


def _rate(limit: Limit) -> float:
    """Bytes per second, the least that was said; 0 where nothing was."""
    rates = [float(rate) for rate in (limit.rate, *(window.rate for window in limit.windows)) if rate]
    return min(rates) if rates else 0.0


def _refused(what: str, todo: str) -> UsageError:
    return UsageError(code="times.spread_s", what=f"{what}.", todo=f"{todo} Nothing was done.")
