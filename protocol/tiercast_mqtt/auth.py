"""Who is connecting: by password, by client certificate, or without a name where that is allowed.

Rules
- A name costs the same time to refuse whether it exists or not.
- Where a listener takes the name from the certificate, the certificate alone decides: a user name in CONNECT may only
  repeat it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tiercast_mqtt.packets import Connect
from tiercast_mqtt.password import hash_password, verify_password

_NOBODY = hash_password("nobody has this one")


@dataclass(frozen=True, slots=True)
class Login:
    """Result of a login; `user` is None for those without a name."""

    accepted: bool
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Authenticator:
    """The users of a broker: name to `$7$` hash."""

    users: Mapping[str, str] = field(default_factory=dict)
    allow_anonymous: bool = False

    def login(self, connect: Connect, *, certificate_name: str | None = None) -> Login:
        """Judge CONNECT.  `certificate_name`: common name of the verified certificate, where the listener uses it."""
        if certificate_name is not None:
            agrees = connect.username in {None, certificate_name}
            return Login(agrees and bool(certificate_name), certificate_name)
        if connect.username is None:
            return Login(self.allow_anonymous)
        known = self.users.get(connect.username)
        right = verify_password(connect.password or b"", known or _NOBODY)
        return Login(right and known is not None, connect.username)

    def still_valid(self, user: str | None, newer: Authenticator) -> bool:
        """Whether a connection of `user`, let in under this one, may stay under `newer`."""
        if user is None:
            return newer.allow_anonymous
        return self.users.get(user) == newer.users.get(user)
