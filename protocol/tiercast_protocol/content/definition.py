"""The package definition: `package.toml`, what a human writes beside a file tree.

Rules
- Every mistake of the file is told in one pass, with its key and what was expected.
- Unknown keys are mistakes: a misspelt `timeout` must not be a silent default.
- The canonical text (`canonical`) stands in the root: same definition, same text, whatever the layout or comments were.
- Programs are argument lists, never shell lines; the program itself is a path inside the tree ("./hooks/before.sh")
  or absolute.
- A condition is compiled here: what no machine could test, or what names no fact, is never sealed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields

from tiercast_protocol.content.condition import compile_condition
from tiercast_protocol.content.manifest import MAX_DEFINITION, valid_version
from tiercast_protocol.content.paths import check_path
from tiercast_protocol.content.versions import read_requirement
from tiercast_protocol.errors import ConfigError, MessageInvalid, Mistake, UsageError
from tiercast_protocol.wire.topics import valid_name

DEFAULT_TIMEOUT_S = 60
MAX_TIMEOUT_S = 24 * 3600
DEFAULT_OUTPUT = 64 * 1024
MAX_OUTPUT = 256 * 1024
MAX_DESCRIPTION = 4096
MAX_ARGUMENTS, MAX_ARGUMENT = 64, 4096
MAX_REVISION = 2**31 - 1
MOST_REQUIREMENTS = 100

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_UNITS_B = {"": 1, "B": 1, "KiB": 1024, "kB": 1000, "MiB": 1024 * 1024, "MB": 1000 * 1000}
_AMOUNT = re.compile(r"(\d{1,9})\s*([A-Za-z]*)\Z")


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run.

    Attributes:
        argv: the program and its arguments.
        timeout_s: seconds after which it is killed.
        idempotent: whether it may run again after it was started and not seen to finish.
        output_limit: bytes of its output that are kept.
    """

    argv: tuple[str, ...]
    timeout_s: int = DEFAULT_TIMEOUT_S
    idempotent: bool = False
    output_limit: int = DEFAULT_OUTPUT

    @property
    def path_in_tree(self) -> str | None:
        """The program's path inside the tree; None when it is absolute."""
        return self.argv[0].removeprefix("./") if self.argv[0].startswith("./") else None


@dataclass(frozen=True, slots=True)
class Definition:
    """What a package is, apart from its tree.

    `allow_setuid` lets files keep setuid and setgid bits; `allow_case_collisions` lets names differ by case
    only (kernel headers do), for endpoints whose file systems tell them apart.  `condition` is over the facts of a
    machine (docs/jobs.md); `requires` and `conflicts` name packages, as in "editor >= 2".
    """

    name: str
    version: str
    revision: int = 1
    description: str = ""
    run_before: Program | None = None
    run_after: Program | None = None
    allow_setuid: bool = False
    allow_case_collisions: bool = False
    condition: str = ""
    requires: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


