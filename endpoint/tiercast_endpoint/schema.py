"""The agent's database: its steps, in the order in which they came.

Rules
- A step that was released is never changed; what comes later is a further step, with a higher number.
- What a step says stands with those who use its tables.
"""

from __future__ import annotations

from tiercast_endpoint.acting import effects
from tiercast_endpoint.facts import inventory, lists
from tiercast_endpoint.halves import halves
from tiercast_endpoint.jobs import confirming, former, group_windows, held, journal, rebooting, sleeping
from tiercast_endpoint.owner import choices, messages, preferring
from tiercast_endpoint.trees import holdings, patches
from tiercast_protocol.node.post import Post

SCHEMA = [
    (1, Post.SCHEMA),
    (2, journal.SCHEMA + holdings.SCHEMA),
    (3, patches.SCHEMA),
    (4, journal.OPTIONS),
    (5, messages.SCHEMA),
    (6, inventory.SCHEMA),
    (7, held.SCHEMA),
    (8, choices.SCHEMA),
    (9, holdings.PARTIAL),
    (10, group_windows.SCHEMA),
    (11, effects.SCHEMA + journal.ACTIONS),
    (12, former.SCHEMA),
    (14, halves.SCHEMA),
    (15, lists.SCHEMA + sleeping.SCHEMA),
    (16, preferring.SCHEMA),
    (17, confirming.SCHEMA),
    (18, holdings.DIFFERS),
    (19, rebooting.SCHEMA),
]
