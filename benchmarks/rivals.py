"""What a sysadmin would set up instead to bring one file to many: nginx and curl, UFTP; started, run and timed here.

Rules
- Every receiver ends with the file on the disk, synced, its digest compared; the command lines are kept for the table.
- Servers and daemons run before the clock starts, as ours do; processor seconds are those of all processes.
- As root the rivals come from the system's packages; else they must be there.
- What was started or made (processes, namespaces, a bridge) is taken down again.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from harness import children
from region import RegionError, free_port
from staged import cpu_seconds

PACKAGES = {
    "nginx": "nginx-light",
    "curl": "curl",
    "uftp": "uftp",
    "openssl": "openssl",
    "ip": "iproute2",
    "rsync": "rsync",
}
#: How long what was started may take until it listens.
_READY_S = 10.0
#: The group that a receiver joins when it listens, as the kernel shows it: it says nothing itself.
_UFTP_GROUP = f"{int.from_bytes(socket.inet_aton('230.4.4.1'), sys.byteorder):08X}"


def install() -> None:
    """Fetch what is missing from the system's packages.  Raises RegionError where that can't be done."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    missing = [package for tool, package in PACKAGES.items() if shutil.which(tool, path=path) is None]
    if not missing:
        return
    if os.geteuid() != 0:
        raise RegionError(f"install these first: {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "install", "-y", "-q", *missing], env=environment, check=True, stdout=subprocess.DEVNULL)


@dataclass(slots=True)
class Took:
    """Seconds of one round, and processor seconds of the serving and of the receiving side."""

    seconds: float
    server_cpu: float
    client_cpu: float


@dataclass(slots=True)
class Nginx:
    """nginx with curl, a digest and a sync for each receiver.

    Attributes:
        folder: for settings, logs, a cache and what the receivers get.
        source: the file.
        sha256: its digest, which the receivers must print.
        host, port: where it listens.
        space: the network namespace of the server; "" is ours.
        above: host and port of an nginx; then this one is a proxy with a cold cache that asks above once.
    """

    folder: Path
    source: Path
    sha256: str
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    space: str = ""
    above: str = ""
    process: subprocess.Popen[bytes] | None = None
    lines: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "nginx.conf"
        zone, content = "", f"root {self.source.parent};"
        if self.above:
            zone = f"proxy_cache_path {self.folder}/cache keys_zone=site:1m max_size=4g use_temp_path=off;"
            content = (
                f"location / {{ proxy_pass http://{self.above}; proxy_cache site; proxy_cache_valid 1h;"
                " proxy_cache_lock on; proxy_cache_lock_timeout 1h; proxy_cache_lock_age 1h; }"
            )
        config.write_text(
            f"daemon off; pid {self.folder}/nginx.pid; error_log {self.folder}/error.log; worker_processes auto;\n"
            f"user root; events {{}}\nhttp {{ access_log off; sendfile on; tcp_nopush on; {zone} server {{\n"
            f"listen {self.host}:{self.port}; {content} }} }}\n"
        )
        command = [
            *inside(self.space),
            "nginx",
            "-c",
            str(config),
            "-p",
            str(self.folder),
            "-e",
            f"{self.folder}/error.log",
        ]
        environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin"}
        self.lines["nginx"] = " ".join(command) + "  # " + " ".join(config.read_text().split())
        self.process = subprocess.Popen(command, env=environment)
        # a name that is not there: any answer will do, and a cache stays cold
        probe = [*inside(self.space), "curl", "-sI", "-o", "/dev/null", f"http://{self.host}:{self.port}/-"]
        _await(lambda: subprocess.run(probe, stdout=subprocess.DEVNULL, check=False).returncode == 0, "nginx")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(10)

    def round(self, count: int, digest: str) -> Took:
        """All receivers at once; `digest` is the command that prints the SHA-256 of a file."""
        out = self.folder / "got"
        out.mkdir()
        shells = [self.shell(out / str(number), digest) for number in range(count)]
        self.lines[digest] = shells[0]
        pids = [self.process.pid, *children(self.process.pid)] if self.process else []
        before = sum(map(cpu_seconds, pids))
        seconds, cpu = run_all(shells, self.sha256)
        served = sum(map(cpu_seconds, pids)) - before
        shutil.rmtree(out)
        return Took(seconds, served, cpu)

    def shell(self, name: Path, digest: str) -> str:
        """What a receiver runs to get the file to `name`."""
        url = f"http://{self.host}:{self.port}/{self.source.name}"
        return f"curl -sSf -o {name} {url} && {digest} {name} && sync {name}"


def inside(space: str) -> list[str]:
    """What runs a program in a network namespace; nothing for ""."""
    return ["ip", "netns", "exec", space] if space else []


def run_all(shells: Sequence[str], word: str, spaces: Sequence[str] = ()) -> tuple[float, float]:
    """Run shells side by side, in `spaces` if given; wall and processor seconds.

    Each must print `word`.  Raises RegionError.
    """
    used = _children_cpu()
    began = time.monotonic()
    running = [
        subprocess.Popen([*inside(space), "sh", "-c", shell], stdout=subprocess.PIPE, text=True)
        for shell, space in zip(shells, spaces or [""] * len(shells), strict=True)
    ]
    outputs = [process.communicate()[0] for process in running]
    seconds = time.monotonic() - began
    if any(process.returncode for process in running) or not all(word in output for output in outputs):
        raise RegionError(f"a receiver failed: {shells[0]}")
    return seconds, _children_cpu() - used


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Uftp:
    """UFTP multicast over a bridge of network namespaces, a receiver in each.  Needs root."""

    def __init__(self, folder: Path, source: Path, sha256: str, count: int) -> None:
        self.folder, self.source, self.sha256, self.count = folder, source, sha256, count
        self.lines: dict[str, str] = {}
        self._tag = f"tb{os.getpid() % 10_000}"
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        _ip("link", "add", self._tag, "type", "bridge", "mcast_snooping", "0")
        _ip("link", "set", self._tag, "up")
        for number in range(self.count + 1):
            space, outer = f"{self._tag}n{number}", f"{self._tag}v{number}"
            _ip("netns", "add", space)
            _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", outer, "master", self._tag, "up")
            _ip("-n", space, "addr", "add", f"10.77.0.{number + 1}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            _ip("-n", space, "link", "set", "lo", "up")
            _ip("-n", space, "route", "add", "224.0.0.0/4", "dev", "eth0")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        for number in range(self.count + 1):
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", f"{self._tag}n{number}")
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._tag)

    def round(self, rate_kbps: int = -1) -> Took:
        """One session to all receivers, then digest and sync of each."""
        out = self.folder / "uftp"
        names = [out / str(number) / self.source.name for number in range(1, self.count + 1)]
        for number, name in enumerate(names, 1):
            name.parent.mkdir(parents=True)
            command = ["uftpd", "-d", "-D", str(name.parent), "-I", "eth0", "-B", "8388608", "-t"]
            self.lines["uftpd"] = " ".join(command)
            space = ["ip", "netns", "exec", f"{self._tag}n{number}"]
            self._daemons.append(subprocess.Popen([*space, *command], stderr=subprocess.DEVNULL))
        for daemon in self._daemons:
            _await(lambda pid=daemon.pid: _UFTP_GROUP in Path(f"/proc/{pid}/net/igmp").read_text(), "uftpd")
        command = ["uftp", "-I", "eth0", "-R", str(rate_kbps), "-B", "8388608", str(self.source)]
        self.lines["uftp"] = " ".join(command)
        used, before = _children_cpu(), sum(cpu_seconds(daemon.pid) for daemon in self._daemons)
        began = time.monotonic()
        space = ["ip", "netns", "exec", f"{self._tag}n0"]
        sent = subprocess.run([*space, *command], capture_output=True, text=True, check=False)
        sender = _children_cpu() - used
        received = sum(cpu_seconds(daemon.pid) for daemon in self._daemons) - before
        if sent.returncode or not all(name.exists() for name in names):
            raise RegionError(f"uftp ended with {sent.returncode}: {sent.stderr[-500:]}")
        _, cpu = run_all([f"openssl dgst -sha256 {name} && sync {name}" for name in names], self.sha256)
        took = Took(time.monotonic() - began, sender, received + cpu)
        self._stop()
        shutil.rmtree(out)
        return took

    def _stop(self) -> None:
        for daemon in self._daemons:
            daemon.terminate()
            daemon.wait(10)
        self._daemons.clear()


def _await(ready: Callable[[], bool], what: str) -> None:
    """Ask until it is ready for us.  Raises RegionError."""
    deadline = time.monotonic() + _READY_S
    while not ready():
        if time.monotonic() > deadline:
            raise RegionError(f"{what} does not listen after {_READY_S:.0f} s")
        time.sleep(0.02)


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def rsync(folder: Path, source: Path) -> Iterator[tuple[str, int]]:
    """An rsync daemon over `source`'s folder; the file's URL and the daemon's process id."""
    port = free_port()
    config = folder / "rsyncd.conf"
    config.write_text(f"use chroot = no\nuid = 0\ngid = 0\n[bulk]\npath = {source.parent}\n")
    command = ["rsync", "--daemon", "--no-detach", f"--config={config}", f"--port={port}", "--address=127.0.0.1"]
    process = subprocess.Popen(command)
    try:
        _await(lambda: _connects(port), "rsync")
        yield f"rsync://127.0.0.1:{port}/bulk/{source.name}", process.pid
    finally:
        process.terminate()
        process.wait(10)
