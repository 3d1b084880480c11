"""What every benchmark shares: goals, the last line, memory and bytes as the kernel counts them.

Rules
- A goal is (figure, "<=" or ">=", number); `reached` is all of them, or of those parts that were asked for.
- `work` states sizes and counts as really run.
- Memory is RssAnon from /proc, sampled; bytes are TCP_INFO of every connection of a link.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from linkbytes import Meter

Goals = Mapping[str, tuple[str, float]]
_asked: dict[str, Any] = {"pairs": 5}


def pairs() -> int:
    """How many interleaved pairs of ourselves and a rival are measured."""
    return int(_asked["pairs"])


def asked(option: str) -> Any:
    """What the command line said of an option of the bench's own."""
    return _asked[option]


def spread(values: list[float]) -> list[float]:
    """Least, median and greatest of the pairs' ratios."""
    return [round(value, 4) for value in (min(values), statistics.median(values), max(values))]


def run(
    name: str,
    goals: Goals,
    work: Callable[[Path], tuple[dict[str, Any], dict[str, float]]],
    add_options: Callable[[argparse.ArgumentParser], None] | None = None,
) -> int:
    """Run `work` in a folder of its own and print what it reached; 0 when every goal was."""
    parser = argparse.ArgumentParser(prog=f"scripts/bench {name}")
    parser.add_argument("--json", action="store_true", help="only the last line, in JSON")
    parser.add_argument("--folder", type=Path, help="where to work (a new temporary folder)")
    parser.add_argument("--pairs", type=int, default=5, help="interleaved pairs beside a rival (5)")
    if add_options is not None:
        add_options(parser)
    options = parser.parse_args()
    _asked.update(vars(options), pairs=max(1, options.pairs))
    folder = Path(tempfile.mkdtemp(prefix="tcb", dir=options.folder))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was made is taken down however we end
    try:
        done, figures = work(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    goals = {key: goal for key, goal in goals.items() if key in figures}
    reached = all(_holds(figures[key], sign, limit) for key, (sign, limit) in goals.items())
    if not options.json:
        for key, value in figures.items():
            sign, limit = goals.get(key, ("", 0.0))
            print(f"{key:<20}{value:>14.4g}   {f'goal {sign} {limit:g}' if sign else ''}")
    line = {
        "bench": name,
        "work": done,
        "figures": {key: round(value, 4) for key, value in figures.items()},
        "goals": {key: f"{sign} {limit:g}" for key, (sign, limit) in goals.items()},
        "reached": reached,
    }
    print(json.dumps(line) if options.json else f"reached: {reached}")
    return 0 if reached else 1


def _holds(value: float, sign: str, limit: float) -> bool:
    return value <= limit if sign == "<=" else value >= limit


def note(text: str) -> None:
    """A word for whoever waits; never in the way of the last line."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Do `act` again and again in a thread while the block runs."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(seconds):
            act()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Memory:
    """Peak RssAnon, by name, of processes and all below them that `who` gives."""

    def __init__(self, who: Callable[[], Mapping[str, int]]) -> None:
        self._who = who
        self.peak: dict[str, int] = {}

    def sample(self) -> None:
        """Look once; bytes."""
        for name, pid in self._who().items():
            self.peak[name] = max(self.peak.get(name, 0), rss_anon(pid))


def rss_anon(pid: int) -> int:
    """RssAnon of one process in bytes; 0 when it is gone."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += [int(word) for word in (task / "children").read_text().split()]
    return found


def command_line(pid: int) -> str:
    """The command line of a process; "" when it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


class Series:
    """What links carried over time."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.meter.restart()
        self.began = time.monotonic()
        self.points: list[tuple[float, dict[str, int]]] = []

    def sample(self) -> None:
        """One point."""
        self.points.append((time.monotonic() - self.began, self.meter.bytes()))

    def reached(self, link: str, count: int) -> float:
        """Seconds until `link` had carried `count` bytes."""
        return next(moment for moment, carried in self.points if carried[link] >= count)


def random_files(folder: Path, total: int, each: int) -> None:
    """Incompressible files of `each` bytes, `total` in all."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(total // each):
        with (folder / f"part-{number:04}").open("wb") as file:
            for _ in range(each >> 20):
                file.write(os.urandom(1 << 20))
