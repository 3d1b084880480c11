"""What a node keeps of having joined: who it is, its key, its password (docs/protocol.md, section 8).

Rules
- Files are the owner's alone.  `enrolled.json` is written last: with it the node has joined, without it it has not.
- What is read is checked again: the region's key signed the credential, for this node's key.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiercast_protocol.content.trust.credential import Credential, open_credential
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid, StateError, UsageError

ARTICLE = {"gateway": "a gateway", "endpoint": "an endpoint"}
KEY_FILE, PASSWORD_FILE, ENROLLED_FILE = "node.key", "node.password", "enrolled.json"


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a node knows of itself and its region once it has joined.

    Attributes:
        name, role, parent, region, server: as the credential says.
        generation: of this node's key.
        url: of the parent's broker.
        password: at that broker, where the user is `name`.
        key: this node's.
        region_key: 32 bytes; signs orders and credentials.
        credential, signature: the credential's bytes and the region's signature.
    """

    name: str
    role: str
    region: str
    parent: str
    server: str
    generation: int
    url: str
    password: str = field(repr=False)
    key: PrivateKey = field(repr=False)
    region_key: bytes = b""
    credential: bytes = b""
    signature: bytes = b""

    @property
    def login(self) -> tuple[str, str]:
        """User and password at the parent's broker."""
        return self.name, self.password


def save(folder: Path, enrolled: Enrolled) -> None:
    """Write `enrolled` (but for the key, which has its own file) with mode 0600, durably."""
    kept = {
        "format": 1,
        **{
            name: getattr(enrolled, name)
            for name in ("name", "role", "region", "parent", "server", "generation", "url")
        },
        "region_key": enrolled.region_key.hex(),
        "credential": enrolled.credential.hex(),
        "signature": enrolled.signature.hex(),
    }
    write_private(folder / ENROLLED_FILE, json.dumps(kept, indent=1) + "\n")


def load(folder: Path, *, role: str = "") -> Enrolled:
    """What `join` left in `folder`, its credential checked again.

    Args:
        folder: the node's state folder.
        role: what the program that asks is; "" takes any.

    Raises:
        UsageError: this node has not joined (code "node.not-joined"), or as something else (code "node.role").
        StateError: the files are damaged or do not belong together.
    """
    path = folder / ENROLLED_FILE
    try:
        kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
        region_key, credential = bytes.fromhex(kept["region_key"]), bytes.fromhex(kept["credential"])
        signature, url, region = bytes.fromhex(kept["signature"]), str(kept["url"]), str(kept["region"])
        password = (folder / PASSWORD_FILE).read_text("ascii").strip()
    except FileNotFoundError as error:
        raise UsageError(
            code="node.not-joined",
            what="This node has not joined a region.",
            where=str(folder),
            todo="Ask the region's administrator for a token (`tiercast node invite`), then run `join TOKEN`.",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    key = PrivateKey.load(folder / KEY_FILE)
    try:
        found = open_credential(credential, signature, region_key)
    except (SignatureInvalid, MessageInvalid) as error:
        raise _damaged(path) from error
    if found.public_key != key.public or found.region != region:
        raise _damaged(path)
    if role and found.role != role:
        raise UsageError(
            code="node.role",
            what=f"{found.name} joined as {ARTICLE[found.role]}; this is the program of {ARTICLE[role]}.",
            where=str(folder),
            todo=f"Run `tiercast-{found.role} run` here, or name another folder with --state.",
        )
    return enrolled_of(found, url, password, key, region_key, credential, signature)


def _damaged(path: Path) -> StateError:
    return StateError(
        str(path), "does not belong to this node's key, or is damaged", "Restore the folder, or join again."
    )


def enrolled_of(
    found: Credential, url: str, password: str, key: PrivateKey, region_key: bytes, credential: bytes, signature: bytes
) -> Enrolled:
    """What an opened credential says, with what belongs to it."""
    said = (found.name, found.role, found.region, found.parent, found.server, found.generation)
    return Enrolled(*said, url, password, key, region_key, credential, signature)


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 whole or not at all."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    opened = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
