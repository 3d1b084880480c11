"""What the kernel says of connections."""

from __future__ import annotations

import os
import socket

from tiercast_protocol.node import kernel


def _pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        two, _ = server.accept()
    return one, two


def test_bytes_of_a_connection_both_ways() -> None:
    one, two = _pair()
    with one, two:
        one.sendall(b"x" * 5000)
        assert len(two.recv(5000, socket.MSG_WAITALL)) == 5000
        two.sendall(b"y" * 700)
        assert len(one.recv(700, socket.MSG_WAITALL)) == 700
        mine, theirs = kernel.tcp_info(one), kernel.tcp_info(two.fileno())
        assert mine is not None
        assert theirs is not None
        assert mine.received == 700
        assert theirs.received == 5000
        # the SYN counts as one byte; the answer carried the acknowledgement
        assert mine.acked in {5000, 5001}
        assert mine.sent == 5000
        assert mine.sent_again == 0
        assert 0 < mine.rtt < 1
        assert kernel.total([mine, theirs])[1] == 5700


def test_no_connection_has_no_counters() -> None:
    one, two = socket.socketpair()
    with one, two:
        assert kernel.tcp_info(one) is None
    assert kernel.tcp_info(one) is None
    assert kernel.tcp_info(-1) is None


def test_the_peer_of_a_unix_socket_is_ourselves() -> None:
    one, two = socket.socketpair()
    with one, two:
        peer = kernel.peer_of(one)
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.geteuid(), os.getegid())
    assert set(peer.groups) == set(os.getgroups())
