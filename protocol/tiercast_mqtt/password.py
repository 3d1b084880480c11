"""Passwords as mosquitto keeps them: `$7$iterations$salt$hash`, PBKDF2-HMAC-SHA512, base64.

Rules
- One line of a users file is `name:hash`, as mosquitto_passwd writes it: one file serves both brokers.
- Verification takes the same time for a wrong password and for a right one; what is not such a hash verifies nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable

#: mosquitto's own default.  Our passwords are random and long, so that guessing is hopeless however cheap a try is.
ITERATIONS = 101
#: A users file may not ask for more: each CONNECT would stop the broker for as long.
MAX_ITERATIONS = 200_000
_SALT = 12
_HASH = 64
_FIELDS = 5


def hash_password(password: str, *, iterations: int = ITERATIONS) -> str:
    """A new salted hash of `password`."""
    salt = secrets.token_bytes(_SALT)
    derived = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
    return f"$7${iterations}${base64.b64encode(salt).decode()}${base64.b64encode(derived).decode()}"


def parse_hash(hash_: str) -> tuple[int, bytes, bytes] | None:
    """Iterations, salt and derived key of `hash_`; None when it is not a `$7$` hash of an allowed cost."""
    fields = hash_.split("$")
    if len(fields) != _FIELDS or fields[0] or fields[1] != "7":
        return None
    if not (fields[2].isascii() and fields[2].isdigit() and len(fields[2]) <= len(str(MAX_ITERATIONS))):
        return None
    iterations = int(fields[2])
    try:
        salt, derived = (base64.b64decode(field, validate=True) for field in fields[3:])
    except (binascii.Error, ValueError):
        return None
    if not 0 < iterations <= MAX_ITERATIONS or not salt or len(derived) != _HASH:
        return None
    return iterations, salt, derived


def verify_password(password: str | bytes, hash_: str) -> bool:
    """Whether `password` is the one that was hashed."""
    parsed = parse_hash(hash_)
    if parsed is None:
        return False
    iterations, salt, derived = parsed
    given = password.encode() if isinstance(password, str) else password
    return hmac.compare_digest(hashlib.pbkdf2_hmac("sha512", given, salt, iterations), derived)


def parse_users(lines: Iterable[str]) -> dict[str, str]:
    """Name to hash, of a users file.  Raises ValueError that names the line, never its hash."""
    users: dict[str, str] = {}
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, _, hash_ = line.partition(":")
        if not name or parse_hash(hash_) is None:
            raise ValueError(f"line {number} is not name:$7$iterations$salt$hash")
        if name in users:
            raise ValueError(f"line {number} names {name} a second time")
        users[name] = hash_
    return users
