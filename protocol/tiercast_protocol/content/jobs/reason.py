"""Reasons: why something that is not final waits, as a typed value.  Pure (docs/jobs.md, "Why").

Rules
- A reason is a code of the catalogue (`waiting.KINDS`), where it holds, since when, until when, and figures.  Sentences
  are made of it by `words`, `freed` and `todo`, and nowhere else.
- The same reason is the same value: what changes from instant to instant (bytes so far) is no figure of it.
- Our own misuse (an unknown code or figure) raises; what a peer says is read as far as it can be meant.
- On the wire a reason is its code and a JSON map of its figures; an older reader sees that map as a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from tiercast_protocol.content.jobs.kind import WHEN
from tiercast_protocol.content.jobs.waiting import KINDS, Kind

Fact: TypeAlias = "str | int | float"

_LONGEST_CODE, _LONGEST_TEXT, _MOST_FACTS = 64, 1000, 16
_MOST = 1 << 53
#: Keys of the JSON map that are not figures.
_SINCE, _UNTIL, _NODE, _PEER = "since", "until", "node", "peer"
#: What a peer said that is no map: shown as it is.
_TEXT = "text"
_PIECE = re.compile(r"\[([^\]]*)\]|([^\[]+)")
_FIELD = re.compile(r"\{(\w+)(?::(\w+))?\}")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something waits.

    Attributes:
        code: stable; a key of `waiting.KINDS`.
        node: the node that says so: where in the tree it holds.
        peer: the other end of the link, or the machine that it is about; "" where there is none.
        since: milliseconds since 1970; 0 where nobody knows.
        until: when it ends by itself; 0 when it does not.
        facts: figures by name, sorted.
    """

    code: str
    node: str = ""
    peer: str = ""
    since: int = 0
    until: int = 0
    facts: tuple[tuple[str, Fact], ...] = ()

    def at(self, *, node: str = "", peer: str = "", since: int = 0) -> Reason:
        """The same reason, told where and since when as far as it does not say so itself."""
        return replace(self, node=self.node or node, peer=self.peer or peer, since=self.since or since)

    def about(self, peer: str, since: int) -> Reason:
        """The same reason of another machine: quicker than `replace`, for there may be thousands."""
        return Reason(self.code, self.node, peer, since, self.until, self.facts)

    def get(self, name: str) -> Fact:
        """The figure `name`; "" without one."""
        return dict(self.facts).get(name, "")


def because(
    code: str, *, node: str = "", peer: str = "", since: int = 0, until: int = 0, **facts: Fact | None
) -> Reason:
    """The reason `code`; figures that are None or "" are left out.

    Raises:
        ValueError: a code or figure that the catalogue does not know: register it in `waiting`.
    """
    kind = KINDS.get(code)
    if kind is None:
        raise ValueError(f"no reason is called {code!r}")
    if unknown := facts.keys() - kind.fields:
        raise ValueError(f"{code!r} has no figure {', '.join(sorted(unknown))}")
    known = [(name, fact) for name, fact in sorted(facts.items()) if fact is not None and fact != ""]
    return Reason(code, node, peer, since, until, tuple(known))


# -- words -------------------------------------------------------------------------------------------


def words(reason: Reason) -> str:
    """What it waits for, as people read it: one clause without its place."""
    if text := reason.get(_TEXT):
        return str(text)
    kind = KINDS.get(reason.code)
    return (filled(kind.says, reason) if kind is not None else "") or reason.code


def freed(reason: Reason) -> str:
    """Which event frees it."""
    kind = KINDS.get(reason.code)
    return (filled(kind.freed, reason) if kind is not None else "") or "?"


def todo(reason: Reason) -> str:
    """What a person can do; "" for nothing but to wait."""
    kind = KINDS.get(reason.code)
    return filled(kind.todo, reason) if kind is not None else ""


def kind_of(reason: Reason) -> Kind | None:
    """What the catalogue says of it; None for a code of a later version."""
    return KINDS.get(reason.code)


def shown(reason: Reason) -> dict[str, Any]:
    """As `--json` and the control sockets give it: fields, figures and words."""
    return {
        "code": reason.code,
        "node": reason.node,
        "peer": reason.peer,
        "since": reason.since,
        "until": reason.until,
        "facts": dict(reason.facts),
        "says": words(reason),
        "freed": freed(reason),
        "todo": todo(reason),
    }


