"""Templates: a request with parameters, and the request that it becomes once they are given.

Rules
- A parameter is a mark `{name}` anywhere in the request's texts; or else one of the request's own words (package, on,
  group, target, note, expires, or an option such as priority), which it replaces.  One that is neither has no place: an
  error when the template is saved, not when it is used.
- Only declared parameters are marks: other braces, of shells or expressions, stay as they are.
- Everything missing is named at once, and so is everything that the template does not know.
- Values are texts as people type them; what they mean, and whether it can work, is checked as for any job.
- Pure: nothing here reads a row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tiercast_protocol.content.package import actions
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.config import parse_duration, parse_rate, parse_size
from tiercast_protocol.transfer.terms import JOB_WORDS

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}\Z")
MOST = 32
_MAX_VALUE = 4_096


def _names(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _seconds(text: str) -> int:
    return max(1, round(parse_duration(text)))


#: Words of a request: where they stand in it, and how their text is read.
WORDS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "package": ("package", str),
    "note": ("note", str),
    "on": ("targets", _names),
    "group": ("groups", _names),
    "target": ("target", str),
    "expires": ("expires_s", _seconds),
}
#: Options that go by another name on the command line, and those with units.
ALIASES = {"timeout": "run_timeout_s", "exit": "exits", "program": "argv"}
_UNITS: dict[str, Callable[[str], int]] = {
    "run_timeout_s": _seconds,
    "pause": _seconds,
    "budget_s": _seconds,
    "rate": lambda text: int(parse_rate(text)),
    "floor": lambda text: int(parse_rate(text)),
    "segment": lambda text: int(parse_size(text)),
    "budget": lambda text: int(parse_size(text)),
    "output": lambda text: int(parse_size(text)),
}
_TEXTS = frozenset({"argv", "exits", "user", "text", "title", "window", "fanout", "per"})


@dataclass(frozen=True, slots=True)
class Template:
    """A request, and its parameters by name: their default, or None where one must be given."""

    request: dict[str, Any]
    parameters: dict[str, str | None]


def declare(request: Mapping[str, Any], parameters: Sequence[str]) -> Template:
    """The template of `request` with parameters as they are typed: NAME, or NAME=DEFAULT.

    Raises:
        UsageError: template.parameter.
    """
    declared: dict[str, str | None] = {}
    for text in parameters:
        name, equals, default = text.partition("=")
        if not NAME.match(name) or name in declared:
            raise _wrong(f"{name[:60]!r} is no name for a parameter, or stands twice", "Write NAME or NAME=DEFAULT.")
        declared[name] = default if equals else None
    if len(declared) > MOST:
        raise _wrong(f"{len(declared)} parameters are too many", f"Choose at most {MOST}.")
    template = Template(dict(request), declared)
    lost = [name for name in declared if not _marked(request, name) and _place(request, name) is None]
    if lost:
        raise _wrong(
            f"The parameter {lost[0]!r} has no place in the job",
            f"Write {{{lost[0]}}} into one of its texts, or name one of its words: {', '.join(_words(request))}.",
        )
    for name, value in declared.items():  # a default that can't be read is told now, not when it is used
        if value is not None and not _marked(request, name):
            _read(request, name, value)
    return template


def fill(template: Template, given: Mapping[str, str], name: str) -> dict[str, Any]:
    """The request that the template `name` becomes.

    Raises:
        UsageError: template.missing, template.unknown-parameter or template.value.
    """
    unknown = sorted(given.keys() - template.parameters.keys())
    if unknown:
        known = ", ".join(template.parameters) or "none"
        raise UsageError(
            code="template.unknown-parameter",
            what=f"The template {name!r} has no parameter {', '.join(map(repr, unknown))}.",
            todo=f"Its parameters: {known}. Nothing was done.",
        )
    values = {key: given.get(key, default) for key, default in template.parameters.items()}
    missing = [key for key, value in values.items() if value is None]
    if missing:
        sets = " ".join(f"--set {key}=..." for key in missing)
        raise UsageError(
            code="template.missing",
            what=f"The template {name!r} needs {', '.join(map(repr, missing))}.",
            todo=f"Say `tiercast job from {name} {sets}`. Nothing was done.",
        )
    request = dict(template.request)
    marks: dict[str, str] = {}
    for key, value in values.items():
        text = value or ""
        if len(text) > _MAX_VALUE:
            raise _bad(key, text, f"at most {_MAX_VALUE} characters")
        if _marked(template.request, key):
            marks[key] = text
            continue
        read = _read(template.request, key, text)
        place = _place(template.request, key) or ("", "")
        if place[0] == "options":
            request["options"] = {**(request.get("options") or {}), place[1]: read}
        else:
            request[place[0]] = read
    filled: dict[str, Any] = _replaced(request, marks)
    return filled


def _marked(request: Mapping[str, Any], name: str) -> bool:
    return f"{{{name}}}" in json.dumps(request, default=str, ensure_ascii=False)


def _words(request: Mapping[str, Any]) -> list[str]:
    """The words of this request that can be parameters."""
    options = request.get("options") or {}
    own = actions.OPTIONS.get(str(request.get("type")), {})
    return [*WORDS, *sorted({*options, *own} | set(JOB_WORDS))]


def _place(request: Mapping[str, Any], name: str) -> tuple[str, str] | None:
    """Where a word stands: ("package", ""), ("options", "priority")."""
    if name in WORDS:
        return WORDS[name][0], ""
    key = ALIASES.get(name, name).replace("-", "_")
    return ("options", key) if key in _words(request) else None


def _read(request: Mapping[str, Any], name: str, text: str) -> Any:
    """What the text of the word `name` means."""
    try:
        if name in WORDS:
            return WORDS[name][1](text)
        key = (_place(request, name) or ("", name))[1]
        if key in _UNITS:
            return _UNITS[key](text)
    except ValueError as error:
        raise _bad(name, text, str(error)) from None
    if key in _TEXTS:
        return text
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else text  # noqa: PLR2004 - a whole number of 53 bits


def _replaced(value: Any, marks: Mapping[str, str], key: str = "") -> Any:
    """`value` with every mark replaced, at any depth."""
    if isinstance(value, dict):
        return {name: _replaced(one, marks, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, marks) for one in value]
    if not isinstance(value, str) or not marks:
        return value
    if key == "argv":  # a list in a text: a quote in a value must not end an argument
        with suppress(ValueError):
            return json.dumps(_replaced(json.loads(value), marks), ensure_ascii=False, separators=(",", ":"))
    # In one pass: what a value brings along is never taken for a mark.
    found = re.compile("|".join(re.escape(f"{{{name}}}") for name in marks))
    return found.sub(lambda match: marks[match[0][1:-1]], value)


def _wrong(what: str, todo: str) -> UsageError:
    return UsageError(code="template.parameter", what=f"{what}.", todo=f"{todo} Nothing was saved.")


def _bad(name: str, text: str, why: str) -> UsageError:
    return UsageError(
        code="template.value", what=f"{text[:60]!r} can't be the parameter {name!r}: {why}.", todo="Nothing was done."
    )
