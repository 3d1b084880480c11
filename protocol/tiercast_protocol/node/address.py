"""The address of a broker: `mqtt://host[:port]`, `mqtts://host[:port]` or `unix:///path`.

Rules
- An address never carries a login; that stands in its own settings, so that it never reaches a log.
- Plain passwords go only where the address says mqtt:// or unix://; mqtts:// always checks the certificate.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from tiercast_protocol.errors import UsageError

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens: `path` of a UNIX socket, or `host` and `port`."""

    host: str | None
    port: int | None
    path: str | None = None
    tls: bool = False

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in (self.host or "") else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What to trust, and what to show: paths of PEM files; "" is the system's authorities, and nothing to show."""

    ca: str = ""
    cert: str = ""
    key: str = ""

    def context(self, address: str) -> ssl.SSLContext | None:
        """The client's TLS context for `address`; None when it needs none.  Raises UsageError."""
        if not parse_address(address).tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.cert:
                context.load_cert_chain(self.cert, self.key or None)
        except OSError as error:
            raise UsageError(
                code="broker.tls",
                what=f"The TLS files for {address} can't be used: {error.strerror or error}",
                where=", ".join(filter(None, (self.ca, self.cert, self.key))),
                todo="Give PEM files that this user can read, and the key that belongs to the certificate.",
            ) from error
        return context


def parse_address(text: str) -> Address:
    """The address that `text` stands for.  Raises UsageError (code "broker.address")."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _wrong(text) from error
    if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return Address(None, None, parts.path)
    if parts.scheme in _PORTS and parts.hostname and parts.path in {"", "/"} and "@" not in parts.netloc:
        return Address(parts.hostname, port or _PORTS[parts.scheme], tls=parts.scheme == "mqtts")
    raise _wrong(text)


def _wrong(text: str) -> UsageError:
    shown = text if "@" not in text else text.rpartition("@")[2]
    return UsageError(
        code="broker.address",
        what=f'"{shown}" is not the address of a broker.',
        todo="Write mqtt://HOST:PORT, mqtts://HOST:PORT or unix:///PATH; user and password are settings of their own.",
    )
