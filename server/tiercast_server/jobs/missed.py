"""Which of a job's times were not kept: by which gateways, and by which targets.  Pure.

Rules
- A gateway is late while it does not hold all that it is to hold, as far as it said, once `prepare_by` is over; one
  that said nothing holds nothing.
- A target is late when it is not done, or was done after the deadline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiercast_protocol.content.jobs.times import DEADLINE, PREPARE_BY


def missed(
    options: Mapping[str, object],
    targets: Iterable[Mapping[str, Any]],
    hops: Iterable[Mapping[str, Any]],
    gateways: frozenset[str],
    *,
    now: int,
) -> dict[str, list[str]]:
    """Names by the word of the time that they did not keep; empty where all was kept, or may be still.

    Args:
        options: of the job.
        targets: rows as `job.show` has them.
        hops: likewise.
        gateways: names of all of the region.
        now: milliseconds since 1970.
    """
    found: dict[str, list[str]] = {}
    rows = list(targets)
    if _over(options, PREPARE_BY, now):
        wanted = {name for row in rows for name in (row["parent"], row["node"]) if name in gateways}
        held = {hop["node"] for hop in hops if hop["total"] and hop["done"] >= hop["total"]}
        held |= {row["node"] for row in rows if row["state"] == "done"}
        if late := sorted(wanted - held):
            found[PREPARE_BY] = late
    if (deadline := _over(options, DEADLINE, now)) and (
        late := [row["node"] for row in rows if row["state"] != "done" or row["at"] > deadline]
    ):
        found[DEADLINE] = late
    return found


def timed(options: Mapping[str, object], now: int) -> bool:
    """Whether there is a time that may have been missed."""
    return bool(_over(options, PREPARE_BY, now) or _over(options, DEADLINE, now))


def _over(options: Mapping[str, object], word: str, now: int) -> int:
    """The moment, if it is said and over; else 0."""
    moment = options.get(word)
    return moment if isinstance(moment, int) and moment < now else 0
