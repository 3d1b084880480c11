"""The tables `[[action]]` of a definition: read, checked against one another, and written again (docs/actions.md).

Rules
- What a table may say stands in `actiontypes`; here is how each kind of key is read.
- Paths on the machine are absolute and plain: no ".", no "..", no "//".  No two actions are about one path, nothing
  lies below a folder that another one puts there whole, and no two paths differ by case only (unless the definition
  says so).
- Sources are paths inside the package's tree.  Whether they are there is seen when the package is sealed.
- A package that names a handler requires it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeGuard

from tiercast_protocol.content.facts.versions import read_requirement
from tiercast_protocol.content.package.actiontypes import FOLDERS, PATHS, TYPES, Action, Key, Scalar, Setting, Value
from tiercast_protocol.content.package.programs import MAX_OUTPUT, MAX_TIMEOUT_S, read_argv
from tiercast_protocol.content.package.reader import UNITS_B, UNITS_S, Reader, bare, quoted, shown
from tiercast_protocol.content.sealed.paths import check_path, folded
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire.topics import valid_name

MOST_ACTIONS = 200
_MOST_SETTINGS, _MOST_SOURCES, _LONGEST = 100, 100, 4096
_MODE = re.compile(r"[0-7]{3,4}\Z")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@:-]{0,127}\Z")
_PROPERTY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_Read = Callable[[Reader, str, Key], Value]


def read_actions(parent: Reader, *, setuid: bool, collisions: bool) -> tuple[Action, ...]:
    """All actions of the definition, in order."""
    found: list[tuple[Reader, Action]] = []
    for reader in parent.each("action", MOST_ACTIONS):
        kind = reader.table.get("type")
        if not isinstance(kind, str) or kind not in TYPES:
            problem = "missing" if kind is None else f"is {shown(kind)}"
            reader.wrong("type", problem, f"one of {', '.join(TYPES)}")
            continue
        found.append((reader, _read(reader, kind, setuid=setuid)))
    _compare(found, collisions=collisions)
    return tuple(action for _, action in found)


def action_lines(actions: Iterable[Action]) -> list[str]:
    """The tables again, as lines of TOML."""
    lines: list[str] = []
    for action in actions:
        lines += ["", "[[action]]", f"type = {quoted(action.type)}"]
        lines += [f"{key} = {_toml(value, TYPES[action.type].keys[key])}" for key, value in action.values]
    return lines


def handlers_of(actions: Iterable[Action]) -> list[str]:
    """The packages that these actions need as handlers, each once."""
    return list(dict.fromkeys(one.text("handler") for one in actions if one.type == "handler"))


def with_handlers(requires: tuple[str, ...], actions: Iterable[Action]) -> tuple[str, ...]:
    """What a package requires, with the handlers that it names and does not speak of."""
    spoken = {read_requirement(one).package for one in requires}
    # A name that is none was told as the action's mistake.
    return requires + tuple(name for name in handlers_of(actions) if name not in spoken and valid_name(name))


def pack_actions(actions: Iterable[Action]) -> str:
    """As a journal keeps them."""
    return json.dumps([[one.type, dict(one.values)] for one in actions], ensure_ascii=False)


def unpack_actions(text: str) -> tuple[Action, ...]:
    """The inverse of `pack_actions`."""
    return tuple(
        Action(kind, tuple((key, _frozen(value)) for key, value in values.items())) for kind, values in json.loads(text)
    )


def _frozen(value: object) -> Value:
    if isinstance(value, list):
        return tuple(_frozen(one) for one in value)  # type: ignore[return-value]
    return value  # type: ignore[return-value]


# -- one table -----------------------------------------------------------------------------------------


def _read(reader: Reader, kind: str, *, setuid: bool) -> Action:
    keys = TYPES[kind].keys
    reader.known("type", *keys)
    values: list[tuple[str, Value]] = []
    for key, rule in keys.items():
        if key not in reader.table and rule.default is not None:
            continue
        value = _READ[rule.kind](reader, key, rule)
        if value != rule.default:
            values.append((key, value))
    action = Action(kind, tuple(values))
    said = dict(values)
    mode = str(said.get("mode", ""))
    if len(mode) > 3 and mode[0] in "4567" and not setuid:  # noqa: PLR2004 - four digits
        reader.wrong("mode", f"is {shown(mode)}", "no set-user-id or set-group-id bit, or allow_setuid = true")
    if kind == "link" and ("target" in said) == ("source" in said):
        reader.wrong("target", "stands with source, or neither does", "one of target and source")
    if "set" in keys and not (reader.table.get("set") or reader.table.get("unset")):
        reader.wrong("set", "nothing is set and nothing is unset", "at least one key")
    if "set" in keys and (both := set(action.settings("set")) & set(action.texts("unset"))):
        reader.wrong("unset", f"names {shown(min(both))}, which is set", "each key once")
    return action


def _path(reader: Reader, key: str, _rule: Key) -> str:
    expected = 'an absolute path below "/", without "." and "..", as in "/etc/app/app.conf"'
    path = reader.text(key, expected)
    if key in reader.texts:
        try:
            check_path(path.removeprefix("/"))
        except MessageInvalid:
            path = ""
        if not path.startswith("/"):
            reader.wrong(key, f"is {shown(reader.table[key])}", expected)
            return "/"
    return path


def _in_tree(path: str) -> bool:
    try:
        check_path(path)
    except MessageInvalid:
        return False
    return True


def _source(reader: Reader, key: str, _rule: Key) -> str:
    expected = 'a path inside the package\'s tree, as in "etc/app.conf"'
    path = reader.text(key, expected)
    if key in reader.texts and not _in_tree(path):
        reader.wrong(key, f"is {shown(path)}", expected)
    return path


def _sources(reader: Reader, key: str, _rule: Key) -> tuple[str, ...]:
    rule = f"a list of 1 to {_MOST_SOURCES} paths inside the package's tree"
    paths = reader.listed(key, rule, _MOST_SOURCES)
    if key not in reader.table or (not paths and reader.table[key] == []) or not all(map(_in_tree, paths)):
        reader.wrong(key, "missing" if key not in reader.table else f"is {shown(reader.table[key])}", rule)
    return tuple(paths)


def _matching(pattern: re.Pattern[str], expected: str) -> _Read:
    def read(reader: Reader, key: str, _rule: Key) -> str:
        text = reader.text(key, expected)
        if key in reader.texts and not pattern.match(text):
            reader.wrong(key, f"is {shown(text)}", expected)
        return text

    return read


def _users(reader: Reader, key: str, _rule: Key) -> tuple[str, ...]:
    rule = "a list of names of groups"
    names = reader.listed(key, rule, _MOST_SOURCES)
    if not all(map(_USER.match, names)):
        reader.wrong(key, f"is {shown(names)}", rule)
    return tuple(names)


def _text(reader: Reader, key: str, _rule: Key) -> str:
    text = reader.text(key, "a text")
    if _CONTROL.search(text) or ":" in text * (key == "comment") or len(text) > _LONGEST:
        reader.wrong(key, f"is {shown(text)}", f"at most {_LONGEST} characters, without control characters")
    return text


def _package(reader: Reader, key: str, _rule: Key) -> str:
    expected = "the name of a package that has a [handler]"
    name = reader.text(key, expected)
    if key in reader.texts and not valid_name(name):
        reader.wrong(key, f"is {shown(name)}", expected)
    return name


def _choice(reader: Reader, key: str, rule: Key) -> str:
    return reader.choice(key, rule.choices, str(rule.default))


def _exits(reader: Reader, key: str, _rule: Key) -> tuple[int, ...]:
    value = reader.table.get(key)
    if isinstance(value, list) and value and all(type(one) is int and 0 <= one <= 255 for one in value):  # noqa: PLR2004
        return tuple(sorted(set(value)))
    reader.wrong(key, f"is {shown(value)}", "a list of exit codes from 0 to 255, as in [0, 3]")
    return (0,)


def _scalar(value: object) -> TypeGuard[Scalar]:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, (str, int, bool))


def _settings(reader: Reader, key: str, _rule: Key) -> tuple[tuple[str, Setting], ...]:
    rule = f'a table of at most {_MOST_SETTINGS} texts, numbers, flags or lists of them, as in {{ "server.port" = 80 }}'
    value = reader.table.get(key)
    if not isinstance(value, dict) or len(value) > _MOST_SETTINGS:
        reader.wrong(key, f"is {shown(value)}", rule)
        return ()
    found: list[tuple[str, Setting]] = []
    for name, one in _flat(value):
        parts = [part for part in one if _scalar(part)] if isinstance(one, list) else []
        if not name or _CONTROL.search(name) or (len(parts) < len(one) if isinstance(one, list) else not _scalar(one)):
            reader.wrong(key, f"{shown(name)} is {shown(one)}", rule)
        elif _scalar(one):
            found.append((name, one))
        else:
            found.append((name, tuple(parts)))
    return tuple(sorted(found))


def _flat(table: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Keys as they are in the file that is edited: "a.b" in quotes and a.b are the same."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", one) for inner, one in _flat(value))
        else:
            yield key, value


def _keys(reader: Reader, key: str, _rule: Key) -> tuple[str, ...]:
    rule = f'a list of at most {_MOST_SETTINGS} keys, as in ["server.old"]'
    names = reader.listed(key, rule, _MOST_SETTINGS)
    if any(not name or _CONTROL.search(name) for name in names):
        reader.wrong(key, f"is {shown(names)}", rule)
    return tuple(sorted(set(names)))


def _properties(reader: Reader, key: str, _rule: Key) -> tuple[tuple[str, Setting], ...]:
    rule = "a table of texts whose names are words"
    value = reader.table.get(key)
    if not isinstance(value, dict) or len(value) > _MOST_SETTINGS:
        reader.wrong(key, f"is {shown(value)}", rule)
        return ()
    for name, one in value.items():
        if not _PROPERTY.match(name) or not isinstance(one, str) or _CONTROL.search(one):
            reader.wrong(key, f"{shown(name)} is {shown(one)}", rule)
    return tuple(sorted((name, str(one)) for name, one in value.items()))


_READ: Mapping[str, _Read] = {
    "path": _path,
    "source": _source,
    "sources": _sources,
    "mode": _matching(_MODE, 'a mode of three or four octal digits, in quotes, as in "0644"'),
    "user": _matching(_USER, "the name of a user or group: a-z 0-9 _ -, the first a letter or _"),
    "users": _users,
    "word": _matching(_WORD, "1 to 128 of A-Z a-z 0-9 . _ + @ : -, the first a letter or digit"),
    "text": _text,
    "package": _package,
    "choice": _choice,
    "flag": lambda reader, key, rule: reader.flag(key, default=bool(rule.default)),
    "argv": lambda reader, key, _rule: read_argv(reader, key),
    "exits": _exits,
    "seconds": lambda reader, key, _rule: reader.amount(key, 60, MAX_TIMEOUT_S, UNITS_S, 'seconds, as in "5m"'),
    "bytes": lambda reader, key, _rule: reader.amount(key, 16 * 1024, MAX_OUTPUT, UNITS_B, 'bytes, as in "16KiB"'),
    "settings": _settings,
    "keys": _keys,
    "properties": _properties,
}


# -- all of them ---------------------------------------------------------------------------------------


def _compare(found: list[tuple[Reader, Action]], *, collisions: bool) -> None:
    seen: dict[str, Action] = {}
    paths: dict[str, Action] = {}
    alike: dict[str, str] = {}
    for reader, action in found:
        key = "path" if action.type in PATHS else "name"
        what = action.text("path") if key == "path" else action.identity
        if what in seen and what != "/":
            reader.wrong(key, f"{shown(action.text(key))} is what an action before it is about", "each one once")
        seen.setdefault(what, action)
        if key == "path":
            paths[what] = action
            first = alike.setdefault(folded(what), what)
            if first != what and not collisions:
                expected = "names that differ by more than case, or allow_case_collisions = true"
                reader.wrong(key, f"{shown(what)} and {shown(first)} differ by case only", expected)
    for reader, action in found:
        path = action.text("path") if action.type in PATHS else ""
        for above in _above(path):
            if above in paths and paths[above].type in FOLDERS | {"file", "link"}:
                expected = "a path outside what another action puts there whole"
                reader.wrong("path", f"{shown(path)} lies in {shown(above)}", expected)


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


# -- writing -------------------------------------------------------------------------------------------


def _toml(value: object, key: Key | None = None) -> str:
    if key is not None and key.kind == "seconds":
        return f'"{value}s"'
    if key is not None and key.kind in {"settings", "properties"} and isinstance(value, tuple):
        return "{ " + ", ".join(f"{bare(name)} = {_toml(one)}" for name, one in value) + " }"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value)
