"""Who may write and read what: the part of mosquitto's access file that our generated policies use.

Rules
- `topic [read|write|readwrite|deny] FILTER` belongs to the `user NAME` line above it; before any such line, to those
  without a name.
- `pattern [read|write|readwrite|deny] FILTER` holds for everybody; `%u` and `%c` in it stand for user name and client
  id, each alone in its level, and fit nobody whose name holds `+`, `#` or `/`.
- What no line allows is refused; a `deny` that fits wins over every other line.
- A subscription is refused when no line could ever let a message through it; messages are judged again when delivered.
- A mistake in the file refuses the whole file: half a policy is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from tiercast_mqtt.errors import MalformedPacket
from tiercast_mqtt.topics import check_filter, matches, overlap

Action = Literal["read", "write"]
_ACCESS = ("read", "write", "readwrite", "deny")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line: what is allowed (or denied) on topics that match."""

    filter: str
    read: bool
    write: bool
    deny: bool = False

    def speaks_of(self, action: Action) -> bool:
        """Whether the line says anything about `action`."""
        return self.deny or (self.read if action == "read" else self.write)


@dataclass(frozen=True, slots=True)
class Acl:
    """A whole access file."""

    anonymous: tuple[Rule, ...] = ()
    users: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    patterns: tuple[Rule, ...] = ()

    def allows(self, user: str | None, client_id: str, action: Action, topic: str) -> bool:
        """Whether `user` (None: without a name) as client `client_id` may read or write messages of `topic`."""
        allowed = False
        for rule, filter_ in self._rules(user, client_id):
            if rule.speaks_of(action) and matches(filter_, topic):
                if rule.deny:
                    return False
                allowed = True
        return allowed

    def allows_subscription(self, user: str | None, client_id: str, filter_: str) -> bool:
        """Whether anything that matches `filter_` could be read by `user`."""
        return any(rule.read and not rule.deny and overlap(own, filter_) for rule, own in self._rules(user, client_id))

    def _rules(self, user: str | None, client_id: str) -> Iterator[tuple[Rule, str]]:
        for rule in self.anonymous if user is None else self.users.get(user, ()):
            yield rule, rule.filter
        for rule in self.patterns:
            filter_ = _fill(rule.filter, user, client_id)
            if filter_ is not None:
                yield rule, filter_


def allow_everything() -> Acl:
    """The policy of a broker without an access file."""
    return Acl(patterns=(Rule("#", read=True, write=True), Rule("$SYS/#", read=True, write=False)))


def parse_acl(lines: Iterable[str]) -> Acl:
    """The access file's rules.  Raises ValueError that names the line."""
    anonymous: list[Rule] = []
    users: dict[str, list[Rule]] = {}
    patterns: list[Rule] = []
    current = anonymous
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if word == "user" and rest:
            current = users.setdefault(rest, [])
        elif word == "topic":
            current.append(_rule(rest, number))
        elif word == "pattern":
            patterns.append(_pattern(rest, number))
        else:
            raise ValueError(f"line {number} is neither user, topic nor pattern")
    return Acl(tuple(anonymous), {name: tuple(rules) for name, rules in users.items()}, tuple(patterns))


def _rule(text: str, number: int) -> Rule:
    access, _, filter_ = text.partition(" ")
    if access not in _ACCESS:
        access, filter_ = "readwrite", text
    filter_ = filter_.strip()
    try:
        check_filter(filter_)
    except MalformedPacket as error:
        raise ValueError(f"line {number}: {error.reason}") from error
    return Rule(filter_, access in {"read", "readwrite"}, access in {"write", "readwrite"}, access == "deny")


def _pattern(text: str, number: int) -> Rule:
    rule = _rule(text, number)
    for level in rule.filter.split("/"):
        if level not in {"%u", "%c"} and ("%u" in level or "%c" in level):
            raise ValueError(f"line {number}: %u and %c stand alone in their level")
    return rule


def _fill(filter_: str, user: str | None, client_id: str) -> str | None:
    if "%" not in filter_:
        return filter_
    names = {"%u": user or "", "%c": client_id}
    levels = []
    for level in filter_.split("/"):
        name = names.get(level)
        if name is not None and not _plain(name):
            return None
        levels.append(level if name is None else name)
    return "/".join(levels)


def _plain(name: str) -> bool:
    return bool(name) and not any(character in name for character in "+#/")
