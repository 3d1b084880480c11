"""What the broker counts since its start.  Every drop and refusal has a counter: silence is never the only sign."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Counters:
    """Whole numbers that only grow."""

    connections: int = 0
    #: Connections closed before CONNECT: too slow, too many, or malformed.
    connections_refused: int = 0
    logins_refused: int = 0
    packets_malformed: int = 0
    keepalive_expired: int = 0
    messages_received: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    bytes_sent: int = 0
    #: Dropped for subscribers whose queue was full.
    messages_dropped: int = 0
    bytes_dropped: int = 0
    #: Published where the access policy forbids it.
    messages_denied: int = 0
    subscriptions_refused: int = 0
    retained_refused: int = 0

    def as_topics(self) -> dict[str, int]:
        """Counters by topic: `bytes_dropped` is `$SYS/broker/bytes/dropped`."""
        return {f"$SYS/broker/{name.replace('_', '/')}": value for name, value in asdict(self).items()}
