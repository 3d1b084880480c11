"""What the kernel knows: bytes of a TCP connection, who is at the other end of a UNIX socket.

Rules
- Linux only, no library: offsets are those of `struct tcp_info` in the kernel's user headers, which
  only ever grows at its end; what an older kernel does not fill is 0.
- Bytes are the kernel's, both directions, without retransmissions (`acked`, `received`) and with them (`sent`).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_TCP_INFO_SIZE = 256
_RTT = struct.Struct("=II")  # at 68: smoothed round trip and its variance, microseconds
_ACKED = struct.Struct("=QQII")  # at 120: bytes acked, bytes received, segments out, segments in
_SENT = struct.Struct("=QQ")  # at 200: bytes sent, bytes sent again
_CREDENTIALS = struct.Struct("=iII")
_SO_PEERGROUPS = 59


class HasOptions(Protocol):
    """A socket, or what a transport gives as its "socket"."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        """As of a socket."""
        ...


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """Bytes are payload of TCP since connect; `rtt` is in seconds."""

    acked: int
    received: int
    sent: int
    sent_again: int
    segments_out: int
    segments_in: int
    rtt: float


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that opened the other end of a UNIX socket, as it was then."""

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def tcp_info(of: HasOptions | int) -> TcpInfo | None:
    """The counters of a TCP connection (`of`: a socket or a file descriptor); None when it is none, or closed."""
    try:
        raw = _option(of, socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    except OSError:
        return None
    raw = raw.ljust(_TCP_INFO_SIZE, b"\0")
    rtt, _ = _RTT.unpack_from(raw, 68)
    acked, received, out, in_ = _ACKED.unpack_from(raw, 120)
    sent, again = _SENT.unpack_from(raw, 200)
    return TcpInfo(acked, received, sent, again, out, in_, rtt / 1e6)


def total(infos: Sequence[TcpInfo]) -> tuple[int, int]:
    """Bytes (sent and acknowledged, received) over all of `infos`."""
    return sum(i.acked for i in infos), sum(i.received for i in infos)


def peer_of(sock: HasOptions) -> Peer:
    """Who is connected at the other end of the UNIX socket `sock`.  Raises OSError."""
    pid, uid, gid = _CREDENTIALS.unpack(_option(sock, socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    try:
        raw = _option(sock, socket.SOL_SOCKET, _SO_PEERGROUPS, 65536)
    except OSError:  # older than Linux 4.13: membership is then asked of the user database
        raw = b""
    groups = struct.unpack(f"={len(raw) // 4}I", raw)
    return Peer(pid, uid, gid, groups)


def _option(of: HasOptions | int, level: int, option: int, size: int) -> bytes:
    if not isinstance(of, int):
        return of.getsockopt(level, option, size)
    with socket.socket(fileno=os.dup(of)) as sock:
        return sock.getsockopt(level, option, size)
