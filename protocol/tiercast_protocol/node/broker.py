"""What every broker of ours has: its settings, where it is, who we are at it.

Rules
- Users are the only thing that changes while a broker runs.
- A CONNECT with our own login is the only proof that a broker serves.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from tiercast_mqtt.bulk import BulkClient
from tiercast_mqtt.password import hash_password, verify_password
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node import access
from tiercast_protocol.node.address import TlsFiles, absolute, parse_address
from tiercast_protocol.node.config import Secret, setting
from tiercast_protocol.node.retry import Login

log = structlog.get_logger()

_LAST_PORT = 65_535
#: Below it stand the ports of well-known services.
_LOWEST_PORT = 10_000


def split_listen(text: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT", "[HOST]:PORT" or "HOST" (port 0).  Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = text, "0"
    if (not colon and text.isdecimal()) or not port.isdecimal() or int(port) > _LAST_PORT or not host:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def check_options(mode: str, listen: str, advertise: str) -> None:
    """Check what was typed after --broker, --listen and --advertise; "" is left out.

    Raises:
        UsageError: option.invalid, naming the option.
    """
    address = "HOST:PORT, such as 0.0.0.0:1883"
    for option, text, wanted in (
        ("--broker", mode, _check_mode(mode)),
        ("--listen", listen, _check_listen(listen) and address),
        ("--advertise", advertise, _check_listen(advertise) and address),
    ):
        if wanted:
            raise UsageError("option.invalid", f"{text!r} is not right", option, f"Write {wanted}. Nothing was done.")


def _check_mode(mode: str) -> str | None:
    if mode in {"auto", "mosquitto", "embedded"}:
        return None
    with suppress(UsageError):
        if parse_address(mode).path is None:
            return None
    return '"auto", "mosquitto", "embedded", mqtt://HOST:PORT or mqtts://HOST:PORT'


def _check_user(user: str) -> str | None:
    return None if user.isprintable() and user == user.strip() and ":" not in user else "a name without a colon"


def _check_listen(listen: str) -> str | None:
    try:
        split_listen(listen)
    except ValueError:
        return "HOST:PORT" if listen else None
    return None


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """The settings of a daemon's broker."""

    mode: str = setting(
        "auto",
        doc='"auto" (mosquitto where it is installed, else embedded), "mosquitto", "embedded",\n'
        "or the address of a broker that you run: mqtt://HOST:PORT, mqtts://HOST:PORT.",
        check=_check_mode,
    )
    listen: str = setting(
        "127.0.0.1:0",
        doc="HOST:PORT where our own broker listens for children; port 0 takes a free one at each start.",
        check=_check_listen,
    )
    advertise: str = setting(
        "", doc="HOST:PORT by which children reach it, when that differs (NAT, a name).", check=_check_listen
    )
    cert: str = setting(
        "",
        doc="PEM file with a certificate: our broker then speaks TLS; or what to show to yours.",
        check=absolute,
    )
    key: str = setting("", doc="PEM file with the certificate's key.", check=absolute)
    ca: str = setting(
        "",
        doc="PEM file: our broker asks children for certificates of it; or what to trust of yours.",
        check=absolute,
    )
    user: str = setting("", doc='Login at a broker that you run; "" is this node\'s name.', check=_check_user)
    password: Secret = setting(Secret(""), doc="Its password.")

    @property
    def tls(self) -> TlsFiles:
        """The three files together."""
        return TlsFiles(self.ca, self.cert, self.key)

    @property
    def listens(self) -> tuple[str, int]:
        """Host and port of `listen`."""
        return split_listen(self.listen)


class Broker:
    """A broker while it is open.

    Attributes:
        kind: mosquitto, embedded or external.
        pid: of the child process; None for an external one.
        url: where the owner connects.
        children_url: what tokens carry.
        owner_login: our user and password.
        tls: what the owner's links use for `url`.
    """

    kind = "external"
    pid: int | None = None

    def __init__(self, url: str, children_url: str, login: Login, folder: Path, tls: TlsFiles | None = None) -> None:
        self.url = url
        self.children_url = children_url
        self.owner_login = login
        self.tls = tls or TlsFiles()
        self._folder = folder

    async def set_users(self, users: Mapping[str, str]) -> None:
        """Let exactly `users` (name to $7$ hash) in, and the owner; sessions of others end.

        With an external broker the files are written for its administrator, who has to install them.
        """
        file = self._folder / "users"
        before = read_users(file)
        after = dict(users)
        user, password = self.owner_login
        if after.pop(user, None) is not None:
            log.error("a node is called as our login at the broker and can't come in", node=user)
        if password and access.valid_user(user):
            known = before.get(user, "")
            # another salt would look like another password and end our sessions at the next reload
            after[user] = known if known and verify_password(password, known) else hash_password(password)
        if after != before or not file.exists():
            write_private(file, access.render_users(after))
            log.warning("bring the files to the broker and reload it", users=str(file), acl=str(self._folder / "acl"))

    async def run(self) -> None:
        """Watch over it until cancelled."""
        await asyncio.Event().wait()


async def connect_once(url: str, login: Login, deadline: float, tls: TlsFiles | None = None) -> None:
    """Connect and leave again.  Raises ConnectionError (refused: with `.code`)."""
    address = parse_address(url)
    client = await BulkClient.connect(
        host=address.host,
        port=address.port,
        path=address.path,
        client_id=f"{login[0]}:check-{secrets.token_hex(4)}",
        username=login[0],
        password=login[1],
        tls=(tls or TlsFiles()).context(url),
        keepalive=30,
        on_message=lambda _topic, _payload: None,
        on_lost=lambda _error: None,
        timeout=deadline,
    )
    await client.close()


def read_users(path: Path) -> dict[str, str]:
    """Name to hash of a users file of ours; empty when there is none."""
    with suppress(FileNotFoundError):
        return dict(line.split(":", 1) for line in path.read_text("utf-8").splitlines() if ":" in line)
    return {}


def free_port(host: str) -> int:
    """A port that is free at `host` now; who takes it first has it.  Raises UsageError: no address of ours.

    One that the kernel gives to no outgoing connection, if there is: whoever listens on it does so later, and again
    after every restart, and meanwhile a connection that leaves this machine would have it by chance.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    except OSError:
        first = 0
    tries = [_LOWEST_PORT + secrets.randbelow(first - _LOWEST_PORT) for _ in range(20)] if first > _LOWEST_PORT else []
    for wanted in (*tries, 0):
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            try:
                sock.bind((host, wanted))
            except OSError as error:
                if error.errno == errno.EADDRINUSE and wanted:
                    continue
                raise UsageError(
                    code="broker.listen",
                    what=f"This machine can't listen at {host}: {error.strerror}",
                    where="broker.listen",
                    todo="Name an address of this machine, or 0.0.0.0 for all of them.",
                ) from error
            port: int = sock.getsockname()[1]
            return port
    raise AssertionError("port 0 is always an answer")


def write_private(path: Path, text: str) -> None:
    """Write a broker's file whole or not at all, mode 0600.  Made anew at each start, so not synced."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    beside.replace(path)
