"""The package definition: `package.toml`, what a human writes beside a file tree.

Rules
- Every mistake of the file is told in one pass, with its line, its key and what was expected (`reader.py`).
- The canonical text (`canonical`) stands in the root: same definition, same text, whatever the layout or comments were.
  What has its default is not written, so that a new key changes the digest of no package that does not use it.
- Keys of the whole package come first, then the tables. Each section is read and written in a file of its own and named
  here once in `_read` and once in `canonical`.
- A condition is compiled here: what no machine could test, or what names no fact, is never sealed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields

from tiercast_protocol.content.facts.condition import compile_condition
from tiercast_protocol.content.facts.versions import ORDERS, PLAIN, fits, read_requirement
from tiercast_protocol.content.package.actionfill import texts_of
from tiercast_protocol.content.package.actionread import action_lines, read_actions, with_handlers
from tiercast_protocol.content.package.actiontypes import Action
from tiercast_protocol.content.package.check import MACHINE, Check, check_lines, read_check
from tiercast_protocol.content.package.confirmed import Confirmation, confirmation_lines, read_confirmation
from tiercast_protocol.content.package.filegroups import FileGroup, group_lines, read_groups
from tiercast_protocol.content.package.handler import Handler, handler_lines, read_handler
from tiercast_protocol.content.package.lines import lines_of
from tiercast_protocol.content.package.programs import Program, program_lines, read_program
from tiercast_protocol.content.package.reader import Reader, quoted, shown, written
from tiercast_protocol.content.package.reboots import MODES, NO
from tiercast_protocol.content.package.replacing import ANY, RULES
from tiercast_protocol.content.package.variables import Variable, check_text, names_in, read_variables, variable_lines
from tiercast_protocol.content.sealed.manifest import MAX_DEFINITION, valid_version
from tiercast_protocol.errors import ConfigError, Mistake, UsageError
from tiercast_protocol.wire.topics import valid_name

MAX_DESCRIPTION = 4096
MAX_REVISION = 2**31 - 1
MOST_REQUIREMENTS = 100


@dataclass(frozen=True, slots=True)
class Definition:
    """What a package is, apart from its tree.

    `allow_setuid` lets files keep setuid and setgid bits; `allow_case_collisions` lets names differ by case
    only (kernel headers do), for endpoints whose file systems tell them apart.  `condition` is over the facts of a
    machine (docs/jobs.md); `requires` and `conflicts` name packages, as in "editor >= 2", `before` those that go
    after it where both are ordered.  `version_order` is one of `versions.ORDERS`, `replace` of `replacing.RULES`.
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
    before: tuple[str, ...] = ()
    version_order: str = PLAIN
    replace: str = ANY
    variables: tuple[Variable, ...] = ()
    files: tuple[FileGroup, ...] = ()
    action: tuple[Action, ...] = ()
    handler: Handler | None = None
    check: Check | None = None
    confirm: Confirmation | None = None
    reboot: str = NO


def parse_definition(text: str, where: str = "package.toml") -> Definition:
    """The definition in `text`; `where` names the file for the reader.

    Raises:
        ConfigError: all mistakes.
    """
    definition, mistakes = examine(text)
    if definition is None or mistakes:
        raise ConfigError(where, mistakes)
    return definition


#: How tomllib says where a text stops being TOML.
_AT_LINE = re.compile(r"at line (\d+)")