def parse_definition(text: str, where: str = "package.toml") -> Definition:
    """The definition in `text`; `where` names the file for the reader.

    Raises:
        ConfigError: all mistakes.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(where, (Mistake("(file)", f"not TOML: {error}", "TOML 1.0"),)) from error
    reader = _Reader(table)
    definition = _read(reader)
    if definition is None or reader.mistakes:
        raise ConfigError(where, tuple(reader.mistakes))
    if len(canonical(definition).encode()) > MAX_DEFINITION:
        too_long = Mistake("(file)", "too long", f"at most {MAX_DEFINITION} bytes in all")
        raise ConfigError(where, (too_long,))
    return definition


def canonical(definition: Definition) -> str:
    """The one text of `definition`; `parse_definition` of it gives the same definition again."""
    lines = [
        f"name = {_quoted(definition.name)}",
        f"version = {_quoted(definition.version)}",
        f"revision = {definition.revision}",
    ]
    if definition.description:
        lines.append(f"description = {_quoted(definition.description)}")
    if definition.allow_setuid:
        lines.append("allow_setuid = true")
    if definition.allow_case_collisions:
        lines.append("allow_case_collisions = true")
    if definition.condition:
        lines.append(f"condition = {_quoted(definition.condition)}")
    for key, needs in (("requires", definition.requires), ("conflicts", definition.conflicts)):
        if needs:
            lines.append(f"{key} = [{', '.join(map(_quoted, needs))}]")
    for key, program in (("run_before", definition.run_before), ("run_after", definition.run_after)):
        if program is not None:
            lines += [
                "",
                f"[{key}]",
                f"argv = [{', '.join(map(_quoted, program.argv))}]",
                f'timeout = "{program.timeout_s}s"',
                f"idempotent = {str(program.idempotent).lower()}",
                f"output_limit = {program.output_limit}",
            ]
    return "\n".join(lines) + "\n"


class _Reader:
    """One table and the mistakes found in it."""

    def __init__(self, table: Mapping[str, object], under: str = "", mistakes: list[Mistake] | None = None) -> None:
        self.table = table
        self.under = under
        self.mistakes: list[Mistake] = [] if mistakes is None else mistakes
        #: Keys that hold a text, right or wrong.
        self.texts: set[str] = set()

    def wrong(self, key: str, problem: str, expected: str) -> None:
        self.mistakes.append(Mistake(self.under + key, problem, expected))

    def known(self, *keys: str) -> None:
        for key in self.table:
            if key not in keys:
                self.wrong(key, "unknown key", f"one of {', '.join(keys)}")

    def text(self, key: str, expected: str, default: str | None = None) -> str:
        value = self.table.get(key, default)
        if isinstance(value, str):
            self.texts.add(key)
            return value
        self.wrong(key, "missing" if value is None else f"is {_shown(value)}", expected)
        return ""

    def whole(self, key: str, default: int, most: int) -> int:
        value = self.table.get(key, default)
        if type(value) is int and 1 <= value <= most:
            return value
        self.wrong(key, f"is {_shown(value)}", f"a whole number from 1 to {most}")
        return default

    def flag(self, key: str) -> bool:
        value = self.table.get(key, False)
        if isinstance(value, bool):
            return value
        self.wrong(key, f"is {_shown(value)}", "true or false")
        return False

    def amount(self, key: str, default: int, most: int, units: Mapping[str, int], example: str) -> int:
        value = self.table.get(key, default)
        match = _AMOUNT.match(str(value)) if type(value) in {int, str} else None
        factor = units.get(match[2]) if match else None
        if match and factor and 1 <= int(match[1]) * factor <= most and (type(value) is str or "" in units):
            return int(match[1]) * factor
        if key not in self.table:
            return default
        self.wrong(key, f"is {_shown(value)}", f"{example}, at most {most}")
        return default


def _read(reader: _Reader) -> Definition | None:
    reader.known(*(field.name for field in fields(Definition)))
    name_rule = "1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit, not beginning with join-"
    name = reader.text("name", name_rule)
    if "name" in reader.texts and not valid_name(name):
        reader.wrong("name", f"is {_shown(name)}", name_rule)
    version_rule = "1 to 64 of A-Z a-z 0-9 . _ + ~ -, the first a letter or digit, in quotes"
    version = reader.text("version", version_rule)
    if "version" in reader.texts and not valid_version(version):
        reader.wrong("version", f"is {_shown(version)}", version_rule)
    revision = reader.whole("revision", 1, MAX_REVISION)
    description = reader.text("description", "a text", "")
    if len(description) > MAX_DESCRIPTION:
        reader.wrong("description", f"has {len(description)} characters", f"at most {MAX_DESCRIPTION}")
    return Definition(
        name=name,
        version=version,
        revision=revision,
        description=description,
        run_before=_program(reader, "run_before"),
        run_after=_program(reader, "run_after"),
        allow_setuid=reader.flag("allow_setuid"),
        allow_case_collisions=reader.flag("allow_case_collisions"),
        condition=_condition(reader),
        requires=_needs(reader, "requires", name),
        conflicts=_needs(reader, "conflicts", name),
    )


def _condition(reader: _Reader) -> str:
    text = reader.text("condition", "a condition over facts", "").strip()
    if text:
        try:
            compile_condition(text)
        except UsageError as error:
            reader.wrong("condition", error.what, error.todo)
    return text


def _needs(reader: _Reader, key: str, name: str) -> tuple[str, ...]:
    value = reader.table.get(key, [])
    rule = f'a list of at most {MOST_REQUIREMENTS} texts, as in ["editor >= 2", "word"]'
    if not isinstance(value, list) or len(value) > MOST_REQUIREMENTS or not all(isinstance(one, str) for one in value):
        reader.wrong(key, f"is {_shown(value)}", rule)
        return ()
    found: list[str] = []
    for text in value:
        try:
            one = read_requirement(text)
        except UsageError as error:
            reader.wrong(key, error.what, error.todo)
            continue
        if one.package == name:
            reader.wrong(key, f"names the package itself: {_shown(text)}", "another package")
        found.append(str(one))
    return tuple(found)


def _program(parent: _Reader, key: str) -> Program | None:
    table = parent.table.get(key)
    if table is None:
        return None
    if not isinstance(table, dict):
        parent.wrong(key, f"is {_shown(table)}", f"a table: [{key}]")
        return None
    reader = _Reader(table, f"{key}.", parent.mistakes)
    reader.known("argv", "timeout", "idempotent", "output_limit")
    return Program(
        argv=_argv(reader),
        timeout_s=reader.amount("timeout", DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, _UNITS_S, 'seconds, as in "60s" or "5m"'),
        idempotent=reader.flag("idempotent"),
        output_limit=reader.amount(
            "output_limit", DEFAULT_OUTPUT, MAX_OUTPUT, _UNITS_B, 'bytes, as in 65536 or "64KiB"'
        ),
    )


def _argv(reader: _Reader) -> tuple[str, ...]:
    value = reader.table.get("argv")
    rule = f'a list of 1 to {MAX_ARGUMENTS} texts, as in ["./hooks/before.sh", "--quiet"]'
    if not isinstance(value, list) or not 0 < len(value) <= MAX_ARGUMENTS or not all(isinstance(a, str) for a in value):
        reader.wrong("argv", "missing" if value is None else f"is {_shown(value)}", rule)
        return ("/",)
    if any("\0" in argument or len(argument) > MAX_ARGUMENT for argument in value):
        reader.wrong("argv", "an argument holds NUL or is too long", f"at most {MAX_ARGUMENT} characters, no NUL")
    program = value[0]
    in_tree = program.startswith("./")
    try:
        check_path(program.removeprefix("./") if in_tree else program.removeprefix("/"))
        proper = in_tree or program.startswith("/")
    except MessageInvalid:
        proper = False
    if not proper:
        reader.wrong(
            "argv", f"begins with {_shown(program)}", 'a program inside the tree ("./...") or absolute ("/...")'
        )
    return tuple(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - what fits a line


def _quoted(text: str) -> str:
    """A TOML basic string."""
    out = []
    for mark in text:
        if mark in '"\\':
            out.append("\\" + mark)
        elif mark < " " or mark == "\x7f":
            out.append(f"\\u{ord(mark):04x}")
        else:
            out.append(mark)
    return f'"{"".join(out)}"'
