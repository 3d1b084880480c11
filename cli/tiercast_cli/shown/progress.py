"""What a job's snapshots say over time: rates, time left, and the lines to print.  Pure.

Rules
- A snapshot is what `job.show` gives.  Rates come from the difference of two snapshots, smoothed, so
  that a burst does not make the time left jump.
- Lines for a log name only what changed since the last one.
"""

from __future__ import annotations

from typing import Any

from tiercast_cli.shown import words
from tiercast_protocol.content.jobs.receipt import STATES

#: Weight of the newest measurement in the smoothed rate.
SMOOTHING = 0.3
FINAL = frozenset(state for state, final in STATES.items() if final)

Snapshot = dict[str, Any]


class Progress:
    """Follows one job from snapshot to snapshot."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int]] = {}
        self._rate: dict[str, float] = {}
        self._said: dict[str, str] = {}
        self.snapshot: Snapshot = {}

    def take(self, snapshot: Snapshot, *, now: float) -> None:
        """Note the bytes of every hop and target at `now` (seconds of any clock)."""
        self.snapshot = snapshot
        for row in [*snapshot.get("hops", []), *snapshot.get("targets", [])]:
            node, done = row["node"], int(row.get("done") or 0)
            before = self._last.get(node)
            self._last[node] = (now, done)
            if before is None or now <= before[0] or done < before[1]:
                continue
            speed = (done - before[1]) / (now - before[0])
            self._rate[node] = SMOOTHING * speed + (1 - SMOOTHING) * self._rate.get(node, speed)

    def rate(self, node: str) -> float:
        """Bytes per second that `node` takes in now."""
        return self._rate.get(node, 0.0)

    def left(self, row: Snapshot) -> float | None:
        """Seconds until `row` has all its bytes; None when nobody can tell."""
        missing = int(row.get("total") or 0) - int(row.get("done") or 0)
        speed = self.rate(row["node"])
        return missing / speed if missing > 0 and speed > 1 else None

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """(node, state, share, rate, time left or detail) of every hop, then of every target."""
        rows = []
        for row in [*self.snapshot.get("hops", []), *self.snapshot.get("targets", [])]:
            left = self.left(row)
            busy = row["state"] not in FINAL and left is not None
            note = f"{words.span(left)} left" if busy and left is not None else _note(row)
            speed = words.rate(self.rate(row["node"])) if busy else ""
            rows.append(
                (
                    row["node"],
                    row["state"],
                    words.share(int(row.get("done") or 0), int(row.get("total") or 0)),
                    speed,
                    note,
                )
            )
        return rows

    def lines(self) -> list[str]:
        """One line for every node whose state, or tenth of progress, changed since the last call."""
        said = []
        for node, state, share, speed, note in self.rows():
            tenth = share[:-2] if len(share) > 2 else ""  # noqa: PLR2004 - "47%" -> "4"
            key = f"{state} {tenth}"
            if self._said.get(node) != key:
                self._said[node] = key
                said.append("  ".join(part for part in (node, state, share, speed, note) if part))
        return said

    def headline(self) -> str:
        """The job in one line."""
        job = self.snapshot
        counts = ", ".join(f"{n:,} {state}" for state, n in sorted(job.get("counts", {}).items()) if n)
        what = f"{job.get('type', '')} {words.subject(job)}".strip()
        return f"job {job.get('job', '?')}: {what} - {counts}"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return bool(self.snapshot.get("state", "open") != "open")

    @property
    def well(self) -> bool:
        """Whether every target ended `done`, or was passed over as it was ordered."""
        good = {"done", "skipped"}
        return self.ended and all(state in good for state, n in self.snapshot.get("counts", {}).items() if n)


def _note(row: Snapshot) -> str:
    return " ".join(part for part in (row.get("code") or "", row.get("detail") or "") if part)
