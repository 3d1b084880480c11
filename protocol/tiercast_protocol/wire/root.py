"""The root of all message bodies (docs/protocol.md, section 2).

Rules
- A body is a map of named fields: unknown ones are ignored, missing ones take their default, defaults are not sent.
"""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Root of all bodies."""
