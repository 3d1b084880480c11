"""New file systems of their own for the runs of a bench: an ext4 in a file behind a loop device.

Rules
- Each is made for one run and gone after it, whatever becomes of the run: what a used file system costs more says
  nothing about whoever writes to it.
- The file is allocated, and tables and journal of the file system are written, before it is handed out.
- Needs root, mkfs.ext4 and loop devices.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_disk(folder: Path, size: int) -> Iterator[Path]:
    """A mounted, empty file system of `size` bytes; image and mount point lie in `folder` while it lives."""
    image, top = folder / "disk.img", folder / "disk"
    top.mkdir()
    try:
        with image.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        made = ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image)]
        subprocess.run(made, check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(top)], check=True)
        try:
            yield top
        finally:
            subprocess.run(["umount", str(top)], check=True)
    finally:
        image.unlink(missing_ok=True)
        top.rmdir()


def settled(top: Path) -> None:
    """What was written there before is on the disk: nobody pays for it later."""
    subprocess.run(["sync", "-f", str(top)], check=True)
