"""The states of a lane, as a table: which there are, what leads from one to another.

Rules
- A lane goes from state to state by an entry of this table and by nothing else; its reason is what status and log say.
- The table of docs/protocol-transfer.md, section 6.11, is `table()`: a test compares them, and says what to write.
- When an entry applies, the sender finds out (`lanes`, `company`, `membership`), by the times that stand here.
"""

from __future__ import annotations

from dataclasses import dataclass

ACTIVE, DEMOTED, PARKED = "active", "demoted", "parked"
#: For the table: a child without a lane.
NONE = "(none)"

#: Seconds without progress, with bytes under way, after which a child is parked.
PARK_AFTER = 10.0
#: A frame that was not reported for so long, or so many usual round trips, lags if others go on.
LAG_AFTER, LAG_TRIPS = 0.17, 3
#: Nobody is to blame for a trip that is less than so many times what a quarter of the others had of late too, up to so
#: many seconds: where all are late in turn, the next one is always a little later than most.
USUAL_TIMES, USUAL_MOST = 2.0, 2.0
#: Seconds after which a demoted child that keeps up may take part in groups again; it does with progress of late.
BACK_AFTER, BACK_PROGRESS = 5.0, 1.0


@dataclass(frozen=True, slots=True)
class Change:
    """From one of `origins` to `state`; `reason` for status and log, `when` for the docs."""

    origins: tuple[str, ...]
    state: str
    reason: str
    when: str


BEHIND = Change(
    (ACTIVE,),
    DEMOTED,
    "falls behind while others go on",
    f"its oldest frame takes {LAG_AFTER * 1000:.0f} ms, or {LAG_TRIPS} usual round trips, or {USUAL_TIMES:.0f} times as"
    f" long as a quarter of the others had to wait of late (up to {USUAL_MOST:.0f} s), while three quarters of them"
    " have hardly anything under way",
)
HELD_BACK = Change((ACTIVE,), DEMOTED, "lags behind its group", "it held its group back (section 6.10)")
CAUGHT_UP = Change(
    (DEMOTED,),
    ACTIVE,
    "kept up again",
    f"a report {BACK_AFTER:.0f} s later or after, with progress in the last {BACK_PROGRESS:.0f} s",
)
SILENT = Change(
    (ACTIVE, DEMOTED),
    PARKED,
    "no progress",
    f"bytes under way, {PARK_AFTER:.0f} s without progress and without a report",
)
HEARD = Change((PARKED,), ACTIVE, "heard again", "a report")
CHANGES = (BEHIND, HELD_BACK, CAUGHT_UP, SILENT, HEARD)


def table() -> str:
    """The table for the docs."""
    rows = [(NONE, ACTIVE, "", "the first report of a session")]
    rows += [(", ".join(one.origins), one.state, one.reason, one.when) for one in CHANGES]
    rows.append(("any", NONE, "", "the child is lost, or a report of a new session"))
    head = ("from", "to", "said", "when")
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
