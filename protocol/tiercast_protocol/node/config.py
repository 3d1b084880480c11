"""Settings: one TOML file per daemon into one dataclass.

Rules
- The dataclass is the schema: names, types, defaults, and with `setting(doc=...)` what a person reads.
- Every mistake of a file is found in one pass and raised as one `ConfigError`; an unknown key is a
  mistake, with the nearest known key as advice.
- Durations, sizes and rates are written with their unit ("90d", "2GiB", "20MB/s") and held as seconds,
  bytes and bytes per second; a bare number is the base unit.
- A file that holds a secret is refused while others can read it, and is written with mode 0600.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import stat
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NewType, TypeVar

from tiercast_protocol.errors import ConfigError, Mistake

T = TypeVar("T")

#: Seconds.
Duration = NewType("Duration", float)
#: Bytes.
Size = NewType("Size", int)
#: Bytes per second; 0 is unlimited.
Rate = NewType("Rate", int)
#: Never logged, never in a file that others can read.
Secret = NewType("Secret", str)

_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "tb": 1000**4,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
_BITS = {"bit": 1, "kbit": 1000, "mbit": 1000**2, "gbit": 1000**3}
_TOO_MUCH = 1 << 62
_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)(/s)?\s*\Z")

_WORDS: dict[Any, str] = {
    Duration: 'a duration such as "30s", "15min" or "90d"',
    Size: 'a size such as "512MiB" or "20GB"',
    Rate: 'a rate such as "20MB/s" or "100Mbit/s", or "unlimited"',
    Secret: "a text",
    Path: "a path",
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


class _Wrong(Exception):
    """A value does not fit; the caller knows key and file."""


def setting(default: Any = dataclasses.MISSING, *, doc: str, check: Callable[[Any], str | None] | None = None) -> Any:
    """A field of a settings dataclass.

    Args:
        default: its default (an immutable value, or a dataclass type for a table); none makes the key required.
        doc: one or two lines that stand above the key in a written file.
        check: gives what would have been expected when the value is not right, else None.
    """
    metadata = {"doc": doc, "check": check}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def parse_duration(value: object) -> Duration:
    """Seconds of `value`: a number of seconds or a text with a unit.  Raises ValueError."""
    number, unit, per_second = _split(value)
    factor = _SECONDS.get(unit or "s")
    if factor is None or per_second:
        raise ValueError(f"{value!r} is not {_WORDS[Duration]}")
    return Duration(number * factor)


def parse_size(value: object) -> Size:
    """Bytes of `value`: a number of bytes or a text with a unit.  Raises ValueError."""
    number, unit, per_second = _split(value)
    factor = _BYTES.get(unit.lower() or "b")
    if factor is None or per_second:
        raise ValueError(f"{value!r} is not {_WORDS[Size]}")
    return Size(int(number * factor))


def parse_rate(value: object) -> Rate:
    """Bytes per second of `value`: a number, a text with a unit per second, or "unlimited".  Raises ValueError."""
    if isinstance(value, str) and value.strip().lower() in {"unlimited", "none"}:
        return Rate(0)
    number, unit, per_second = _split(value)
    unit = unit.lower()
    if unit and not per_second:
        raise ValueError(f"{value!r} is not {_WORDS[Rate]}")
    if unit in _BITS:
        return Rate(int(number * _BITS[unit] / 8))
    if (unit or "b") not in _BYTES:
        raise ValueError(f"{value!r} is not {_WORDS[Rate]}")
    return Rate(int(number * _BYTES[unit or "b"]))


def load(path: Path, type_: type[T]) -> T:
    """Read the TOML file at `path` as `type_`.

    Raises:
        ConfigError: the file can't be read, is not TOML, or has mistakes (all of them).
    """
    try:
        text = path.read_text("utf-8")
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise _one(path, "(file)", "it does not exist", "a file made by `init` or `join`") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise _one(path, "(file)", str(reason), "a readable TOML file in UTF-8") from error
    return parse(text, type_, path, mode=mode)


def parse(text: str, type_: type[T], path: Path, *, mode: int = 0o600) -> T:
    """`text`, which stands in `path`, as `type_`; raises ConfigError with every mistake."""
    try:
        plain = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _one(path, "(syntax)", str(error), 'TOML, as in key = "value"') from error
    mistakes: list[Mistake] = []
    secrets: list[str] = []
    value = _table(plain, type_, "", mistakes, secrets)
    if secrets and mode & (stat.S_IRWXG | stat.S_IRWXO):
        mistakes.append(Mistake(secrets[0], f"a secret in a file of mode {mode & 0o777:04o}", "mode 0600 (chmod 600)"))
    if mistakes:
        raise ConfigError(str(path), tuple(mistakes))
    return typing.cast("T", value)


def _one(path: Path, key: str, problem: str, expected: str) -> ConfigError:
    return ConfigError(str(path), (Mistake(key, problem, expected),))


def _split(value: object) -> tuple[float, str, bool]:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _TOO_MUCH:
        return float(value), "", False
    if isinstance(value, str) and (match := _NUMBER.match(value)) and float(match[1]) < _TOO_MUCH:
        return float(match[1]), match[2], match[3] is not None
    raise ValueError(f"{value!r} is no number with a unit")


def _table(plain: Mapping[str, Any], type_: type, at: str, mistakes: list[Mistake], secrets: list[str]) -> object:
    hints = typing.get_type_hints(type_)
    fields = {f.name: f for f in dataclasses.fields(type_) if f.init}
    for key in plain.keys() - fields.keys():
        near = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
        advice = f'"{near[0]}" (did you mean that?)' if near else "one of " + ", ".join(sorted(fields))
        mistakes.append(Mistake(at + key, "it is not a known key", advice))
    found: dict[str, Any] = {}
    before = len(mistakes)
    for name, field in fields.items():
        key = at + name
        if name not in plain:
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                mistakes.append(Mistake(key, "it is missing", expected(hints[name])))
            continue
        found[name] = _value(plain[name], hints[name], key, mistakes, secrets)
        check = field.metadata.get("check")
        wish = check(found[name]) if check is not None and found[name] is not None else None
        if wish is not None:
            mistakes.append(Mistake(key, f"{plain[name]!r} is not right", wish))
    return type_(**found) if len(mistakes) == before else None


def _value(plain: Any, hint: Any, key: str, mistakes: list[Mistake], secrets: list[str]) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(plain, dict):
        return _table(plain, hint, key + ".", mistakes, secrets)
    if hint is Secret and plain:
        secrets.append(key)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        return _value(plain, next(a for a in args if a is not types.NoneType), key, mistakes, secrets)
    if origin is tuple and isinstance(plain, list):
        return tuple(_value(v, args[0], f"{key}[{n}]", mistakes, secrets) for n, v in enumerate(plain))
    if origin is dict and isinstance(plain, dict):
        return {k: _value(v, args[1], f"{key}.{k}", mistakes, secrets) for k, v in plain.items()}
    try:
        return _scalar(plain, hint)
    except (_Wrong, ValueError):
        shown = "a secret" if hint is Secret else repr(plain)
        mistakes.append(Mistake(key, f"{shown} does not fit", expected(hint)))
        return None


def _scalar(plain: Any, hint: Any) -> Any:
    units: dict[Any, Callable[[object], Any]] = {Duration: parse_duration, Size: parse_size, Rate: parse_rate}
    if hint in units:
        return units[hint](plain)
    if typing.get_origin(hint) is Literal and plain in typing.get_args(hint):
        return plain
    kind = {Secret: str, Path: str}.get(hint, hint)
    if kind is float and type(plain) is int:
        return float(plain)
    if isinstance(kind, type) and type(plain) is kind:
        return Path(str(plain)) if hint is Path else plain
    raise _Wrong


def expected(hint: Any) -> str:
    """What a value of type `hint` looks like in the file, in words."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in _WORDS:
        return _WORDS[hint]
    if origin is Literal:
        return "one of " + ", ".join(f'"{a}"' for a in args)
    if origin in {typing.Union, types.UnionType}:
        return expected(next(a for a in args if a is not types.NoneType))
    if origin is tuple:
        return f"a list, each {expected(args[0])}"
    return "a table"
