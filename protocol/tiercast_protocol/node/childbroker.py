"""A broker as our child process: mosquitto or the embedded one.

Rules
- It serves when a real CONNECT with our own, fresh login got through on each of its listeners.
- `run()` starts it again when it died, or when it did not answer two checks in a row.
- The owner talks over a UNIX socket where that works: faster, and no byte of ours on the children's port.
- A port that was chosen once stays over restarts, for children know it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import structlog

import tiercast_mqtt
from tiercast_mqtt.password import hash_password
from tiercast_protocol.errors import BrokerLost, UsageError
from tiercast_protocol.node import access, mosquitto
from tiercast_protocol.node.address import Address
from tiercast_protocol.node.broker import Broker, BrokerConfig, connect_once, free_port, split_listen, write_private
from tiercast_protocol.node.child import Child
from tiercast_protocol.node.metrics import METRICS
from tiercast_protocol.node.places import socket_path
from tiercast_protocol.node.retry import Login, Pauses

log = structlog.get_logger()

START_DEADLINE = 15.0
CHECK_EVERY, CHECK_DEADLINE = 15.0, 10.0
#: A child's window of bulk bytes fits into the queue of an embedded broker twice.
EMBEDDED_LIMITS = {"queue_bytes": 16 << 20}
_QUIET = (
    "does not contain '%c' or '%u'",
    "Reloading config",
    "Opening ipv",
    "Opening unix",
    "mosquitto version",
    '"listening"',
    "should not be run as root",
    "Unable to set TCP_NODELAY",  # it says so of each UNIX socket
)
_STARTS = 5
#: Seconds of one CONNECT while starting: at a port that is taken, somebody may listen who never answers.
_TRY = 1.5
_MISSED = 2

_restarts = METRICS.counter("broker_restarts_total", "times that our broker was started again after it had died")


class ChildBroker(Broker):
    """Started by `start`, ended by `stop`; whoever opened it does both."""

    def __init__(
        self,
        kind: str,
        config: BrokerConfig,
        folder: Path,
        login: Login,
        *,
        check_every: float = CHECK_EVERY,
        check_deadline: float = CHECK_DEADLINE,
    ) -> None:
        super().__init__("", "", login, folder)
        self.kind = kind
        self._config = config
        self._host, self._port = config.listens
        self._owner_hash = hash_password(login[1])
        self._users: dict[str, str] = {}
        self._child: Child | None = None
        self._check_every, self._check_deadline = check_every, check_deadline
        self._path = str(socket_path(folder, "broker.sock"))

    async def start(self) -> None:
        """Start it and see it serve.  Raises UsageError (can't work) or BrokerLost (does not)."""
        fixed = bool(self._port)
        for attempt in range(_STARTS):
            port = self._port if fixed else free_port(self._host)
            try:
                await self._start(port)
            except BrokerLost:
                await self.stop()
                if attempt == _STARTS - 1 or (fixed and attempt):
                    raise
                # a mosquitto built without UNIX sockets ends at once; the port then serves us too
                self._path = self._path if not fixed and not attempt else ""
                continue
            self._port = port
            return

    async def stop(self) -> None:
        """End the process."""
        if self._child is not None:
            await self._child.end()
        self._child, self.pid = None, None

    async def set_users(self, users: Mapping[str, str]) -> None:
        """Let exactly `users` (name to $7$ hash) in, and the owner; sessions of others end.  Raises UsageError."""
        self._users = dict(users)
        self._write_users()
        if self._child is not None:
            self._child.signal(signal.SIGHUP)

    async def run(self) -> None:
        """Start it again whenever it died or does not answer, until cancelled."""
        pauses = Pauses()
        while True:
            if self._child is not None:
                reason = await self._until_dead(self._child)
                log.error("broker died", kind=self.kind, pid=self.pid, reason=reason)
                await self.stop()
                await asyncio.sleep(pauses.next())
            try:
                await self.start()
            except (BrokerLost, UsageError) as error:
                log.error("broker does not start", kind=self.kind, error=str(error))  # noqa: TRY400 - told whole
                await asyncio.sleep(pauses.next())
                continue
            _restarts.add()
            log.info("broker started again", kind=self.kind, pid=self.pid)

    async def _until_dead(self, child: Child) -> str:
        missed = 0
        while missed < _MISSED:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._check_every):
                    return f"exit {await child.wait()}"
            try:
                await connect_once(self.url, self.owner_login, self._check_deadline)
                missed = 0
            except ConnectionError as error:
                missed += 1
                log.warning("broker does not answer", kind=self.kind, error=str(error))
        child.signal(signal.SIGKILL)  # asked to end, it might first hand out what has gathered
        return f"it did not answer, exit {await child.wait()}"

    async def _start(self, port: int) -> None:
        command, environment = self._prepare(port)
        self._child = child = await Child.start(command, name=self.kind, environment=environment, quiet=_QUIET)
        tls = bool(self._config.cert)
        tcp = Address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host), port, tls=tls)  # noqa: S104 - compared
        wanted = [f"unix://{self._path}"] if self._path else []
        # a TLS port may ask for a certificate that only children have: there the UNIX socket speaks for both
        wanted += [] if tls and wanted else [str(tcp)]
        error: Exception | None = None
        try:
            async with asyncio.timeout(START_DEADLINE):
                for url in wanted:
                    while True:
                        try:
                            await connect_once(url, self.owner_login, _TRY)
                            break
                        except ConnectionError as failed:
                            error = failed
                        if not child.alive:
                            raise BrokerLost(
                                str(tcp), f"{self.kind} ended with {child.returncode} (is the port taken?)"
                            )
                        with suppress(TimeoutError):
                            async with asyncio.timeout(0.03):
                                await child.wait()
        except TimeoutError as late:
            raise BrokerLost(str(tcp), f"{self.kind} does not serve: {error}") from late
        self.pid, self.url = child.pid, wanted[0]
        self.children_url = str(tcp)
        if self._config.advertise:
            host, outer = split_listen(self._config.advertise)
            self.children_url = str(Address(host, outer or port, tls=tls))

    def _prepare(self, port: int) -> tuple[list[str], dict[str, str]]:
        self._write_users()
        if self._path:
            Path(self._path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            Path(self._path).unlink(missing_ok=True)
        return self._prepare_mosquitto(port) if self.kind == "mosquitto" else self._prepare_embedded(port)

    def _prepare_mosquitto(self, port: int) -> tuple[list[str], dict[str, str]]:
        config, program = self._config, mosquitto.find()
        if program is None:
            raise UsageError(
                code="broker.mosquitto",
                what="mosquitto is not installed",
                where="broker.mode",
                todo='Install it (apt install mosquitto), or set broker.mode to "embedded".',
            )
        listeners = [mosquitto.Listener(self._host, port, "", config.cert, config.key or config.cert, config.ca)]
        if self._path:
            listeners.append(mosquitto.Listener(path=self._path))
        file = self._folder / "mosquitto.conf"
        text = mosquitto.render(listeners, users=self._folder / "users", acl=self._folder / "acl")
        write_private(file, text)
        # larger thresholds keep glibc from giving each frame's memory back and asking for it again
        return [program, "-c", str(file)], {"MALLOC_TRIM_THRESHOLD_": "16777216", "MALLOC_MMAP_THRESHOLD_": "4194304"}

    def _prepare_embedded(self, port: int) -> tuple[list[str], dict[str, str]]:
        config = self._config
        port_of_children: dict[str, object] = {"host": self._host, "port": port}
        if config.cert:
            port_of_children["tls"] = {"cert": config.cert, "key": config.key or config.cert, "ca": config.ca or None}
        listen = [port_of_children]
        if self._path:
            listen.append({"path": self._path})
        settings = {
            "listen": listen,
            "users_file": str(self._folder / "users"),
            "acl_file": str(self._folder / "acl"),
            # else a node could take the client ids of others, and keep them out
            "client_id_is_username": True,
            "limits": EMBEDDED_LIMITS,
        }
        file = self._folder / "embedded.json"
        write_private(file, json.dumps(settings, indent=1) + "\n")
        # found where we found it, also in a checkout that is not installed
        root = str(Path(tiercast_mqtt.__file__).parent.parent)
        pythonpath = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        return [sys.executable, "-m", "tiercast_mqtt", "--config", str(file)], {"PYTHONPATH": pythonpath}

    def _write_users(self) -> None:
        # One hash for the owner's whole life: another salt would look like another password and end his sessions.
        text = access.render_users({**self._users, self.owner_login[0]: self._owner_hash})
        write_private(self._folder / "users", text)