def filled(template: str, reason: Reason) -> str:
    """A template with the reason's figures: `{name:form}`; a part in [brackets] is left out where one is missing."""
    values: dict[str, Fact] = {
        **dict(reason.facts),
        _NODE: reason.node,
        _PEER: reason.peer,
        _SINCE: reason.since,
        _UNTIL: reason.until,
    }
    parts: list[str] = []
    for optional, plain in _PIECE.findall(template):
        when = WHEN.match(optional)
        if when is not None and not all(_holds(one, values) for one in when[1].split(",")):
            continue
        optional = optional[when.end() :] if when is not None else optional  # noqa: PLW2901 - the condition is read
        if optional and not all(values.get(name) for name, _ in _FIELD.findall(optional)):
            continue
        parts.append(_FIELD.sub(lambda found: _form(values.get(found[1], ""), found[2] or ""), optional or plain))
    return "".join(parts)


def _holds(condition: str, values: Mapping[str, Fact]) -> bool:
    """Whether `name`, `!name` or `name=value` is so."""
    name, equals, wanted = condition.lstrip("!").partition("=")
    value = values.get(name)
    return (str(value) == wanted if equals else bool(value)) is not condition.startswith("!")


def _form(value: Fact, form: str) -> str:
    if isinstance(value, str) or not form:
        return str(value) or "?"
    if form == "at":
        from tiercast_protocol.transfer.calendar import moment  # noqa: PLC0415 - only what has an end needs it

        with suppress(ValueError, OverflowError, OSError):  # no calendar has it
            return moment(value / 1000)
    if form == "s":
        return f"{value:,g} s"
    unit = {"bytes": " bytes", "rate": " bytes per second"}.get(form, "")
    return f"{value:,.0f}{unit}"


# -- the wire ----------------------------------------------------------------------------------------


def facts_of(reason: Reason) -> dict[str, Fact]:
    """What the JSON map holds of it beside its figures: its end, and what it is about where that is not plain."""
    return dict(reason.facts) | ({_UNTIL: reason.until} if reason.until else {})


def packed(reason: Reason) -> tuple[str, str]:
    """Code and detail, as a record carries them that a node tells of itself."""
    body = facts_of(reason) | ({_SINCE: reason.since} if reason.since else {})
    if reason.peer:
        body[_PEER] = reason.peer
    return reason.code, json.dumps(body, separators=(",", ":"))


def read(code: str, said: object, *, node: str = "", peer: str = "", since: int = 0) -> Reason:
    """What a peer said: a map of figures, JSON of one, or a text; nothing of it is believed to be sound."""
    if isinstance(said, str) and said.startswith("{"):
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            said = {}
    if not isinstance(said, Mapping):
        text = str(said)[:_LONGEST_TEXT] if isinstance(said, str) else ""
        return Reason(code[:_LONGEST_CODE], node, peer, since, 0, ((_TEXT, text),) if text else ())
    kind = KINDS.get(code)
    facts: list[tuple[str, Fact]] = []
    for name, value in list(said.items())[:_MOST_FACTS]:
        fact = _fact(value)
        if fact is not None and isinstance(name, str) and (kind is None or name in kind.fields or name == _TEXT):
            facts.append((name[:_LONGEST_CODE], fact))
    told = said.get(_PEER)
    return Reason(
        code=code[:_LONGEST_CODE],
        node=node,
        peer=told[:_LONGEST_TEXT] if isinstance(told, str) and told else peer,
        since=_moment(said.get(_SINCE)) or since,
        until=_moment(said.get(_UNTIL)),
        facts=tuple(sorted(f for f in facts if f[0] not in {_SINCE, _UNTIL, _NODE, _PEER})),
    )


def meant_by(said: Mapping[str, Any]) -> Reason:
    """The reason of which `shown` made this."""
    facts = tuple(sorted(said["facts"].items()))
    return Reason(said["code"], said["node"], said["peer"], said["since"], said["until"], facts)


def told(code: str, detail: str) -> str:
    """The detail of a record in words: of a reason those of the catalogue, of anything else itself."""
    return words(read(code, detail)) if code in KINDS else detail


def _fact(value: object) -> Fact | None:
    if isinstance(value, str):
        return value[:_LONGEST_TEXT]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -_MOST < value < _MOST else None


def _moment(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MOST else 0
