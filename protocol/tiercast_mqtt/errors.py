"""What goes wrong on an MQTT connection, by whose fault.

MqttError
 +-- MalformedPacket     the peer sent bytes that MQTT 3.1.1 does not allow, or more than was agreed
 +-- ConnectionRefused   the broker answered CONNECT with a code other than 0 (`.code`); also a ConnectionError

Rules: errors carry fields, `str()` composes the sentence.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Return codes of CONNACK, MQTT 3.1.1 section 3.2.2.3.
REFUSALS = {
    1: "the broker does not speak this version of MQTT",
    2: "the broker does not accept this client identifier",
    3: "the broker is not available",
    4: "wrong user name or password",
    5: "not authorised",
}


class MqttError(Exception):
    """Root of the errors of this package."""


@dataclass
class MalformedPacket(MqttError):
    """Bytes that break MQTT 3.1.1, or a limit that both sides know."""

    reason: str

    def __str__(self) -> str:
        return f"malformed packet: {self.reason}"


class ConnectionRefused(MqttError, ConnectionError):
    """The broker answered CONNECT with `code` (1 to 5; anything else is the broker's own invention)."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"connection refused by the broker: {REFUSALS.get(self.code, f'code {self.code}')}"
