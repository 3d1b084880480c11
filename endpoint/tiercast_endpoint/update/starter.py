"""Starts the agent: the version that its package installed, as long as that is good (docs/agent.md, "Its own update").

    python -m tiercast_endpoint.update.starter run --state DIR

Rules
- Standard library and trial.py only: it must work when the installed version does not even start.
- What is decided is written and synced before the start; then this process becomes the agent, so that a service manager
  sees one process.
- While a version is on trial a small process watches it and ends it when it has had its time; it looks first whether
  any parent listens at all.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tiercast_endpoint.update import trial

FILE = "agent-version.json"
#: Names the tree that runs, the command line that starts the right one again, and PYTHONPATH as it was without a tree.
TREE, AGAIN, BEFORE = "TIERCAST_AGENT_TREE", "TIERCAST_AGENT_START", "TIERCAST_AGENT_BEFORE"
_TREE = re.compile(r"\.trees/(?P<name>[A-Za-z0-9][A-Za-z0-9._+-]*)/[0-9a-f]{16}(-[0-9]+)?\Z")
_LOOK_S, _END_S, _CONNECT_S = 5.0, 20.0, 3.0
_SETTING = re.compile(r'(?m)^(install_root|agent_package|agent_trial) = "([^"\n]*)"')


def main(words: Sequence[str] | None = None) -> None:
    """Become the agent with this command line."""
    args = list(sys.argv[1:] if words is None else words)
    state = state_folder(args) or _usual_state()
    said = settings(state)
    root = Path(said.get("install_root") or "/nonexistent")
    file = state / FILE
    try:
        record, tree = trial.start(
            load(file), installed(root, said.get("agent_package") or "tiercast-agent"), _now(), trial_ms=trial_ms(said)
        )
        save(file, record)
    except OSError as error:
        # A disk that is full, or not ours: the agent itself says what is wrong with its folder.
        sys.stderr.write(f"starter: {error}\n")
        record, tree = trial.Record(), ""
    if record.trial and tree == record.trial:
        _watch(state, trial_ms(said))
    environment = {**os.environ, TREE: tree, AGAIN: json.dumps([sys.executable, *sys.orig_argv[1:]])}
    before = environment[BEFORE] = environment.get("PYTHONPATH", "")
    if tree:
        environment["PYTHONPATH"] = os.pathsep.join([str(root / tree / "lib"), *([before] if before else [])])
    # the same interpreter with our own words, no shell
    os.execve(sys.executable, [sys.executable, "-m", "tiercast_endpoint", *args], environment)  # noqa: S606


def state_folder(args: Sequence[str]) -> Path | None:
    """The folder that a command line names after `--state`, if it does; all other words are left to the agent."""
    for at, word in enumerate(args):
        if word == "--state" and at + 1 < len(args):
            return Path(args[at + 1])
        if word.startswith("--state="):
            return Path(word.removeprefix("--state="))
    return None


def load(file: Path) -> trial.Record:
    """What is remembered."""
    try:
        return trial.read(file.read_text("utf-8"))
    except FileNotFoundError:
        return trial.Record()


def save(file: Path, record: trial.Record) -> None:
    """Remember it, whole and synced."""
    beside = file.with_name(f"{file.name}.{os.getpid()}.new")
    with beside.open("w", encoding="utf-8") as handle:
        handle.write(trial.write(record))
        handle.flush()
        os.fsync(handle.fileno())
    beside.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def installed(root: Path, package: str) -> str:
    """The tree that the package's name leads to; "" where it is not installed, or no tree of an agent."""
    try:
        target = str((root / package).readlink())
    except OSError:
        return ""
    found = _TREE.match(target)
    whole = found is not None and found["name"] == package
    return target if whole and (root / target / "lib" / "tiercast_endpoint").is_dir() else ""


def settings(state: Path, file: str = "endpoint.toml") -> dict[str, str]:
    """The few settings that are needed, read plainly: the file's own reader is the agent's."""
    try:
        return dict(_SETTING.findall((state / file).read_text("utf-8")))
    except (OSError, UnicodeDecodeError):
        return {}


def trial_ms(said: dict[str, str]) -> int:
    """The time of a trial: "10min", "90s"."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(s|min|h)", said.get("agent_trial", ""))
    seconds = {"s": 1, "min": 60, "h": 3600}
    return int(float(found[1]) * seconds[found[2]] * 1000) if found else trial.TRIAL_MS


def parents(state: Path) -> list[tuple[str, int]]:
    """Host and port of every parent that the agent may go to, as far as its files say."""
    found: list[tuple[str, int]] = []
    for name in ("enrolled.json", "parents.json"):
        with suppress(OSError):
            for url in re.findall(r'"url": *"([^"]+)"', (state / name).read_text("utf-8")):
                with suppress(ValueError):
                    parts = urlsplit(url)
                    if parts.hostname:
                        found.append((parts.hostname, parts.port or (8883 if parts.scheme == "mqtts" else 1883)))
    return list(dict.fromkeys(found))


def anybody_listens(places: Sequence[tuple[str, int]]) -> bool:
    """Whether any of them takes a connection; with none known nobody is waited for."""
    for place in places:
        with suppress(OSError), socket.create_connection(place, timeout=_CONNECT_S):
            return True
    return not places


def _watch(state: Path, limit_ms: int) -> None:
    """Leave a child behind that ends this process when the trial is over and nothing was reached."""
    agent = os.getpid()
    if os.fork():
        return
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        while os.getppid() == agent:
            time.sleep(min(_LOOK_S, limit_ms / 4000))
            record = load(state / FILE)
            if not record.trial:
                break
            if _now() - record.since < limit_ms:
                continue
            if not anybody_listens(parents(state)):
                save(state / FILE, trial.waited(record, _now()))
                continue
            save(state / FILE, trial.late(record, limit_ms))
            _end(agent)
            break
    finally:
        os._exit(0)


def _end(agent: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if os.getppid() == agent:
            os.kill(agent, number)
        ends = time.monotonic() + _END_S
        while os.getppid() == agent and time.monotonic() < ends:
            time.sleep(0.1)


def _usual_state() -> Path:
    home = os.environ.get("TIERCAST_HOME") or "/var/lib/tiercast"
    return Path(os.environ.get("TIERCAST_ENDPOINT_STATE") or Path(home) / "endpoint")


def _now() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main()
