"""Stands for ssh: forwards a socket as `ssh -L` does.

    python ssh_stand_in.py ... -L LOCAL:REMOTE ...

Rules
- Where nobody listens at the remote socket it says so; after CUT bytes it breaks off.
- AT, where it is set, is the remote socket, whatever was said.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from pathlib import Path


def main() -> None:
    """Forward until it is ended."""
    local, remote = sys.argv[sys.argv.index("-L") + 1].split(":")
    remote = os.environ.get("AT") or remote
    left = int(os.environ.get("CUT", "0")) or 1 << 60
    if not Path(remote).exists():
        sys.exit("stand-in: nobody is there")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(local)
    listener.listen()
    pairs: dict[socket.socket, socket.socket] = {}
    while True:
        for ready in select.select([listener, *pairs], [], [])[0]:
            if ready is listener:
                one, _ = listener.accept()
                other = socket.socket(socket.AF_UNIX)
                other.connect(remote)
                pairs[one], pairs[other] = other, one
            elif ready in pairs:
                data = ready.recv(65536)
                left -= len(data)
                if left < 0:
                    sys.exit("stand-in: the link broke")
                if data:
                    pairs[ready].sendall(data)
                else:
                    for end in (pairs.pop(pairs[ready]), pairs.pop(ready)):
                        end.close()


if __name__ == "__main__":
    main()
