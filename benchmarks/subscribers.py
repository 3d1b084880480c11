"""Runs bare.py: a broker alone, subscribers as processes, one publisher; seconds and processor seconds.

Rules
- mosquitto gets the settings that our gateways give it, without passwords; the embedded broker its defaults.
- Subscribers and broker run before the clock starts; the publisher's clock ends with the last "synced" of all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from region import RegionError, free_port
from staged import cpu_seconds
from tiercast_protocol.node.mosquitto import TUNED, find

BARE = Path(__file__).with_name("bare.py")


@dataclass(frozen=True, slots=True)
class Way:
    """How frames flow: payload bytes, bytes ahead of the slowest, quality of service, event loop of all clients."""

    frame: int = 256 << 10
    window: int = 8 << 20
    qos: int = 0
    loop: str = "uvloop"


@dataclass(frozen=True, slots=True)
class Flowed:
    """One transfer: seconds, processor seconds of the publisher, the broker, all subscribers; the broker's peak MiB."""

    seconds: float
    publisher_cpu: float
    broker_cpu: float
    subscriber_cpu: float
    broker_mib: float


@contextmanager
def broker(kind: str, folder: Path) -> Iterator[tuple[int, int]]:
    """A broker of `kind` ("mosquitto" or "embedded") for everybody on this machine: its port and process id."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "mosquitto":
        skip = {"allow_anonymous", "allow_zero_length_clientid"}
        lines = [f"{name} {value}" for name, value, _ in TUNED if name not in skip]
        lines += ["allow_anonymous true", f"listener {port} 127.0.0.1", "log_dest none"]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        command = [find() or "mosquitto", "-c", str(folder / "mosquitto.conf")]
    else:
        settings = {"listen": [{"host": "127.0.0.1", "port": port}], "allow_anonymous": True}
        (folder / "embedded.json").write_text(json.dumps(settings))
        command = [sys.executable, "-m", "tiercast_mqtt", "--config", str(folder / "embedded.json")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until_open(port, process)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(10)


def _until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    import socket  # noqa: PLC0415 - for this probe alone

    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RegionError("the broker does not start")


def flow(kind: str, source: Path, count: int, folder: Path, way: Way) -> Flowed:
    """One transfer to `count` subscribers.

    Raises:
        RegionError: a process failed, or it took more than a minute.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = source.stat().st_size
    with broker(kind, folder) as (port, pid):
        tail = [str(size), str(way.window), str(way.qos)]
        subscribers = [
            subprocess.Popen(
                [sys.executable, str(BARE), "subscribe", str(port), way.loop, str(n), str(folder / str(n)), *tail],
                env={**os.environ},
            )
            for n in range(count)
        ]
        words = [str(source), str(way.frame), str(way.window), str(count), str(way.qos)]
        command = [sys.executable, str(BARE), "publish", str(port), way.loop, *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            broker_cpu, peak = cpu_seconds(pid), _peak(pid)
            used = 0.0
            for each in subscribers:
                _, _, usage = os.wait4(each.pid, 0) if not done.returncode else (0, 0, None)
                used += usage.ru_utime + usage.ru_stime if usage else 0.0
        except subprocess.TimeoutExpired as error:
            raise RegionError(f"{kind} {way}: not done in a minute (frames were dropped?)") from error
        finally:
            for each in subscribers:
                each.returncode = each.returncode if each.returncode is not None else None
                if _alive(each.pid):
                    each.kill()
        if done.returncode:
            raise RegionError(f"{kind} {way}: {done.stderr[-500:]}")
        seconds, publisher = map(float, done.stdout.split())
    for n in range(count):
        (folder / str(n)).unlink(missing_ok=True)
    return Flowed(seconds, publisher, broker_cpu, used, peak)


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists()


def _peak(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
