"""The file of the desired state: TOML with groups, windows and assignments; read, and written again.

Rules (docs/desired-state.md)
- An assignment has `has` or `lacks`, `window`, `paused`, `rollout`; every other key is an option of `job install` (of
  `lacks`: of `job remove`), read by that very command, so that it takes what the command takes.
- All mistakes are told at once, each with its line and key.  What names mean only the server judges: it gets the lines.
- What is written is what was read, key by key: `apply` of an export changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tiercast_cli.jobs import jobfiles
from tiercast_cli.jobs.planfiles import asked_with
from tiercast_cli.said.durations import seconds_of
from tiercast_protocol.content.package.lines import lines_of

FORMAT = 1
KINDS = ("group", "window", "assignment")
_OWN = ("has", "lacks", "window", "paused", "rollout")
#: Options of one call, that say nothing of jobs to come.
_OF_THE_CALL = frozenset({"dry_run", "confirm", "once", "folder", "type", "package", "program", "text"})
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
#: A list with more entries has a line for each.
_ROW = 6


@dataclass(slots=True)
class _File:
    where: str
    lines: dict[str, int] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)

    def wrong(self, key: str, what: str) -> None:
        at = key
        while at and at not in self.lines:
            at = at.rpartition(".")[0]
        self.mistakes.append(f"{f'line {self.lines[at]}, ' if at else ''}{key}: {what.rstrip('.')}")


def document_of(file: str) -> dict[str, Any]:
    """What `desired.apply` is asked with: {document, lines}; "-" is the standard input.

    Raises:
        UsageError: file.unreadable, file.invalid, desired.invalid.
    """
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - late: most runs have no file

    table, text = jobfiles.read_with_text(file)
    found = _File("standard input" if file == "-" else file, lines_of(text))
    document = _document(table, found)
    if found.mistakes:
        count = f"{len(found.mistakes)} mistake{'s' if len(found.mistakes) > 1 else ''}"
        raise UsageError(
            code="desired.invalid",
            what="\n".join([f"{count} in {found.where}:", *found.mistakes]),
            todo="Correct it and try again. Nothing was changed.",
        )
    return {"document": document, "lines": dict(list(found.lines.items())[:1000])}


def _document(table: dict[str, Any], file: _File) -> dict[str, Any]:
    for key in table.keys() - {*KINDS, "format"}:
        file.wrong(key, f"unknown key; there are: format, {', '.join(KINDS)}")
    if table.get("format", FORMAT) != FORMAT:
        file.wrong("format", f"this version reads format {FORMAT}, not {table['format']!r}")
    readers: dict[str, Callable[[str, dict[str, Any], _File], dict[str, Any]]] = {
        "group": _group,
        "window": _window,
        "assignment": _assignment,
    }
    found: dict[str, Any] = {"format": FORMAT}
    for kind, reader in readers.items():
        said = table.get(kind, {})
        rows: list[dict[str, Any]] = []
        for name, one in said.items() if isinstance(said, dict) else ():
            if isinstance(one, dict):
                rows.append(reader(name, one, file))
            else:
                file.wrong(f"{kind}.{name}", f"no table; write [{kind}.{name}]")
        if not isinstance(said, dict):
            file.wrong(kind, f"no table; write [{kind}.NAME]")
        found[f"{kind}s"] = rows
    return found


def _group(name: str, table: dict[str, Any], file: _File) -> dict[str, Any]:
    key = f"group.{name}"
    said = dict(table)
    if isinstance(window := said.get("install_window"), list) and all(isinstance(one, str) for one in window):
        said["install_window"] = "; ".join(window)
    expected = {"members": list, "where": str, "self_join": bool, "install_window": str}
    return {"name": name, **_typed(key, said, expected, file)}


def _window(name: str, table: dict[str, Any], file: _File) -> dict[str, Any]:
    key = f"window.{name}"
    said = table.get("open")
    texts = [said] if isinstance(said, str) else said
    if not isinstance(texts, list) or not texts or not all(isinstance(one, str) for one in texts):
        file.wrong(f"{key}.open", 'must be a window, or a list: open = "mon-fri 22:00-06:00"')
        texts = []
    for other in table.keys() - {"open"}:
        file.wrong(f"{key}.{other}", "unknown key; there is: open")
    return {"name": name, "open": "; ".join(texts)}


def _typed(key: str, table: dict[str, Any], expected: dict[str, type], file: _File) -> dict[str, Any]:
    words = {list: "a list of texts", str: "a text", bool: "true or false"}
    for word, value in table.items():
        kind = expected.get(word)
        if kind is None:
            file.wrong(f"{key}.{word}", f"unknown key; there are: {', '.join(expected)}")
        elif not isinstance(value, kind) or (
            isinstance(value, list) and not all(isinstance(one, str) for one in value)
        ):
            file.wrong(f"{key}.{word}", f"must be {words[kind]}")
    return {word: value for word, value in table.items() if word in expected}


def _assignment(name: str, table: dict[str, Any], file: _File) -> dict[str, Any]:
    key = f"assignment.{name}"
    before = len(file.mistakes)
    word, windows = _subject(key, table, file), _windows(key, table, file)
    kind = "install" if word == "has" else "remove"
    if not isinstance(table.get("paused", False), bool):
        file.wrong(f"{key}.paused", "must be true or false")
    rollout = _rollout(f"{key}.rollout", table["rollout"], file) if "rollout" in table else None
    if rollout is not None and kind == "remove":
        file.wrong(f"{key}.rollout", "only what is installed is rolled out")
    job = {word: value for word, value in table.items() if word not in _OWN}
    if not table.keys() & {"group", "target", "on"}:
        file.wrong(key, 'it says not for whom: write group = "...", target = "..." or on = ["..."]')
    for option, value in job.items():
        _option(f"{key}.{option}", kind, option, value, file)
    if len(file.mistakes) > before:
        return {"name": name, "target": ""}
    asked = asked_with({"type": kind, "package": "any", **job}, key)
    return {
        "name": name,
        "target": _target(asked, key, file),
        word: table[word],
        "paused": table.get("paused", False),
        "window": windows,
        "options": asked["options"],
        "note": asked["note"],
        "expires_s": asked["expires_s"],
        "rollout": rollout,
        "table": table,
    }


def _subject(key: str, table: dict[str, Any], file: _File) -> str:
    """Whether it `has` or `lacks` something."""
    said = [word for word in ("has", "lacks") if word in table]
    if len(said) != 1:
        file.wrong(key, 'write one of has = "editor >= 2.1" and lacks = "editor"')
    for word in said:
        if not isinstance(table[word], str) or not table[word].strip():
            file.wrong(f"{key}.{word}", 'must be a text: "editor >= 2.1"')
    return said[0] if said else "has"


def _windows(key: str, table: dict[str, Any], file: _File) -> list[str]:
    """The names of the windows of installation."""
    found = table.get("window", [])
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        file.wrong(f"{key}.window", "must be the name of a window, or a list of names")
        return []
    if found and table.keys() & {"install_window", "install-window"}:
        file.wrong(f"{key}.window", "there is install_window too; say one of both")
    return found


def _option(key: str, kind: str, word: str, value: Any, file: _File) -> None:
    """Note what is wrong with one option of the jobs."""
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - as above

    if word.replace("-", "_") in _OF_THE_CALL:
        file.wrong(key, f"unknown key; there are: {', '.join(_OWN)}, and options of `tiercast job {kind}`")
        return
    try:
        asked_with({"type": kind, "package": "any", word: value}, key)
    except UsageError as error:
        needs_more = error.code.startswith("transfer.") or error.code.endswith(".alone")
        if not needs_more:
            known = " (`tiercast job " + kind + " --help` shows all)" if error.code == "file.key" else ""
            file.wrong(key, ("unknown key" if error.code == "file.key" else error.what) + known)


def _target(asked: dict[str, Any], key: str, file: _File) -> str:
    from tiercast_protocol.content.jobs.target import union  # noqa: PLC0415 - as above
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - as above

    try:
        return str(union(asked["targets"], asked["groups"], asked.get("target", "")) or "")
    except UsageError as error:
        file.wrong(f"{key}.target", error.what)
        return ""


def _rollout(key: str, said: Any, file: _File) -> dict[str, Any] | None:
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - as above

    example = 'write rollout = { waves = ["1", "10%", "rest"], go_on = "95%", soak = "1h", stop_at = "5%" }'
    if not isinstance(said, dict) or not isinstance(said.get("waves"), list) or not said["waves"]:
        file.wrong(key, example)
        return None
    found: dict[str, Any] = {"waves": [str(one) for one in said["waves"]]}
    for word, value in said.items():
        if word in {"go_on", "stop_at", "stop_at_site"} and type(value) in {str, int}:
            found[word] = str(value)
        elif word == "by_hand" and isinstance(value, bool):
            found[word] = value
        elif word == "soak" and isinstance(value, str):
            try:
                found["soak_s"] = seconds_of(value, "soak")
            except UsageError as error:
                file.wrong(f"{key}.soak", error.what)
        elif word != "waves":
            file.wrong(f"{key}.{word}", example)
    return found


# -- writing -----------------------------------------------------------------------------------------


def write(file: str, text: str) -> None:
    """Put `text` into `file`.

    Raises:
        UsageError: file.unwritable.
    """
    from pathlib import Path  # noqa: PLC0415 - late: only who has a file pays for it

    try:
        Path(file).write_text(text, "utf-8")
    except OSError as error:
        raise jobfiles.wrong(
            "file.unwritable", f"It can't be written: {error.strerror}", file, "Choose another."
        ) from None


def text_of(document: Mapping[str, Any]) -> str:
    """The file that means this document; each table's keys as they were written."""
    parts = [f"format = {FORMAT}\n"]
    for group in document["groups"]:
        table = {"members": group["members"]} if group["members"] or not group["where"] else {}
        table |= {word: group[word] for word in ("where", "self_join", "install_window") if group.get(word)}
        parts.append(_table("group", group["name"], table))
    for window in document["windows"]:
        texts = window["open"].split("; ")
        parts.append(_table("window", window["name"], {"open": texts if len(texts) > 1 else texts[0]}))
    parts += [_table("assignment", one["name"], one["table"]) for one in document["assignments"]]
    return "\n".join(parts)


def _table(kind: str, name: str, table: Mapping[str, Any]) -> str:
    rows = [f"[{kind}.{_word(name)}]", *(f"{_word(key)} = {_value(value)}" for key, value in table.items())]
    return "\n".join(rows) + "\n"


def _word(key: str) -> str:
    return key if _BARE.match(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        if len(value) > _ROW:
            return "[\n" + "".join(f"    {_value(one)},\n" for one in value) + "]"
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_word(key)} = {_value(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)
