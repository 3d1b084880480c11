"""Power: what an order says of waking its machines and shutting them down, and the packet that wakes one.  Pure.

Rules (docs/power.md)
- `wake` has the gateway of a machine wake it before the job, `wake_before_s` so long before it may begin; `sleep_after`
  has the machine shut down after the job if it was woken for it.  All of it is signed with the order.
- None of these words changes what the job itself does: a node that does not know them carries it out all the same.
- A job to shut a machine down or to restart it runs the command of the machine's own settings, never one of the order.
- A magic packet is six bytes of ones and sixteen times the hardware address; then the password, where one is set.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tiercast_protocol.content.jobs import times
from tiercast_protocol.errors import UsageError

WAKE, WAKE_BEFORE, SLEEP_AFTER = "wake", "wake_before_s", "sleep_after"
WORDS = frozenset({WAKE, WAKE_BEFORE, SLEEP_AFTER})
SHUTDOWN, REBOOT = "shutdown", "reboot"
#: Types of jobs that end a machine's present life.
TYPES = frozenset({SHUTDOWN, REBOOT})
#: Longest that a machine may be woken before its job.
LONGEST_BEFORE_S = 86_400
_MAC = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Power:
    """What an order says; `before_s` 0 is: when it may begin to move."""

    wake: bool = False
    before_s: int = 0
    sleep: bool = False


def read_power(options: Mapping[str, object]) -> Power:
    """What an order's options say.

    Raises:
        UsageError: power.invalid.
    """
    wake, before, sleep = options.get(WAKE, False), options.get(WAKE_BEFORE, 0), options.get(SLEEP_AFTER, False)
    if not isinstance(wake, bool) or not isinstance(sleep, bool):
        raise _wrong("Whether machines are woken, or sleep again, is true or false", "Give --wake, --sleep-after.")
    if type(before) is not int or not 0 <= before <= LONGEST_BEFORE_S:
        raise _wrong(f"A machine can't be woken {before} s before its job", "Give --wake-before 0s to 24h.")
    if before and not wake:
        raise _wrong("When machines are woken was said, and not that they are", "Add --wake.")
    if sleep and not wake:
        raise _wrong("Only machines that the job wakes are shut down after it", "Add --wake.")
    return Power(wake, before, sleep)


def wanted_at(options: Mapping[str, object]) -> int:
    """From when on the machines of an order are to be awake, in milliseconds since 1970; 0 is at once."""
    try:
        power, said = read_power(options), times.read(options)
    except UsageError:  # of a later version
        return 0
    begin = max(said.not_before, said.distribute_at) if power.before_s else said.distribute_at
    return max(0, begin - power.before_s * 1000)


def magic_packet(mac: str, password: str = "") -> bytes:
    """The packet that wakes the machine with this hardware address.

    Raises:
        UsageError: power.mac: it is none, or the password is none.
    """
    body = b"\xff" * 6 + 16 * _bytes(mac, "hardware address")
    if not password:
        return body
    # A password is six bytes as an address is, or four, written as an address of IPv4.
    if re.fullmatch(r"\d+(\.\d+){3}", password):
        try:
            return body + ipaddress.IPv4Address(password).packed
        except ValueError:
            pass
    return body + _bytes(password, "password")


def broadcast_of(network: str) -> str:
    """The broadcast address of "10.1.0.5/24"; "" where that is no network of IPv4."""
    try:
        return str(ipaddress.IPv4Interface(network).network.broadcast_address)
    except ValueError:
        return ""


def _bytes(text: str, what: str) -> bytes:
    if not _MAC.match(text):
        raise UsageError(
            code="power.mac",
            what=f"{text[:40]!r} is no {what}.",
            todo="Six bytes in hexadecimal: 52:54:00:12:34:56.",
        )
    return bytes.fromhex(re.sub("[:-]", "", text))


def _wrong(what: str, todo: str) -> UsageError:
    return UsageError(code="power.invalid", what=f"{what}.", todo=f"{todo} Nothing was done.")
