"""What a gateway waits for that wakes a machine (docs/power.md).  Rows of `waiting`.

Rules
- As those of `waiting.py`: codes are stable, and a further one is a further row.
"""

from __future__ import annotations

from tiercast_protocol.content.jobs.kind import GATEWAY, SERVER, Kind

POWER: dict[str, Kind] = {
    "wake.queued": Kind(
        (GATEWAY, SERVER),
        "{peer} sleeps, and {node} wakes it in its turn",
        "its turn comes: so many are woken at once, with a pause between two",
        "wait; at_once and pause stand under [power] in the settings of {node}",
        cuts=True,
    ),
    "wake.waking": Kind(
        (GATEWAY, SERVER),
        "{node} is waking {peer}: {tries:n} of {most:n} packets sent since {began:at}",
        "{peer} connects",
        cuts=True,
    ),
    "wake.failed": Kind(
        (GATEWAY, SERVER),
        "{peer} did not wake: [{why}][{tries:n} packets since {began:at}][, and {rounds:n} times in all]",
        "{peer} connects[, or it is tried again at {until:at}]",
        "see that it wakes by its network at all (firmware, cable, address): tiercast inventory show {peer};"
        " tiercast node wake {peer}",
        cuts=True,
    ),
}
