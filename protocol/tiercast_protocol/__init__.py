"""What two tiers must agree on (wire, content, transfer) and what every daemon is made of (node)."""

__version__ = "0.1.0"

#: Version of the protocol that this code speaks; it also talks to the one before (docs/protocol.md, section 1).
PROTOCOL_VERSION = 1
