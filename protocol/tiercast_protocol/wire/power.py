"""Messages about power between a gateway and its machines (docs/power.md).

Rules
- As in `messages`, whose table `CATALOGUE` names their kinds.
- Nothing is switched off by these words alone: it is the order, signed by the region, that lets a machine sleep again.
"""

from __future__ import annotations

from tiercast_protocol.wire.root import Message


class Woken(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Down to one machine: this gateway woke it for `jobs` ("" is by hand)."""

    jobs: list[str]
