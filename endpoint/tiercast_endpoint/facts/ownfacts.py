"""Facts that the machine's owner defines: programs of a folder say them (docs/inventory.md).

Rules
- Every executable file of the folder is run, one after the other, with a time limit and a limit on what it prints; it
  prints lines `name = value`, or one JSON object of names.  A fact is called PROGRAM.NAME, where PROGRAM is the file's
  name without what follows its first dot: so two programs can't say the same fact.
- Values are typed: JSON's own, and of a line true, false, a whole number, a number, else text.
- A program that fails (or can't be believed: others may write to it) is named with the reason, and what it said last
  is gone: a fact is known or it is not.  One that fails keeps no other from being asked.
- Asked at the start, every `every_s`, and when a job asks for an inventory.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiercast_endpoint.jobs.programs import PATH, Ran, run_program
from tiercast_protocol.content.facts.inventory import LONGEST, MOST_CUSTOM, MOST_FAILED, Scalar

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}\Z")
_LINE = re.compile(r"\s*([^=\s]+)\s*=\s*(.*?)\s*\Z")
_NUMBER, _WHOLE = re.compile(r"-?\d+\.\d+(?:[eE][-+]?\d+)?\Z"), re.compile(r"-?\d{1,15}\Z")
_MOST = 1 << 53
#: What it says beside its facts goes nowhere: a warning is no fact.
_QUIETLY = 'exec "$0" 2>/dev/null'


@dataclass(frozen=True, slots=True)
class Found:
    """What the programs said; `failed` by program the reason."""

    facts: dict[str, Scalar] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class OwnFacts:
    """The programs of one folder.

    Args:
        folder: where they are; it need not be there.
        timeout_s: longest that one may run.
        limit: most bytes that one may print.
        every_s: how long what they said is taken for true.
    """

    def __init__(
        self, folder: Path, *, timeout_s: float = 10.0, limit: int = 64 << 10, every_s: float = 3600.0
    ) -> None:
        self._folder, self._timeout_s, self._limit, self._every_s = folder, timeout_s, limit, every_s
        self._held = Found()
        self._asked = -math.inf

    @property
    def held(self) -> Found:
        """What was said last."""
        return self._held

    async def ask(self, *, anew: bool = False) -> Found:
        """What they say; asked `anew`, or when what was said is too old."""
        if anew or time.monotonic() - self._asked >= self._every_s:
            self._held = await self._all()
            self._asked = time.monotonic()
        return self._held

    async def _all(self) -> Found:
        facts: dict[str, Scalar] = {}
        failed: dict[str, str] = {}
        for path in _programs(self._folder):
            name = path.name.split(".", 1)[0]
            reason = _doubt(path) if _NAME.match(name) else "its name can't stand before a fact's"
            if not reason:
                try:
                    ran = await run_program(
                        ["/bin/sh", "-c", _QUIETLY, str(path)],
                        cwd=self._folder,
                        env={"PATH": PATH, "LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/")},
                        timeout_s=self._timeout_s,
                        output_limit=2 * self._limit + 2,
                        grace_s=1.0,
                    )
                    said = self._read(ran)
                    if len(facts) + len(said) > MOST_CUSTOM:
                        raise ValueError(f"more than {MOST_CUSTOM} facts come of all programs")  # noqa: TRY301
                    facts |= {f"{name}.{key}": value for key, value in said.items()}
                except OSError as error:
                    reason = f"could not be started: {error.strerror}"
                except (ValueError, RecursionError) as error:
                    reason = str(error)
            if reason and len(failed) < MOST_FAILED:
                failed[path.name[:LONGEST]] = reason[:LONGEST]
        return Found(facts, failed)

    def _read(self, ran: Ran) -> dict[str, Scalar]:
        if len(ran.output) > self._limit:  # first: a flood does not end by itself, and that it floods is what is wrong
            raise ValueError(f"printed more than {self._limit} bytes")
        if ran.timed_out:
            raise ValueError(f"was killed after {self._timeout_s:g} s")
        if ran.exit:
            raise ValueError(f"ended with status {ran.exit}" if ran.exit > 0 else f"was ended by signal {-ran.exit}")
        return parsed(ran.output.decode("utf-8", "replace"))


def parsed(text: str) -> dict[str, Scalar]:
    """The facts that a program printed.

    Raises:
        ValueError: what is wrong with it.
    """
    if not text.lstrip().startswith("{"):
        return dict(_lines(text))
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        raise ValueError(f"printed no JSON: {error}") from error
    return {_checked(key): _scalar(key, value) for key, value in found.items()}


def _lines(text: str) -> Iterator[tuple[str, Scalar]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise ValueError(f"line {number} is no `name = value`: {line.strip()[:60]!r}")
        yield _checked(match[1]), _scalar(match[1], _typed(match[2]))


def _typed(text: str) -> Scalar:
    if text in {"true", "false"}:
        return text == "true"
    if _WHOLE.match(text):
        return int(text)
    return float(text) if _NUMBER.match(text) else text.removeprefix('"').removesuffix('"')


def _checked(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError(f"{name[:60]!r} can't name a fact")
    return name


def _scalar(name: str, value: Any) -> Scalar:
    fits = isinstance(value, bool | int | float | str)
    if not fits or (isinstance(value, str) and len(value) > LONGEST):
        raise ValueError(f"{name[:60]} is no text of up to {LONGEST} letters, number, true or false")
    if not isinstance(value, str) and not -_MOST < value < _MOST:
        raise ValueError(f"{name[:60]} is too large a number")
    found: Scalar = value
    return found


def _programs(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file() and os.access(path, os.X_OK))
    except OSError:
        return []


def _doubt(path: Path) -> str:
    """Why the agent, who may be root, must not run it; "" where nothing is wrong."""
    for one in (path.parent, path):
        seen = one.stat()
        if seen.st_uid not in {0, os.geteuid()}:
            return f"{one.name} belongs to another user"
        if seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"others than its owner may write to {one.name}"
    return ""
