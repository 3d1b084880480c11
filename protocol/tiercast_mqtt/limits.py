"""Every bound of the embedded broker, in one place.

Rules
- Nothing that a peer can make grow is without a line here.
- One client costs at most about `packet_bytes` (arriving) + 1.25 * `queue_bytes` (waiting, QoS 0 and 1, in flight
  included) + `packet_bytes` (being written) + `control_bytes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes end in `_bytes`, seconds in `_s`, the rest are counts."""

    #: Greatest packet of an authenticated client, header included.
    packet_bytes: int = MIB + 64 * 1024
    #: Greatest CONNECT, will included: strangers get no more.
    connect_bytes: int = 16 * 1024
    #: A connection must be TLS-shaken within this time, and again have sent CONNECT within it.
    connect_timeout_s: float = 5.0
    connections: int = 4096
    #: Connections that have not sent CONNECT yet; the oldest is closed for the next.
    unauthenticated: int = 256
    #: Clients known at a time, connected or not; the one gone longest is forgotten for a new one.
    sessions: int = 4096
    #: The same for the clients of one user name (those without a name are not counted): what one login may cost.
    sessions_per_user: int = 32
    #: A persistent session is forgotten this long after its client left.
    session_expiry_s: float = 86_400.0
    #: What may wait for one client; QoS 0 is dropped beyond it, QoS 1 beyond 1.25 times it.
    queue_bytes: int = 8 * MIB
    #: The same for a client that is away (QoS 1 only).
    offline_bytes: int = MIB
    #: QoS 1 messages sent and not acknowledged.
    in_flight: int = 32
    #: Answers that a client does not read; beyond it nothing more is read from it.
    control_bytes: int = 64 * 1024
    filters: int = 64
    topic_bytes: int = 512
    topic_levels: int = 16
    client_id_bytes: int = 160
    retained_messages: int = 4096
    retained_bytes: int = 4 * MIB


def parse_limits(given: Mapping[str, object]) -> tuple[Limits, list[str]]:
    """Limits with the defaults for what is not given, and every mistake as a line ("limits.x: ...")."""
    mistakes = []
    known = {field.name: field.default for field in fields(Limits)}
    good: dict[str, int | float] = {}
    for key, value in given.items():
        default = known.get(key)
        if default is None:
            mistakes.append(f"limits.{key}: unknown; known are {', '.join(sorted(known))}")
        elif isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            mistakes.append(f"limits.{key}: expected a number above 0")
        elif isinstance(default, int) and not isinstance(value, int):
            mistakes.append(f"limits.{key}: expected a whole number")
        else:
            good[key] = value
    limits = Limits(**good)  # type: ignore[arg-type] # checked above
    if limits.queue_bytes < limits.packet_bytes:
        mistakes.append(
            "limits.queue_bytes: expected at least packet_bytes, else the greatest packet is always dropped"
        )
    return limits, mistakes
