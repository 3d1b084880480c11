"""The one access policy of a region's brokers, as data (docs/protocol.md, section 3).

| who | may write | may read |
|---|---|---|
| the owner: the node whose broker it is | everything of the region | everything of the region |
| node n, and `join-<token>` who joins | `<n>/#` | `+/to/<n>/#`, `+/group/+` |
| anybody else | nothing | nothing |

Rules
- From this table come the text for both brokers (mosquitto's ACL syntax, of which the embedded broker
  reads a part) and `may`, the same table asked directly.
- A name is one topic level, so a node's own level says everything; the texts name nobody but the owner.
- "write" covers wills and retained messages, "read" covers delivery: both brokers ask at each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.topics import JOIN_PREFIX, NAME, ROOT

Direction = Literal["read", "write"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`who` may `direction` topics that match `levels` below the region; {node} is the user's own name."""

    who: Literal["owner", "node"]
    direction: Direction
    levels: tuple[str, ...]


POLICY: tuple[Rule, ...] = (
    Rule("owner", "read", ("#",)),
    Rule("owner", "write", ("#",)),
    Rule("node", "write", ("{node}", "#")),
    Rule("node", "read", ("+", "to", "{node}", "#")),
    Rule("node", "read", ("+", "group", "+")),
)


def valid_user(name: str) -> bool:
    """Whether a broker's user may be called `name`: a node, or a joining one."""
    return NAME.match(name) is not None or NAME.match(name.removeprefix(JOIN_PREFIX)) is not None


def render_acl(region: str, owner: str) -> str:
    """The ACL file of the broker of `owner` in `region`."""
    lines = [
        "# Made by Tiercast from its access policy; changes are lost at the next start.",
        f"user {owner}",
        *(f"topic {r.direction} {ROOT}/{region}/{'/'.join(r.levels)}" for r in POLICY if r.who == "owner"),
        "",
        "# everybody else; %u is the user's own name",
    ]
    for rule in POLICY:
        if rule.who == "node":
            filter_ = "/".join(rule.levels).replace("{node}", "%u")
            lines.append(f"pattern {rule.direction} {ROOT}/{region}/{filter_}")
    return "\n".join(lines) + "\n"


def render_users(users: Mapping[str, str]) -> str:
    """The users file: a line `name:hash` for each.

    Raises:
        UsageError: a name that could reach beyond its own topics, or a hash that is none (code "broker.user").
    """
    for name, hash_ in users.items():
        if not valid_user(name) or not hash_.startswith("$7$") or any(c.isspace() or c == ":" for c in hash_):
            raise UsageError(
                code="broker.user",
                what=f"{name!r} can't be a user of the broker.",
                todo="Names have up to 63 letters, digits, dots, dashes, underscores; passwords come as $7$ hashes.",
            )
    return "".join(f"{name}:{hash_}\n" for name, hash_ in sorted(users.items()))


def may(user: str, direction: Direction, topic: str, *, region: str, owner: str) -> bool:
    """Whether `user` may read or write messages on `topic` (no filter): the table, asked directly."""
    prefix = [*ROOT.split("/"), region]
    levels = topic.split("/")
    if levels[: len(prefix)] != prefix or not valid_user(user):
        return False
    who = "owner" if user == owner else "node"
    below = levels[len(prefix) :]
    return any(_matches(rule, user, below) for rule in POLICY if rule.who == who and rule.direction == direction)


def _matches(rule: Rule, user: str, levels: list[str]) -> bool:
    for n, wanted in enumerate(rule.levels):
        if wanted == "#":
            return True
        if n >= len(levels) or wanted not in {"+", "{node}", levels[n]}:
            return False
        if wanted == "{node}" and levels[n] != user:
            return False
    return len(levels) == len(rule.levels)
