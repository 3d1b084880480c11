"""What was staged, or got another name, made safe before the journal says so (docs/actions.md, "Placed").

Rules
- A file's bytes are one thing and its name another: both are synced, and so is the folder of every link, and the name
  of every folder that was made.
- From many files on, or for a folder that was built whole, each file system concerned is synced once instead.
- Blocking calls, made from worker threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from tiercast_endpoint.acting.prefix import Prefix
from tiercast_protocol.node.files import sync_file_system

#: From so many files on, one sync of the whole file system is less work than one for each.
_MANY = 64


def sync_files(prefix: Prefix, files: Iterable[tuple[str, str]], whole: Iterable[str]) -> None:
    """The bytes of staged files, by (folder, name), and of whole folders that were built in these folders."""
    staged, built = list(files), list(whole)
    if len(staged) <= _MANY and not built:
        for folder, name in staged:
            with prefix.folder_of(f"{folder}/.", mounted=True) as (above, _):
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        return
    devices: set[int] = set()
    for folder in sorted({*built, *(folder for folder, _ in staged)}):
        with prefix.folder_of(f"{folder}/.", mounted=True) as (fd, _):
            device = os.fstat(fd).st_dev
            if device not in devices:
                sync_file_system(fd)
                devices.add(device)


def sync_folders(prefix: Prefix, paths: Iterable[str]) -> None:
    """The names in these folders; one that is gone has none."""
    for path in sorted(set(paths)):
        with suppress(FileNotFoundError), prefix.folder_of(f"{path}/.", mounted=True) as (fd, _):
            os.fsync(fd)
