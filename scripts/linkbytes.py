"""Bytes that the kernel counted on the TCP connections of other processes (sock_diag and TCP_INFO).

Rules
- Not Tiercast's code and not its counters: what this says of a link is the kernel's word.
- A link is all connections of one process to one port of this machine; both directions are added.
- A connection that has closed keeps the last value seen, so sample often enough.
- Standard library only; no privileges are needed for processes of one's own.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_NETLINK_SOCK_DIAG = 4
_CLONE_NEWNET = 0x40000000
_SOCK_DIAG_BY_FAMILY = 20
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_DONE, _ERROR = 3, 2
_INET_DIAG_INFO = 2
_WITH_INFO = 1 << (_INET_DIAG_INFO - 1)
_STATES = 0x1FF  # established to closing; not listening, not time-wait
_BYTES_ACKED, _BYTES_RECEIVED = 120, 128  # offsets in struct tcp_info


@dataclass(frozen=True, slots=True)
class Connection:
    """One end of a connection: its ports, the inode of its socket, payload bytes sent (acknowledged) and received."""

    local_port: int
    remote_port: int
    inode: int
    sent: int
    received: int


def _space(pid: int) -> str:
    """The network namespace of a process; "" when it is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")  # noqa: PTH115 - not a path
    except OSError:
        return ""


def _netlink(pid: int) -> socket.socket:
    """A socket that sees the connections of the process's network namespace."""
    if _space(pid) in {"", _space(os.getpid())}:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)

    def inside() -> socket.socket:
        with Path(f"/proc/{pid}/ns/net").open("rb") as space:
            if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)

    with ThreadPoolExecutor(1) as thread:  # a namespace is a thread's; this one ends with it
        return thread.submit(inside).result()


def connections(pid: int = 0) -> list[Connection]:
    """Every established TCP connection, IPv4 and IPv6, of the network namespace of `pid` (0 is ours)."""
    found: list[Connection] = []
    for family in (socket.AF_INET, socket.AF_INET6):
        with _netlink(pid or os.getpid()) as netlink:
            netlink.settimeout(5)
            request = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, _WITH_INFO, _STATES) + bytes(48)
            netlink.send(struct.pack("=IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, _DUMP, 1, 0) + request)
            done = False
            while not done:
                done = _parse(netlink.recv(1 << 18), found)
    return found


def _parse(data: bytes, found: list[Connection]) -> bool:
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if kind in {_DONE, _ERROR} or length < 16:
            return True
        body = data[at + 16 : at + length]
        local, remote = struct.unpack_from(">HH", body, 4)
        inode = struct.unpack_from("=I", body, 68)[0]
        info = _attribute(body[72:], _INET_DIAG_INFO)
        if len(info) >= _BYTES_RECEIVED + 8:
            sent, received = struct.unpack_from("=QQ", info, _BYTES_ACKED)
            found.append(Connection(local, remote, inode, sent, received))
        at += (length + 3) & ~3
    return False


def _attribute(data: bytes, wanted: int) -> bytes:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            break
        if kind == wanted:
            return data[at + 4 : at + length]
        at += (length + 3) & ~3
    return b""


def sockets_of(pid: int) -> set[int]:
    """Inodes of the sockets that process `pid` has open; empty when it is gone."""
    inodes: set[int] = set()
    with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if found := re.match(r"socket:\[(\d+)\]", os.readlink(descriptor)):  # noqa: PTH115 - not a path
                    inodes.add(int(found.group(1)))
    return inodes


@dataclass(slots=True)
class Meter:
    """Adds up what links carried.

    `links` maps a link's name to (pid of the child, port of its parent's broker).
    """

    links: Mapping[str, tuple[int, int]]
    _seen: dict[str, dict[tuple[int, int], int]] = field(default_factory=dict)
    _base: dict[str, int] = field(default_factory=dict)

    def sample(self) -> None:
        """Read the kernel's counters now."""
        every: dict[str, list[Connection]] = {}
        for name, (pid, port) in self.links.items():
            own, space = sockets_of(pid), _space(pid)
            if space not in every:
                every[space] = connections(pid) if space else []
            for connection in every[space]:
                if connection.remote_port == port and connection.inode in own:
                    key = (connection.local_port, connection.inode)
                    self._seen.setdefault(name, {})[key] = connection.sent + connection.received

    def restart(self) -> None:
        """Count from here."""
        self.sample()
        self._base = {name: sum(self._seen.get(name, {}).values()) for name in self.links}

    def bytes(self) -> dict[str, int]:
        """Bytes of each link, both directions, since `restart`."""
        self.sample()
        return {name: sum(self._seen.get(name, {}).values()) - self._base.get(name, 0) for name in self.links}
