"""Editing files of settings: INI, env, JSON and TOML, key by key.

Rules
- Comments, order and blank lines stay where the format has them; JSON keeps its indentation.
- A value is handled in the form that its file has it in (`form`): so an old one goes back as it was.
- A key of INI is "section.key", cut at the last dot; of JSON and TOML a dotted path through tables; of env the name.
- What is no file of its format is refused, never guessed at.
- The libraries are loaded when a package needs them: an agent that never edits a file does not carry them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tiercast_endpoint.acting.prefix import ActError
from tiercast_protocol.content.package.actiontypes import Setting

#: Longer than this is no file of settings.
MOST = 4 << 20
_ENV = re.compile(r"(?P<head>\s*(?:export\s+)?)(?P<key>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>.*)\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,-]*\Z")
_INDENT = re.compile(r"\n([ \t]+)\S")

#: A value in its file's form: a text of INI, env and TOML; any value of JSON.
Form = Any


def form(kind: str, value: Setting) -> Form:
    """`value` as files of this kind have it."""
    if kind == "json":
        return list(value) if isinstance(value, tuple) else value
    if kind == "toml":
        import tomlkit  # noqa: PLC0415 - see the rules

        return tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string()
    if isinstance(value, tuple):
        text = ", ".join(str(form("ini", one)) for one in value)
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    if kind == "env" and not _PLAIN.match(text):
        text = '"' + re.sub(r'([\\"$`])', r"\\\1", text) + '"'
    return text


def read(kind: str, data: bytes, keys: Iterable[str]) -> dict[str, Form]:
    """What these keys have; one that is not there is left out.

    Raises:
        ActError: settings.form, settings.key.
    """
    document = _parsed(kind, data)
    return {key: found for key in keys if (found := document.get(key)) is not None}


def edit(kind: str, data: bytes, put: Mapping[str, Form], drop: Iterable[str]) -> bytes:
    """The file with these keys put and those dropped; a key that has its value already is left alone.

    Raises:
        ActError: settings.form, settings.key.
    """
    document = _parsed(kind, data)
    changed = False
    for key, value in put.items():
        if document.get(key) != value:
            document.put(key, value)
            changed = True
    for key in drop:
        if document.get(key) is not None:
            document.drop(key)
            changed = True
    return document.text().encode() if changed else data


def _parsed(kind: str, data: bytes) -> _Ini | _Env | _Json | _Toml:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ActError("settings.form", "the file is not UTF-8") from error
    if kind == "ini":
        return _Ini(text)
    if kind == "env":
        return _Env(text)
    return _Json(text) if kind == "json" else _Toml(text)


def _bad_key(key: str, expected: str) -> ActError:
    return ActError("settings.key", f"{key!r} can't be a key here; it should be {expected}")


class _Ini:
    def __init__(self, text: str) -> None:
        import configparser  # noqa: PLC0415 - see the rules

        import configupdater  # noqa: PLC0415 - as above

        self._end = "" if not text or text.endswith("\n") else "\n"
        self._updater = configupdater.ConfigUpdater(allow_no_value=True)
        self._updater.optionxform = str  # type: ignore[method-assign,assignment]
        try:
            self._updater.read_string(text + self._end)
        except (configparser.Error, ValueError) as error:
            raise ActError("settings.form", f"the file is no INI: {error}") from error

    @staticmethod
    def _split(key: str) -> tuple[str, str]:
        section, dot, name = key.rpartition(".")
        if not dot or not section or not name:
            raise _bad_key(key, '"section.key"')
        return section, name

    def get(self, key: str) -> str | None:
        section, name = self._split(key)
        if not self._updater.has_option(section, name):
            return None
        return self._updater[section][name].value or ""

    def put(self, key: str, value: str) -> None:
        section, name = self._split(key)
        if not self._updater.has_section(section):
            self._updater.add_section(section)
        self._updater[section][name] = value

    def drop(self, key: str) -> None:
        section, name = self._split(key)
        self._updater.remove_option(section, name)
        if not self._updater[section].options() and not str(self._updater[section]).strip().count("\n"):
            self._updater.remove_section(section)

    def text(self) -> str:
        return str(self._updater)


class _Env:
    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        if self._lines[-1] == "":
            self._lines.pop()

    def _at(self, key: str) -> tuple[int, re.Match[str]] | None:
        if not _NAME.match(key):
            raise _bad_key(key, "a name of letters, digits and _")
        # The last one counts, as it does for whoever reads the file.
        for number in range(len(self._lines) - 1, -1, -1):
            match = _ENV.match(self._lines[number])
            if match and match["key"] == key:
                return number, match
        return None

    def get(self, key: str) -> str | None:
        found = self._at(key)
        return found[1]["value"] if found else None

    def put(self, key: str, value: str) -> None:
        found = self._at(key)
        if found is None:
            self._lines.append(f"{key}={value}")
        else:
            self._lines[found[0]] = f"{found[1]['head']}{key}={value}"

    def drop(self, key: str) -> None:
        while (found := self._at(key)) is not None:
            del self._lines[found[0]]

    def text(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)


class _Json:
    def __init__(self, text: str) -> None:
        indent = _INDENT.search(text)
        self._indent: str | int | None = indent[1] if indent else 2 if not text.strip() else None
        self._end = "\n" if text.endswith("\n") or not text else ""
        try:
            self._value = json.loads(text) if text.strip() else {}
        except (ValueError, RecursionError) as error:
            raise ActError("settings.form", f"the file is no JSON: {error}") from error
        if not isinstance(self._value, dict):
            raise ActError("settings.form", "the file holds no JSON object")

    def _walk(self, key: str, *, make: bool) -> tuple[dict[str, Any], str] | None:
        *way, name = key.split(".")
        table = self._value
        for part in way:
            inner = table.get(part)
            if inner is None and make:
                inner = table[part] = {}
            if inner is None:
                return None
            if not isinstance(inner, dict):
                raise _bad_key(key, f"without {part!r} on its way, which is no object")
            table = inner
        return table, name

    def get(self, key: str) -> Form:
        found = self._walk(key, make=False)
        return found[0].get(found[1]) if found else None

    def put(self, key: str, value: Form) -> None:
        found = self._walk(key, make=True)
        if found:
            found[0][found[1]] = value

    def drop(self, key: str) -> None:
        found = self._walk(key, make=False)
        if found:
            found[0].pop(found[1], None)

    def text(self) -> str:
        return json.dumps(self._value, indent=self._indent, ensure_ascii=False) + self._end


class _Toml:
    def __init__(self, text: str) -> None:
        import tomlkit  # noqa: PLC0415 - see the rules
        from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415 - as above

        self._kit = tomlkit
        try:
            self._document = tomlkit.parse(text)
        except (TOMLKitError, RecursionError) as error:
            raise ActError("settings.form", f"the file is no TOML: {error}") from error

    def _walk(self, key: str, *, make: bool) -> tuple[Any, str] | None:
        *way, name = key.split(".")
        table: Any = self._document
        for part in way:
            if part not in table:
                if not make:
                    return None
                table[part] = self._kit.table()
            table = table[part]
            if not isinstance(table, dict):
                raise _bad_key(key, f"without {part!r} on its way, which is no table")
        return table, name

    def get(self, key: str) -> str | None:
        found = self._walk(key, make=False)
        if found is None or found[1] not in found[0]:
            return None
        return str(self._kit.item(found[0][found[1]]).as_string())

    def put(self, key: str, value: str) -> None:
        found = self._walk(key, make=True)
        if found:
            found[0][found[1]] = self._kit.value(value)

    def drop(self, key: str) -> None:
        found = self._walk(key, make=False)
        if found:
            found[0].remove(found[1])

    def text(self) -> str:
        return self._kit.dumps(self._document)
