"""The address of a broker: `mqtt://host[:port]`, `mqtts://host[:port]` or `unix:///path`.

Rules
- An address never carries a login; that stands in its own settings, so that it never reaches a log.
- Plain passwords go only where the address says mqtt:// or unix://; mqtts:// always checks the certificate.
- Files are named from the root: a daemon's working folder is nobody's business.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.config import setting

_PORTS = {"mqtt": 1883, "mqtts": 8883}
#: How a broker says that it wants another certificate of ours, or one at all.
_WANTED = ("CERTIFICATE REQUIRED", "UNKNOWN CA", "BAD CERTIFICATE")


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


def absolute(path: str) -> str | None:
    """What was expected instead of `path`, for `setting(check=...)`."""
    return None if not path or Path(path).is_absolute() else "an absolute path"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a client trusts, and what it shows: also a table of settings."""

    ca: str = setting("", doc='PEM file of the authorities to trust; "" is the system\'s.', check=absolute)
    cert: str = setting("", doc='PEM file of a certificate to show; "" shows none.', check=absolute)
    key: str = setting("", doc="PEM file of that certificate's key.", check=absolute)

    @classmethod
    def of(cls, ca: Path | None, cert: Path | None, key: Path | None) -> TlsFiles:
        """Of what was typed, which may be seen from the working folder."""
        return cls(*("" if path is None else str(path.absolute()) for path in (ca, cert, key)))

    def context(self, address: str) -> ssl.SSLContext | None:
        """The client's TLS context for `address`; None when it needs none.  Raises UsageError."""
        if not parse_address(address).tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.cert:
                context.load_cert_chain(self.cert, self.key or None, _no_password)
        except (OSError, ValueError) as error:
            raise self._unusable(address, error) from error
        return context

    def check_served(self, where: str) -> None:
        """Check that our own broker can listen with them: `cert` and `key` to show, `ca` to ask children for.

        Raises:
            UsageError: broker.tls.
        """
        if not self.cert and (self.ca or self.key):
            raise UsageError(
                code="broker.tls",
                what="`ca` or `key` is set and `cert` is not: our own broker would speak without TLS.",
                where=where,
                todo="Set `cert` and `key` to listen with TLS, or leave all three empty.",
            )
        if not self.cert:
            return
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.cert, self.key or None, _no_password)
            if self.ca:
                context.load_verify_locations(self.ca)
        except (OSError, ValueError) as error:
            raise self._unusable(where, error) from error

    def _unusable(self, what_for: str, error: Exception) -> UsageError:
        reason = error.strerror if isinstance(error, OSError) else ""
        return UsageError(
            code="broker.tls",
            what=f"The TLS files for {what_for} can't be used: {reason or error}",
            where=", ".join(filter(None, (self.ca, self.cert, self.key))),
            todo="Give PEM files that this user can read, and the key that belongs to the certificate, unencrypted.",
        )


def _no_password() -> str:
    raise ValueError("the key is encrypted")  # else OpenSSL asks at the terminal


def check_trust(error: BaseException | None, url: str, where: str = "") -> None:
    """Raise what a person understands when `error` comes of a certificate that is not accepted; else nothing.

    Args:
        error: of a failed connect.
        url: of the broker.
        where: the table of settings that names the files; "" stands for the options of a command.

    Raises:
        UsageError: broker.certificate: the broker's; broker.certificate-wanted: ours.
    """
    ca, own = (f"`ca` of {where}", f"`cert` and `key` of {where}") if where else ("--ca FILE", "--cert FILE --key FILE")
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            raise UsageError(
                code="broker.certificate",
                what=f"The broker's certificate is not accepted: {getattr(error, 'verify_message', '') or error}.",
                where=url,
                todo=f"Name the file of the authority that signed it with {ca}; it must be valid, and for this host.",
            ) from error
        if isinstance(error, ssl.SSLError) and any(word in str(error).upper().replace("_", " ") for word in _WANTED):
            raise UsageError(
                code="broker.certificate-wanted",
                what="The broker takes only who shows a certificate that it knows.",
                where=url,
                todo=f"Name yours with {own}; its administrator says which authority signs them.",
            ) from error
        error = error.__cause__ or error.__context__


def what_to_look_at(url: str, shown: TlsFiles) -> str:
    """Advice for who does not reach the broker at `url`, where they showed these files."""
    advice = "Look whether it runs, and whether this machine may connect to that address"
    if parse_address(url).tls and not shown.cert:  # a broker need not say so: it may simply close
        advice += ", and whether it wants a certificate (--cert FILE --key FILE)"
    return f"{advice}; then run it again."


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
