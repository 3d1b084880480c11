"""The embedded broker's configuration file (JSON), and the users and access files it names.

Rules
- All mistakes of the configuration come in one `SettingsError`, each with its key and what was expected.
- Relative paths are relative to the folder of the configuration file.
- Users and access files are read whole or not at all.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiercast_mqtt.acl import Acl, allow_everything, parse_acl
from tiercast_mqtt.auth import Authenticator
from tiercast_mqtt.errors import MqttError
from tiercast_mqtt.limits import Limits, parse_limits
from tiercast_mqtt.password import parse_users

_LAST_PORT = 65_535


class SettingsError(MqttError):
    """What is wrong with the configuration: one line per mistake."""

    def __init__(self, where: str, mistakes: list[str]) -> None:
        super().__init__(where, mistakes)
        self.where = where
        self.mistakes = mistakes

    def __str__(self) -> str:
        return "\n".join([f"{self.where}:", *(f"  {mistake}" for mistake in self.mistakes)])


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS of a listener.  With `ca`, clients must show a certificate of it; with `certificate_names`, it names them."""

    cert: Path
    key: Path
    ca: Path | None = None
    certificate_names: bool = False

    def context(self) -> ssl.SSLContext:
        """A server's context.  Raises OSError or ssl.SSLError for files that cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.cert, self.key)
        if self.ca is not None:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen: `host` and `port` (0: any free one), or the UNIX socket `path`."""

    host: str = "127.0.0.1"
    port: int = 0
    path: Path | None = None
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a broker is told."""

    listen: tuple[Listener, ...]
    users_file: Path | None = None
    acl_file: Path | None = None
    allow_anonymous: bool = False
    client_id_is_username: bool = False
    sys_interval_s: float = 10.0
    limits: Limits = field(default_factory=Limits)

    def read_access(self) -> tuple[Authenticator, Acl]:
        """Users and access as the files say now.  Raises SettingsError."""
        users: dict[str, str] = {}
        acl = allow_everything()
        where = self.users_file
        try:
            if where is not None:
                users = parse_users(where.read_text().splitlines())
            where = self.acl_file
            if where is not None:
                acl = parse_acl(where.read_text().splitlines())
        except (OSError, ValueError) as error:
            raise SettingsError(str(where), [str(error)]) from error
        return Authenticator(users, self.allow_anonymous), acl


def read_settings(path: Path) -> Settings:
    """The configuration file at `path`.  Raises SettingsError."""
    try:
        given = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(str(path), [str(error)]) from error
    if not isinstance(given, dict):
        raise SettingsError(str(path), ["expected a JSON object"])
    mistakes: list[str] = []
    settings = _parse(given, path.absolute().parent, mistakes)
    if mistakes:
        raise SettingsError(str(path), mistakes)
    return settings


def _parse(given: Mapping[str, object], folder: Path, mistakes: list[str]) -> Settings:
    known = {field_ for field_ in Settings.__dataclass_fields__ if field_ != "limits"} | {"limits"}
    mistakes += [f"{key}: unknown; known are {', '.join(sorted(known))}" for key in given if key not in known]
    listen = given.get("listen")
    if not isinstance(listen, list) or not listen:
        mistakes.append('listen: expected a list of {"host", "port", "tls"} or {"path"}')
        listen = []
    raw_limits = given.get("limits", {})
    if not isinstance(raw_limits, dict):
        mistakes.append("limits: expected an object")
        raw_limits = {}
    limits, wrong = parse_limits(raw_limits)
    mistakes += wrong
    interval = given.get("sys_interval_s", 10.0)
    if isinstance(interval, bool) or not isinstance(interval, int | float) or interval <= 0:
        mistakes.append("sys_interval_s: expected seconds above 0")
        interval = 10.0
    return Settings(
        listen=tuple(_listener(one, folder, f"listen[{index}]", mistakes) for index, one in enumerate(listen)),
        users_file=_path(given, "users_file", folder, "users_file", mistakes),
        acl_file=_path(given, "acl_file", folder, "acl_file", mistakes),
        allow_anonymous=_flag(given, "allow_anonymous", "allow_anonymous", mistakes),
        client_id_is_username=_flag(given, "client_id_is_username", "client_id_is_username", mistakes),
        sys_interval_s=float(interval),
        limits=limits,
    )


def _listener(given: object, folder: Path, key: str, mistakes: list[str]) -> Listener:
    if not isinstance(given, dict):
        mistakes.append(f"{key}: expected an object")
        return Listener()
    mistakes += [
        f"{key}.{name}: unknown; known are host, port, path, tls"
        for name in given
        if name not in {"host", "port", "path", "tls"}
    ]
    path = _path(given, "path", folder, f"{key}.path", mistakes)
    if path is not None:
        if len(given) > 1:
            mistakes.append(f"{key}: path stands alone, without host, port and tls")
        return Listener(path=path)
    host, port = given.get("host", "127.0.0.1"), given.get("port", 0)
    if not isinstance(host, str) or not host:
        mistakes.append(f"{key}.host: expected a name or address")
        host = ""
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= _LAST_PORT:
        mistakes.append(f"{key}.port: expected 0 to {_LAST_PORT}")
        port = 0
    return Listener(host, port, tls=_tls(given.get("tls"), folder, f"{key}.tls", mistakes))


def _tls(given: object, folder: Path, key: str, mistakes: list[str]) -> Tls | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        mistakes.append(f"{key}: expected an object with cert and key")
        return None
    names = {"cert", "key", "ca", "certificate_names"}
    mistakes += [f"{key}.{name}: unknown; known are {', '.join(sorted(names))}" for name in given if name not in names]
    cert, private, ca = (_path(given, name, folder, f"{key}.{name}", mistakes) for name in ("cert", "key", "ca"))
    by_certificate = _flag(given, "certificate_names", f"{key}.certificate_names", mistakes)
    if cert is None or private is None:
        mistakes.append(f"{key}: expected cert and key")
        return None
    if by_certificate and ca is None:
        mistakes.append(f"{key}.certificate_names: expected ca beside it, else no certificate is verified")
    return Tls(cert, private, ca, by_certificate)


def _path(given: Mapping[str, object], name: str, folder: Path, key: str, mistakes: list[str]) -> Path | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value:
        mistakes.append(f"{key}: expected a path")
        return None
    return folder / value


def _flag(given: Mapping[str, object], name: str, key: str, mistakes: list[str]) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        mistakes.append(f"{key}: expected true or false")
        return False
    return value
