"""What targets of a job in two phases wait for (docs/transactions.md): rows of `waiting.KINDS`, which alone is read.

Rules
- `commit.waits` is what a prepared target says, and nobody else; `accept.waits` what a committed one says: the server
  counts a set by them.
"""

from __future__ import annotations

from tiercast_protocol.content.jobs.kind import ENDPOINT, Kind

OF_SETS: dict[str, Kind] = {
    "commit.waits": Kind(
        (ENDPOINT,),
        "is prepared, nothing is changed, and it waits for the order to commit",
        "the job is committed, or undone",
        "tiercast job commit JOB; take it back: tiercast job undo JOB",
    ),
    "reboot.waits": Kind(
        (ENDPOINT,),
        "the new version stands, and it goes on when the machine was restarted[ ({mode})]",
        "the machine is restarted",
        "on the machine: tiercast-endpoint reboot, or tiercast-endpoint reboot --later 2h",
    ),
    "confirm.waits": Kind(
        (ENDPOINT,),
        "the new version stands, and its health program has not confirmed it yet",
        "it confirms, or its time is over and the old version is put back",
        "see what the program lacks on the machine; put it back now: tiercast job cancel JOB",
    ),
    "accept.waits": Kind(
        (ENDPOINT,),
        "is committed: the new version stands, and the old one is kept",
        "the job is accepted, or undone, or expires: then it counts as accepted",
        "tiercast job accept JOB, or tiercast job undo JOB",
    ),
}
