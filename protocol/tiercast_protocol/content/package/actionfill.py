"""Variables in a package's actions: which texts may hold them, and what comes of them on a machine.  Pure.

Rules (docs/packages.md, "Variables")
- Filled in are arguments of programs (not the program), values of settings and properties, and free texts: the target
  of a link, the comment of a user.  Paths, names and sources are what they are: they are compared between versions, and
  with those of other packages, before any machine is asked.
- What is journaled, and undone later, is the action as it was filled in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from tiercast_protocol.content.package.actiontypes import TYPES, Action, Setting, Value
from tiercast_protocol.content.package.variables import fill

_Change = Callable[[str], str]


def texts_of(action: Action) -> Iterator[tuple[str, str]]:
    """Each key and text in which variables may stand."""
    found: list[tuple[str, str]] = []
    for key, value in action.values:

        def take(text: str, key: str = key) -> str:
            found.append((key, text))
            return text

        _changed(TYPES[action.type].keys[key].kind, value, take)
    return iter(found)


def filled(action: Action, values: Mapping[str, str]) -> Action:
    """The action with its variables filled in.

    Raises:
        UsageError: variable.unknown.
    """
    if not values:
        return action
    keys = TYPES[action.type].keys

    def change(text: str) -> str:
        return fill(text, values)

    return replace(action, values=tuple((key, _changed(keys[key].kind, value, change)) for key, value in action.values))


def _changed(kind: str, value: Value, change: _Change) -> Value:
    if kind == "text" and isinstance(value, str):
        return change(value)
    if not isinstance(value, tuple):
        return value
    if kind == "argv":
        return tuple(change(str(one)) if place else str(one) for place, one in enumerate(value))
    if kind in {"settings", "properties"}:
        return tuple((str(pair[0]), _setting(pair[1], change)) for pair in value if isinstance(pair, tuple))
    return value


def _setting(value: Setting, change: _Change) -> Setting:
    if isinstance(value, str):
        return change(value)
    return tuple(change(one) if isinstance(one, str) else one for one in value) if isinstance(value, tuple) else value
