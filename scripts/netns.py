"""Machines on this machine: network namespaces joined by links of a given speed (veth and `tc tbf`).

Rules
- Needs root and iproute2. A machine has one address, on its loopback; a link is two interfaces, limited both ways.
- All that was made is taken down: at the end of the block, and by a guard process when this one was killed.
- What a killed run of earlier left (its process is gone) is taken down by the next.
- Standard library only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

PREFIX = "tcn"
#: What a queue of the link may hold: bytes at once, and how long the last of them waits.
BURST, LATENCY = "32kb", "50ms"


class NamespaceError(Exception):
    """The kernel or iproute2 did not do what was asked; carries what it said."""


def available() -> str:
    """Why there can be no namespaces here; "" when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "tc") if not _program(name)]
    return f"{' and '.join(missing)} is missing: install the package iproute2" if missing else ""


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def command(name: str, *args: str) -> str:
    """Run `ip` or `tc`; what it said. Raises NamespaceError."""
    done = subprocess.run([_program(name) or name, *args], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NamespaceError(f"{name} {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def take_down(prefix: str) -> None:
    """Delete every namespace whose name begins so; what runs in them is ended first."""
    with suppress(NamespaceError):
        for line in command("ip", "netns", "list").splitlines():
            name = line.split(" ", 1)[0]
            if name.startswith(prefix):
                with suppress(NamespaceError):
                    for pid in command("ip", "netns", "pids", name).split():
                        with suppress(ProcessLookupError):
                            os.kill(int(pid), 9)
                with suppress(NamespaceError):
                    command("ip", "netns", "del", name)


def _sweep() -> None:
    """Take down what killed runs left."""
    for line in command("ip", "netns", "list").splitlines():
        found = re.match(rf"{PREFIX}(\d+)-", line)
        if found and not Path(f"/proc/{found.group(1)}").exists():
            take_down(found.group(0))


class Network:
    """Machines and links between them, for the length of a `with` block."""

    def __init__(self) -> None:
        self._prefix = f"{PREFIX}{os.getpid()}-"
        self._machines: dict[str, str] = {}
        self._links = 0
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if reason := available():
            raise NamespaceError(reason)
        _sweep()
        guard = [sys.executable, "-I", str(Path(__file__).resolve()), self._prefix]
        # a session of its own: what ends us does not end it; our death ends its standard input
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)
        return self

    def __exit__(self, *_: object) -> None:
        take_down(self._prefix)
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait(30)

    def machine(self, name: str) -> str:
        """A new machine; its address."""
        space, address = self._prefix + name, f"10.77.0.{len(self._machines) + 1}"
        command("ip", "netns", "add", space)
        self._machines[name] = address
        command("ip", "-n", space, "link", "set", "lo", "up")
        command("ip", "-n", space, "addr", "add", f"{address}/32", "dev", "lo")
        return address

    def space(self, name: str) -> str:
        """The namespace of a machine, for `ip netns exec`."""
        return self._prefix + name

    def address(self, name: str) -> str:
        """Its address."""
        return self._machines[name]

    def link(self, upper: str, lower: str, rate: str = "100mbit") -> None:
        """Join two machines, which then reach each other. `rate` as `tc` writes it, "" is unlimited."""
        self._links += 1
        net = f"10.77.{self._links}"
        ends = {upper: (f"d{self._links}", f"{net}.1"), lower: (f"u{self._links}", f"{net}.2")}
        (high, _), (low, _) = ends[upper], ends[lower]
        command(
            "ip", "link", "add", high, "netns", self.space(upper), "type", "veth",
            "peer", "name", low, "netns", self.space(lower),
        )  # fmt: skip
        for name, (device, address) in ends.items():
            space = self.space(name)
            command("ip", "-n", space, "addr", "add", f"{address}/30", "dev", device)
            command("ip", "-n", space, "link", "set", device, "up")
            if rate:
                command(
                    "tc", "-n", space, "qdisc", "add", "dev", device, "root", "tbf",
                    "rate", rate, "burst", BURST, "latency", LATENCY,
                )  # fmt: skip
        upper_address, lower_address = self._machines[upper], self._machines[lower]
        command("ip", "-n", self.space(lower), "route", "add", f"{upper_address}/32", "via", f"{net}.1",
                "src", lower_address)  # fmt: skip
        command("ip", "-n", self.space(upper), "route", "add", f"{lower_address}/32", "via", f"{net}.2", "src",
                upper_address)  # fmt: skip

    def set_rate(self, upper: str, number: int, rate: str) -> None:
        """Change the speed of the link `number` (from 1) of what comes down it."""
        command(
            "tc", "-n", self.space(upper), "qdisc", "replace", "dev", f"d{number}", "root", "tbf",
            "rate", rate, "burst", BURST, "latency", LATENCY,
        )  # fmt: skip

    def carried(self, upper: str, number: int) -> int:
        """Bytes that the kernel put on the wire of the link `number`, down, with all headers."""
        path = f"/sys/class/net/d{number}/statistics/tx_bytes"
        return int(command("ip", "netns", "exec", self.space(upper), "cat", path))


def main() -> None:
    """The guard: wait until our maker is gone, then take its namespaces down."""
    sys.stdin.buffer.read()
    take_down(sys.argv[1])


if __name__ == "__main__":
    main()
