"""Terms of jobs and links as people read them: by the options' own names, with units.  Pure.

Rules
- What was given as `--interval-pause 250ms` is shown so, not by the word that travels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercast_cli.shown import words

_NAMES = {"frames": "interval-frames", "frame_pause_ms": "interval-pause", "budget_s": "budget"}


def name(key: str) -> str:
    """The option of it, without its dashes."""
    return _NAMES.get(key, key.replace("_", "-"))


def value(key: str, said: Any) -> str:
    """What was said of it, with its unit."""
    if isinstance(said, bool):
        return "yes" if said else "no"
    if key in {"rate", "floor"}:
        return words.rate(said)
    if key in {"segment", "budget"}:
        return words.size(said)
    if key in {"pause", "budget_s"}:
        return words.span(said)
    return f"{said} ms" if key == "frame_pause_ms" else str(said)


def told(terms: Mapping[str, Any]) -> str:
    """All of them in one line; "" for none."""
    return ", ".join(f"{name(key)} {value(key, said)}" for key, said in terms.items())
