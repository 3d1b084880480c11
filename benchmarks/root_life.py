"""The agent's root half over a state folder, for the bench `install`: a process of its own, which says when it listens.

    python benchmarks/root_life.py FOLDER SOCKET

Rules
- It is the half that a service manager starts, with its journal, its own install root and every check that it makes;
  only who it trusts is handed over in `FOLDER/one.order` and not by `root init`.
- The bench ends it.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import pwd
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from tiercast_endpoint.halves import rootrun
from tiercast_endpoint.halves.trusted import RootSettings, Trusted
from tiercast_protocol.node.config import Duration, Size


async def main(folder: Path, path: Path) -> None:
    """Serve the network half until a signal comes."""
    region, _ = pickle.loads((folder / "one.order").read_bytes())  # noqa: S301 - the bench wrote it
    user = pwd.getpwuid(os.geteuid()).pw_name
    (folder / "rooted").mkdir(mode=0o700)
    (folder / "prefix").mkdir(exist_ok=True)
    settings = RootSettings(
        install_root=folder / "root", user=user, prefix=folder / "prefix", reserve=Size(0), idle=Duration(3600.0)
    )
    async with AsyncExitStack() as stack:
        half = await rootrun.opened(Trusted(folder / "rooted", settings, region.identity), stack)
        lines = rootrun.Lines(half, {os.geteuid()}, settings.idle)
        sock = rootrun.own_socket(path, os.geteuid())
        stack.callback(sock.close)
        print("listens", flush=True)
        await lines.serve(sock)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
