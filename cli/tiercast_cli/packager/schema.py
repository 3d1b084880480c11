"""The JSON Schema of `package.toml`, for editors: completion, the words of a choice, and what a key is.

Rules
- Made out of the tables that the reader goes by, so that it can't say otherwise; a test compares keys with the
  definition's own.
- It is help while typing.  What counts is `tiercast package check`.
"""

from __future__ import annotations

from typing import Any

from tiercast_protocol.content.facts.inventory import FACTS
from tiercast_protocol.content.facts.versions import ORDERS
from tiercast_protocol.content.package.actiontypes import TYPES, Key
from tiercast_protocol.content.package.reboots import MODES
from tiercast_protocol.content.package.replacing import RULES

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_FLAG = {"type": "boolean"}
_TIME = {"type": "string", "description": 'seconds, as in "60s" or "5m"'}
_BYTES = {"type": ["string", "integer"], "description": 'bytes, as in 65536 or "64KiB"'}
_KINDS: dict[str, dict[str, Any]] = {
    "flag": _FLAG,
    "seconds": _TIME,
    "bytes": _BYTES,
    "argv": _TEXTS,
    "sources": _TEXTS,
    "users": _TEXTS,
    "keys": _TEXTS,
    "exits": {"type": "array", "items": {"type": "integer"}},
    "settings": {"type": "object"},
    "properties": {"type": "object"},
}


def schema() -> dict[str, Any]:
    """The whole schema."""
    program = _table("A program: an argument list, no shell.", argv=_TEXTS, timeout=_TIME, idempotent=_FLAG)
    program["properties"]["output_limit"] = _BYTES
    variable = _table(
        "Where its value comes from.", default=_TEXT, fact=_said(f"one of {', '.join(FACTS)}"), note=_TEXT
    )
    group = _table("Files for machines of one kind.", folder=_TEXT, platform=_said("a condition over facts"))
    handler = _table("A handler's programs.", install=_TEXTS, remove=_TEXTS, query=_TEXTS, timeout=_TIME)
    handler["properties"] |= {"idempotent": _FLAG, "output_limit": _BYTES}
    check = _table("A program that says whether it may be installed.", argv=_TEXTS, timeout=_TIME, every=_TIME)
    check["properties"] |= {"output_limit": _BYTES, "needs": _TEXT}
    confirm = _table("A program that has to confirm it in time.", argv=_TEXTS, timeout=_TIME, within=_TIME, every=_TIME)
    confirm["properties"] |= {"needs_gateway": _FLAG, "outage": _TIME}
    keys: dict[str, Any] = {
        "name": _said("1 to 63 letters, digits and . _ -"),
        "version": _said("1 to 64 letters, digits and . _ + ~ - : !"),
        "revision": {"type": "integer", "minimum": 1},
        "description": _TEXT,
        "run_before": program,
        "run_after": program,
        "allow_setuid": _FLAG,
        "allow_case_collisions": _FLAG,
        "condition": _said("a condition over facts: it waits where that is not true"),
        "requires": _TEXTS | {"description": 'packages it needs: "runtime >= 2"'},
        "conflicts": _TEXTS | {"description": "packages it can't stand beside"},
        "before": _TEXTS | {"description": "packages that go after it where both are ordered"},
        "version_order": {"enum": list(ORDERS), "description": "how versions compare"},
        "replace": {"enum": list(RULES), "description": "over what it may be installed"},
        "variables": {"type": "object", "additionalProperties": {"anyOf": [_TEXT, variable]}},
        "files": {"type": "object", "additionalProperties": group},
        "action": {"type": "array", "items": {"oneOf": [_action(name) for name in TYPES]}},
        "handler": handler,
        "check": check,
        "confirm": confirm,
        "reboot": {"enum": list(MODES), "description": "whether the machine restarts before it goes on"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tiercast package definition",
        "type": "object",
        "required": ["name", "version"],
        "additionalProperties": False,
        "properties": keys,
    }


def _said(text: str) -> dict[str, Any]:
    return _TEXT | {"description": text}


def _table(text: str, **keys: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "description": text, "properties": dict(keys), "additionalProperties": False}


def _action(name: str) -> dict[str, Any]:
    found = TYPES[name]
    keys = {key: _key(rule) for key, rule in found.keys.items()}
    required = ["type", *(key for key, rule in found.keys.items() if rule.default is None)]
    return {
        "type": "object",
        "properties": {"type": {"const": name}, **keys},
        "required": required,
        "additionalProperties": False,
    }


def _key(rule: Key) -> dict[str, Any]:
    return {"enum": list(rule.choices)} if rule.choices else _KINDS.get(rule.kind, _TEXT)
