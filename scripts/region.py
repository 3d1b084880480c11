"""A whole region of real daemons on this machine, for the demo, the benchmarks and the cluster tests.

Rules
- Every daemon is a process of its own, started by its public command line, as a sysadmin would.
- A daemon is ready when it says so (READY=1 at its notify socket), not after a while.
- Whatever was started is stopped: SIGTERM children first, SIGKILL after a deadline; brokers go with their daemons.
- Not even `kill -9` of this process leaves a daemon: the kernel kills what it started.
- Standard library only: the demo measures with this, so it must not lean on Tiercast's code.
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from faultproxy import FaultyLink
from linkbytes import Meter

READY_SECONDS = 60.0
STOP_SECONDS = 20.0


# prctl(PR_SET_PDEATHSIG, SIGKILL), then the daemon itself; a parent that died before the call shows in getppid().
_LAUNCHER = (
    "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,9,0,0,0);"
    "os.getppid()==int(sys.argv[1]) or os._exit(1);os.execv(sys.argv[2],sys.argv[2:])"
)


class RegionError(Exception):
    """A daemon or a command did not do what it must; carries what it printed."""


@contextmanager
def unhurried() -> Iterator[None]:
    """Whoever presses Ctrl-C while everything is being stopped, or twice, still leaves no process behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now, and that the kernel gives to no outgoing connection.

    A daemon listens on it only later, and again after each restart: meanwhile nobody may get it by chance.
    """
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    except OSError:
        first = 32_768
    for _ in range(100):
        port = random.randrange(10_000, first) if first > 12_000 else 0
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise RegionError("no TCP port is free")


@dataclass(slots=True)
class Daemon:
    """One daemon of the region, running or not."""

    name: str
    role: str
    parent: str
    folder: Path
    port: int = 0
    #: Port at which it finds its parent's broker, where that is not the broker's own.
    uplink: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Its control socket."""
        return self.folder / "control.sock"

    @property
    def log(self) -> Path:
        """Where its log lines go."""
        return self.folder.parent / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Its process id; raises when it does not run."""
        if self.process is None:
            raise RegionError(f"{self.name} does not run")
        return self.process.pid


@dataclass(slots=True)
class Region:
    """A server and all below it under one folder.

    Attributes:
        folder: where every daemon keeps its state; short, for the sake of socket paths.
        broker: "embedded", "mosquitto" or "auto", the same for server and gateways.
        python: the interpreter that has Tiercast installed.
        env: further environment of every process (PYTHONPATH in a checkout).
        broker_settings: keys of [broker] that servers and gateways get before their first start.
        join_options: further options of every `join` (--ca FILE).
        patience: what gateways and endpoints get as [parents] patience before their first start ("2s").
    """

    folder: Path
    broker: str = "embedded"
    python: str = sys.executable
    env: dict[str, str] = field(default_factory=dict)
    name: str = "demo"
    broker_settings: dict[str, str] = field(default_factory=dict)
    join_options: tuple[str, ...] = ()
    #: Network namespace and address of daemons that do not run on this machine's own network.
    places: dict[str, tuple[str, str]] = field(default_factory=dict)
    patience: str = ""
    daemons: dict[str, Daemon] = field(default_factory=dict)
    links: list[FaultyLink] = field(default_factory=list)
    #: One thread starts every daemon and lives as long as they: the kernel takes the end of a thread for its parent's.
    _starter: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=1), repr=False)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        with unhurried():
            self.stop()
            for link in self.links:
                link.close()
            self._starter.shutdown()

    # -- building ------------------------------------------------------------------------------------

    def add_server(self, *, database: str = "") -> Daemon:
        """Initialise and start the server; `database` is an address where it is no file."""
        daemon = Daemon("server", "server", "", self.folder / "server", free_port())
        self.daemons["server"] = daemon
        listen = f"{self._host(daemon.name)}:{daemon.port}"
        self.tool(
            "tiercast_server", "init", "--state", str(daemon.folder), "--region", self.name, "--listen", listen,
            "--broker", self.broker, *(("--database", database) if database else ()),
        )  # fmt: skip
        self._set_broker(daemon)
        self.start(daemon)
        return daemon

    def link_to(self, parent: str, *, seed: int = 1) -> FaultyLink:
        """A link to `parent`'s broker that can be made a bad one; for `via` of whom it is to serve."""
        link = FaultyLink(self.daemons[parent].port, seed=seed, python=self.python)
        self.links.append(link)
        return link

    def add_gateway(self, name: str, parent: str = "server", *, via: FaultyLink | None = None) -> Daemon:
        """Invite, join and start a gateway, which then reaches its parent over the link `via`."""
        daemon = Daemon(name, "gateway", parent, self.folder / name, free_port())
        token = self._invite(name, parent, "--gateway")
        listen = f"{self._host(daemon.name)}:{daemon.port}"
        self.tool(
            "tiercast_gateway",
            "join",
            token,
            "--state",
            str(daemon.folder),
            "--listen",
            listen,
            "--broker",
            self.broker,
            *self.join_options,
            at=name,
        )
        self._set_broker(daemon)
        self._set_uplink(daemon, via)
        self._set_patience(daemon)
        self.daemons[name] = daemon
        self.start(daemon)
        return daemon

    def add_endpoint(self, name: str, parent: str = "server", *, via: FaultyLink | None = None) -> Daemon:
        """Invite, join and start an endpoint agent, which then reaches its parent over the link `via`."""
        daemon = Daemon(name, "endpoint", parent, self.folder / name)
        token = self._invite(name, parent)
        self.tool(
            "tiercast_endpoint", "join", token, "--state", str(daemon.folder), "--install-root", str(self.apps(name)),
            *self.join_options, at=name,
        )  # fmt: skip
        self._set_uplink(daemon, via)
        self._set_patience(daemon)
        self.daemons[name] = daemon
        self.start(daemon)
        return daemon

    def add_endpoints(self, names: Sequence[str], parent: str = "server") -> None:
        """Several endpoints below one parent, joining and starting side by side."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(lambda name: self.add_endpoint(name, parent), names))
        for name in names:  # in the order of the names, whoever was first
            self.daemons[name] = self.daemons.pop(name)

    def apps(self, name: str) -> Path:
        """Where endpoint `name` installs."""
        return self.folder / f"{name}-apps"

    def _set_patience(self, daemon: Daemon) -> None:
        file = daemon.folder / f"{daemon.role}.toml"
        if self.patience:
            text = file.read_text("utf-8")
            file.write_text(re.sub(r'(?m)^patience = ".*"$', f'patience = "{self.patience}"', text), "utf-8")

    def _set_broker(self, daemon: Daemon) -> None:
        """Fill the [broker] table of its settings, as a sysadmin would with an editor."""
        file = daemon.folder / f"{daemon.role}.toml"
        head, table, rest = file.read_text("utf-8").partition("[broker]\n")
        for key, value in self.broker_settings.items():
            rest, times = re.subn(rf'(?m)^{key} = ".*"$', lambda _, k=key, v=value: f'{k} = "{v}"', rest, count=1)
            if not times:
                raise RegionError(f"{file.name} has no {key} in [broker]")
        file.chmod(0o600)  # with a password in it, nobody else may read it
        file.write_text(head + table + rest, "utf-8")

    def _set_uplink(self, daemon: Daemon, via: FaultyLink | None) -> None:
        """Write down where it finds its parent from now on: as after a join behind another address."""
        if via is not None:
            file, daemon.uplink = daemon.folder / "enrolled.json", via.port
            kept = json.loads(file.read_text("utf-8"))
            file.write_text(json.dumps({**kept, "url": f"mqtt://127.0.0.1:{via.port}"}), "utf-8")

    def _invite(self, name: str, parent: str, *options: str) -> str:
        below = () if parent == "server" else ("--parent", parent)
        return str(self.cli("node", "invite", name, *below, *options)["token"])

    # -- running -------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """What every process of the region gets."""
        return {**os.environ, "PYTHONUNBUFFERED": "1", **self.env}

    def start(self, daemon: Daemon) -> None:
        """Start `daemon` and wait until it says that it is ready.

        Raises:
            RegionError: it ended, or said nothing for a minute.
        """
        self.launch(daemon)()

    def launch(self, daemon: Daemon) -> Any:
        """Start `daemon`; the returned function waits for its READY."""
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # a name in the file system holds in every network namespace
        address = (self.folder / f"{daemon.name}.ready").absolute()
        address.unlink(missing_ok=True)
        notify.bind(str(address))
        program = [*self._inside(daemon.name), self.python]
        launcher = [self.python, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *program]
        command = [*launcher, "-m", f"tiercast_{daemon.role}", "run", "--state", str(daemon.folder)]
        environment = {**self.environment(), "NOTIFY_SOCKET": str(address)}
        with daemon.log.open("ab") as log:
            # away from this terminal: Ctrl-C is for us, who then stop them one after the other
            started = self._starter.submit(
                subprocess.Popen,
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
            daemon.process = started.result()

        def wait() -> None:
            deadline = time.monotonic() + READY_SECONDS
            with notify:
                while True:
                    ready, _, _ = select.select([notify], [], [], 0.2)
                    # A broker started by it may say READY too, without whose.
                    if ready and b"READY=1\nMAINPID=" in notify.recv(4096):
                        return
                    if daemon.process is not None and daemon.process.poll() is not None:
                        raise RegionError(f"{daemon.name} ended with {daemon.process.returncode}:\n{tail(daemon.log)}")
                    if time.monotonic() > deadline:
                        raise RegionError(
                            f"{daemon.name} is not ready after {READY_SECONDS:.0f} s:\n{tail(daemon.log)}"
                        )

        return wait

    def kill(self, name: str, signum: int = signal.SIGKILL) -> None:
        """Send a signal to a daemon; SIGKILL and SIGTERM wait until it is gone."""
        process = self.daemons[name].process
        if process is not None:
            process.send_signal(signum)
            if signum in {signal.SIGKILL, signal.SIGTERM}:
                process.wait(STOP_SECONDS)

    def restart(self, name: str) -> None:
        """Start a daemon again that was killed."""
        self.start(self.daemons[name])

    def stop(self) -> dict[str, int]:
        """Stop everything, endpoints first; gives each daemon's exit code (-9 when it had to be killed)."""
        codes: dict[str, int] = {}
        order = sorted(self.daemons.values(), key=lambda d: ("endpoint", "gateway", "server").index(d.role))
        for role in ("endpoint", "gateway", "server"):
            batch = [d for d in order if d.role == role and d.process is not None]
            for daemon in batch:
                with suppress(ProcessLookupError):
                    daemon.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]
                    daemon.process.terminate()  # type: ignore[union-attr]
            for daemon in batch:
                process = daemon.process
                if process is None:
                    continue
                try:
                    codes[daemon.name] = process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    codes[daemon.name] = process.wait()
                daemon.process = None
        return codes

    # -- talking -------------------------------------------------------------------------------------

    def _host(self, name: str) -> str:
        return self.places.get(name, ("", "127.0.0.1"))[1]

    def _inside(self, name: str) -> list[str]:
        """What runs a program where the daemon `name` runs; an absolute path first."""
        space = self.places.get(name, ("", ""))[0]
        return [str(shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin")), "netns", "exec", space] if space else []

    def tool(self, module: str, *args: str, check: bool = True, at: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command line of Tiercast to its end, where the daemon `at` runs.

        Raises:
            RegionError: it failed and `check` is set.
        """
        done = self.finish(module, args, at)
        if check and done.returncode != 0:
            words = " ".join(word if len(word) < 60 else word[:40] + "..." for word in args)
            raise RegionError(f"{module} {words}: exit {done.returncode}\n{done.stderr or done.stdout}")
        return done

    def finish(self, module: str, args: Sequence[str], at: str) -> subprocess.CompletedProcess[str]:
        """Run a command line to its end, whatever that is."""
        command = [*self._inside(at), self.python, "-m", module, *args]
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)

    def cli(self, *args: str, at: str = "server", check: bool = True) -> dict[str, Any]:
        """Run `tiercast ... --json` against a daemon's socket; its answer."""
        socket_path = str(self.daemons[at].socket)
        done = self.tool("tiercast_cli", "--socket", socket_path, *args, "--json", check=check)
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else {}
        return answer

    def show(self, *args: str) -> int:
        """Run `tiercast ...` for people, on this terminal; its exit code."""
        command = [self.python, "-m", "tiercast_cli", "--socket", str(self.daemons["server"].socket), *args]
        return subprocess.run(command, env=self.environment(), check=False).returncode

    def meter(self) -> Meter:
        """A meter of every link of the region as it runs now, named "parent -> child"."""
        links = {
            f"{d.parent} -> {d.name}": (d.pid, d.uplink or self.daemons[d.parent].port)
            for d in self.daemons.values()
            if d.parent and d.process is not None
        }
        return Meter(links)


def tail(path: Path, lines: int = 25) -> str:
    """The last lines of a log, for an error message."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"