def examine(text: str) -> tuple[Definition | None, tuple[Mistake, ...]]:
    """What can be read of `text`, and all mistakes, the first line first; None where it is no TOML at all.

    A definition with mistakes is good for looking at, and for nothing else.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        at = _AT_LINE.search(str(error))
        return None, (Mistake("(file)", f"not TOML: {error}", "TOML 1.0", int(at[1]) if at else 0),)
    reader = Reader(table, lines=lines_of(text))
    definition = _read(reader)
    if not reader.mistakes and len(canonical(definition).encode()) > MAX_DEFINITION:
        reader.wrong("(file)", "too long", f"at most {MAX_DEFINITION} bytes in all")
    return definition, tuple(sorted(reader.mistakes, key=lambda one: one.line or len(text)))


def canonical(definition: Definition) -> str:
    """The one text of `definition`; `parse_definition` of it gives the same definition again."""
    lines = [
        f"name = {quoted(definition.name)}",
        f"version = {quoted(definition.version)}",
        f"revision = {definition.revision}",
    ]
    if definition.description:
        lines.append(f"description = {quoted(definition.description)}")
    if definition.allow_setuid:
        lines.append("allow_setuid = true")
    if definition.allow_case_collisions:
        lines.append("allow_case_collisions = true")
    if definition.condition:
        lines.append(f"condition = {quoted(definition.condition)}")
    for key, needs in (("requires", definition.requires), ("conflicts", definition.conflicts)):
        if needs:
            lines.append(f"{key} = {written(needs)}")
    if definition.before:
        lines.append(f"before = {written(definition.before)}")
    usual = (("version_order", definition.version_order, PLAIN), ("replace", definition.replace, ANY))
    for key, word, plain in (*usual, ("reboot", definition.reboot, NO)):
        if word != plain:
            lines.append(f"{key} = {quoted(word)}")
    lines += variable_lines(definition.variables)
    lines += check_lines(definition.check)
    lines += group_lines(definition.files)
    lines += program_lines("run_before", definition.run_before)
    lines += program_lines("run_after", definition.run_after)
    lines += confirmation_lines(definition.confirm)
    lines += handler_lines(definition.handler)
    lines += action_lines(definition.action)
    return "\n".join(lines) + "\n"


def _read(reader: Reader) -> Definition:
    reader.known(*(field.name for field in fields(Definition)))
    name_rule = "1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit, not beginning with join-"
    name = reader.text("name", name_rule)
    if "name" in reader.texts and not valid_name(name):
        reader.wrong("name", f"is {shown(name)}", name_rule)
    version_rule = "1 to 64 of A-Z a-z 0-9 . _ + ~ - : !, the first a letter or digit, in quotes"
    version = reader.text("version", version_rule)
    if "version" in reader.texts and not valid_version(version):
        reader.wrong("version", f"is {shown(version)}", version_rule)
    order = reader.choice("version_order", ORDERS, PLAIN)
    if valid_version(version) and not fits(version, order):
        example = "1:2.0-3" if order == "debian" else "2.0.post1"
        reader.wrong("version", f"is {shown(version)}", f'a version as {order} has them, as "{example}"')
    revision = reader.whole("revision", 1, MAX_REVISION)
    description = reader.text("description", "a text", "")
    if len(description) > MAX_DESCRIPTION:
        reader.wrong("description", f"has {len(description)} characters", f"at most {MAX_DESCRIPTION}")
    variables = read_variables(reader)
    programs = {key: read_program(reader, key) for key in ("run_before", "run_after")}
    check, confirm = read_check(reader), read_confirmation(reader)
    setuid, collisions = reader.flag("allow_setuid"), reader.flag("allow_case_collisions")
    actions = read_actions(reader, setuid=setuid, collisions=collisions)
    _check_variables(reader, {**programs, "confirm": confirm}, check, actions, variables)
    requires = with_handlers(_needs(reader, "requires", name), actions)
    return Definition(
        name=name,
        version=version,
        revision=revision,
        description=description,
        run_before=programs["run_before"],
        run_after=programs["run_after"],
        allow_setuid=setuid,
        allow_case_collisions=collisions,
        condition=_condition(reader),
        requires=requires,
        conflicts=_needs(reader, "conflicts", name),
        before=_before(reader, name, requires),
        version_order=order,
        replace=reader.choice("replace", RULES, ANY),
        variables=variables,
        files=read_groups(reader),
        action=actions,
        handler=read_handler(reader),
        check=check,
        confirm=confirm,
        reboot=reader.choice("reboot", MODES, NO),
    )


def _check_variables(
    reader: Reader,
    programs: Mapping[str, Program | Confirmation | None],
    check: Check | None,
    actions: tuple[Action, ...],
    variables: tuple[Variable, ...],
) -> None:
    """Every text in which they may stand."""
    for key, program in programs.items():
        for argument in program.argv[1:] if program else ():
            check_text(reader, f"{key}.argv", argument, variables)
    for argument in check.argv[1:] if check else ():
        check_text(reader, "check.argv", argument, variables)
        if check and check.needs == MACHINE and variables and names_in(argument):
            reader.wrong("check.argv", f"has a variable: {shown(argument)}", 'none where needs = "machine"')
    for place, action in enumerate(actions, 1):
        for key, text in texts_of(action):
            check_text(reader, f"action[{place}].{key}", text, variables)


def _before(reader: Reader, name: str, requires: tuple[str, ...]) -> tuple[str, ...]:
    found = reader.listed("before", f'a list of at most {MOST_REQUIREMENTS} names, as in ["word"]', MOST_REQUIREMENTS)
    needed = {read_requirement(text).package for text in requires}
    for one in found:
        if not valid_name(one) or one == name:
            reader.wrong("before", f"names {shown(one)}", "names of other packages")
        elif one in needed:
            reader.wrong("before", f"names {one}, which it requires", "a package that is installed after it")
    return tuple(found)


def _condition(reader: Reader) -> str:
    text = reader.text("condition", "a condition over facts", "").strip()
    if text:
        try:
            compile_condition(text)
        except UsageError as error:
            reader.wrong("condition", error.what, error.todo)
    return text


def _needs(reader: Reader, key: str, name: str) -> tuple[str, ...]:
    rule = f'a list of at most {MOST_REQUIREMENTS} texts, as in ["editor >= 2", "word"]'
    found: list[str] = []
    for text in reader.listed(key, rule, MOST_REQUIREMENTS):
        try:
            one = read_requirement(text)
        except UsageError as error:
            reader.wrong(key, error.what, error.todo)
            continue
        if one.package == name:
            reader.wrong(key, f"names the package itself: {shown(text)}", "another package")
        found.append(str(one))
    return tuple(found)
