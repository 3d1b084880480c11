"""One region that upgrades a package: a server, a gateway, an endpoint that has the old version.

Rules
- Bytes are the kernel's between server and gateway, both ways, from the order to the last receipt.
- Peaks are RssAnon, sampled, of each daemon and of the packager, while a pair is packaged and upgraded; what the
  server says of its patch maker stands beside them.  Processor seconds of the maker are /proc's, as last seen.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import Memory, children, command_line, every
from region import Region, RegionError
from staged import cpu_seconds

MIB = 1 << 20
#: A link that carried nothing for so long is quiet.
QUIET_S = 0.5


class Upgrades:
    """The region and what is seen of it."""

    def __init__(self, region: Region) -> None:
        self.region = region
        region.add_server()
        region.add_gateway("gateway")
        region.add_endpoint("endpoint", "gateway")
        self.meter = region.meter()
        self._packager = 0
        self._memory = Memory(self._who)
        #: Processor seconds of every patch maker that was seen.
        self._makers: dict[int, float] = {}

    def _who(self) -> dict[str, int]:
        pids = {daemon.name: daemon.pid for daemon in self.region.daemons.values()}
        return pids | ({"packager": self._packager} if self._packager else {})

    def _look(self) -> None:
        self._memory.sample()
        for pid in children(self.region.daemons["server"].pid):
            if "patchworker" in command_line(pid):
                self._makers[pid] = max(self._makers.get(pid, 0.0), cpu_seconds(pid))

    @contextmanager
    def watched(self) -> Iterator[dict[str, float]]:
        """What was seen while the block ran, once it is over: peaks in MiB, `make_cpu_s`."""
        seen: dict[str, float] = {}
        self._memory, self._makers = Memory(self._who), {}
        with every(0.05, self._look):
            yield seen
        seen |= {f"{name}_peak_mib": round(peak / MIB, 1) for name, peak in self._memory.peak.items()}
        seen["make_cpu_s"] = round(sum(self._makers.values()), 1)

    def build(self, tree: Path, name: str, version: str) -> None:
        """Package the tree."""
        server = str(self.region.daemons["server"].socket)
        command = [self.region.python, "-m", "tiercast_cli", "--socket", server, "package", "build", str(tree)]
        build = subprocess.Popen(
            [*command, "--name", name, "--version", version], env=self.region.environment(), stdout=sys.stderr
        )
        self._packager = build.pid
        try:
            if build.wait() != 0:
                raise RegionError(f"{name} {version} was not built")
        finally:
            self._packager = 0

    def install(self, name: str, version: str) -> tuple[int, float]:
        """Bytes between server and gateway, and seconds."""
        self.meter.restart()
        began = time.monotonic()
        with every(0.2, self.meter.sample):
            job = self.region.cli("job", "install", f"{name}={version}", "--on", "endpoint", "--watch")
        if job["job"]["state"] != "done":
            raise RegionError(f"the job ended badly: {job}")
        took = time.monotonic() - began
        return self._quiet("server -> gateway"), took

    def _quiet(self, link: str) -> int:
        """The link's bytes once it is quiet: the last status is still under way when the server knows the end."""
        carried, since = -1, time.monotonic()
        while time.monotonic() - since < QUIET_S:
            if (now := self.meter.bytes()[link]) != carried:
                carried, since = now, time.monotonic()
            time.sleep(0.05)
        return carried

    def patched(self, name: str, version: str) -> dict[str, Any]:
        """What came of the patch, once it is made."""
        found: list[dict[str, Any]] = self.region.cli("package", "patches", f"{name}={version}", "--wait")["patches"]
        return found[-1]
