"""Ed25519 keys, and signatures that say what they are for.

Rules
- Every signature is over a domain ("tiercast order 1"), a zero byte and the bytes: what was signed as a
  receipt can't be shown as an order.
- A key file is 32 bytes as text in hex with a first line that says what it is; it is readable by its owner
  alone, is refused when others can read it, and is never written over.
- A public key is its 32 raw bytes everywhere.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tiercast_protocol.errors import SignatureInvalid, StateError

KEY_SIZE = 32
_FIRST_LINE = "tiercast private key 1"


class PrivateKey:
    """One node's, or the region's, signing key."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        #: 32 bytes.
        self.public: bytes = self._key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> PrivateKey:
        """A new key from the system's randomness."""
        return cls(os.urandom(KEY_SIZE))

    @classmethod
    def load(cls, path: Path) -> PrivateKey:
        """The key in the file at `path`.

        Raises:
            StateError: not there, not a key, or readable by others.
        """
        try:
            with path.open(encoding="ascii") as file:
                mode = os.fstat(file.fileno()).st_mode
                first, seed = file.read(256).splitlines()
            key = cls(bytes.fromhex(seed if first == _FIRST_LINE else "no key at all"))
        except (OSError, ValueError) as error:
            todo = "Restore the file from its backup, or join again to get a new one."
            raise StateError(str(path), "holds no key that can be read", todo) from error
        if stat.S_IMODE(mode) & 0o077:
            raise StateError(str(path), "can be read by others", f"Make it the owner's alone: chmod 600 {path}")
        return key

    def save(self, path: Path) -> None:
        """Write the key to a new file with mode 0600, durably.

        Raises:
            StateError: there is a file already, or it can't be written.
        """
        temporary = path.with_name(path.name + ".new")
        text = f"{_FIRST_LINE}\n{self._key.private_bytes_raw().hex()}\n"
        try:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)  # unlike a rename, fails where a key is
            temporary.unlink()
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except FileExistsError as error:
            raise StateError(
                str(path), "is there already", "A key is never written over; move it away first."
            ) from error
        except OSError as error:
            raise StateError(str(path), f"can't be written: {error.strerror}", "Check folder and disk.") from error

    def sign(self, domain: str, data: bytes) -> bytes:
        """64 bytes that only this key can make for `data` in `domain`."""
        return self._key.sign(_bound(domain, data))


def verify(public: bytes, domain: str, data: bytes, signature: bytes) -> None:
    """Check that the holder of `public` signed `data` in `domain`.

    Raises:
        SignatureInvalid: it did not, or the key is none.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _bound(domain, data))
    except InvalidSignature as error:
        raise SignatureInvalid(domain, "the signature is another's, or of other bytes") from error
    except ValueError as error:
        raise SignatureInvalid(domain, "no public key") from error


def _bound(domain: str, data: bytes) -> bytes:
    if not domain or "\0" in domain:
        raise ValueError(f"signature domain {domain!r}")
    return domain.encode() + b"\0" + data
