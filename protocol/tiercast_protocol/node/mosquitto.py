"""Finds mosquitto and writes its settings.

Rules
- Every line that is not obvious says why it is there: people read the file when they wonder.
- One policy for all listeners: with `per_listener_settings` mosquitto 2.0 refuses what is queued for a
  client that is away, because that client has no listener at the moment.
- It runs as our own user.  Started by root, mosquitto would become the user "mosquitto" and could not
  read a state folder of mode 0700.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Debian installs it in a folder that is not in every user's PATH.
_FURTHER = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/sbin")

#: Greatest MQTT packet: a frame of 900 KiB with its headers, or a message of 1 MiB in its envelope.
MAX_PACKET = (1 << 20) + (64 << 10)

TUNED: tuple[tuple[str, str, str], ...] = (
    ("allow_anonymous", "false", "Whoever connects has a name; the access file speaks of names."),
    ("allow_zero_length_clientid", "false", "A session belongs to a node, and each node has an identifier."),
    ("set_tcp_nodelay", "true", "Bulk frames wait for nobody's delayed acknowledgement: 1.3 to 1.4 times the speed."),
    ("max_packet_size", str(MAX_PACKET), "Without it four headers that announce 256 MiB each cost 160 MiB."),
    ("max_inflight_messages", "20", "Control messages on their way to one node; they are handled one by one."),
    (
        "max_queued_messages",
        "1000",
        "Per node, bulk frames too.  Our credit stays far below it; what is beyond is dropped silently and repeated.",
    ),
    (
        "max_queued_bytes",
        str(64 << 20),
        "Control messages for a node that is away; their senders keep and repeat them.",
    ),
    ("retain_available", "false", "Nothing of Tiercast is retained, so nothing retained can pile up."),
    ("persistence", "false", "The broker is a wire: what matters is in the databases of sender and receiver."),
    ("persistent_client_expiration", "2d", "Sessions of nodes that were removed do not stay for ever."),
    ("sys_interval", "0", "Its statistics are read by nobody here and cost messages."),
    ("max_keepalive", "300", "A client may not ask to be forgotten for longer than that."),
)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen: `host` and `port`, or `path` of a UNIX socket; TLS when there is a certificate."""

    host: str = ""
    port: int = 0
    path: str = ""
    cert: str = ""
    key: str = ""
    ca: str = ""

    def lines(self) -> list[str]:
        """As mosquitto's settings."""
        if self.path:
            return [f"listener 0 {self.path}"]
        lines = [f"listener {self.port} {self.host}"]
        if self.cert:
            lines += [f"certfile {self.cert}", f"keyfile {self.key}"]
        if self.cert and self.ca:
            lines += [f"cafile {self.ca}", "require_certificate true"]
        return lines


def find() -> str | None:
    """The path of mosquitto, or None."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_FURTHER])
    return shutil.which("mosquitto", path=path)


def render(listeners: Sequence[Listener], *, users: Path, acl: Path) -> str:
    """Mosquitto's settings file."""
    lines = ["# Made by Tiercast; changes are lost at the next start.", "per_listener_settings false"]
    if os.geteuid() == 0:
        lines += ["# stay who we are: the state folder is ours alone", "user root"]
    for name, value, why in TUNED:
        lines += [f"# {why}", f"{name} {value}"]
    lines += [f"password_file {users}", f"acl_file {acl}", "log_dest stderr", "log_timestamp false"]
    lines += ["log_type error", "log_type warning", "log_type notice", "connection_messages false"]
    for listener in listeners:
        lines += ["", *listener.lines()]
    return "\n".join(lines) + "\n"
