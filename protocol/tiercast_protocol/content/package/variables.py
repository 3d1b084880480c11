"""Variables of a package: texts that each machine fills in by itself (docs/packages.md, "Variables").  Pure.

Rules
- They are declared under `[variables]` of the definition, each with a default, a fact of the machine, or both; whoever
  declares none has no variables, and its texts stay as they are to the last "$".
- `${NAME}` in a text is the value; `$${` is a plain `${`.  What is not declared is a mistake of the definition.
- Of the places that may give a value the first one counts: the machine's settings for this package ("editor.port"), its
  settings for all ("port"), the fact where it is known and not empty, the default.  None of them: the job fails there.
- Always known: `package`, `version`, `node`, `group` (the name of the file group that the machine takes, or "").
- A value is put in as it is, once: it is never looked through for variables, and is one argument, whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tiercast_protocol.content.facts.inventory import FACTS
from tiercast_protocol.content.package.reader import Reader, bare, quoted, shown
from tiercast_protocol.errors import UsageError

MOST_VARIABLES, LONGEST_VALUE = 100, 1024
#: What every package may name without declaring it, once it declares any.
OWN = ("package", "version", "node", "group")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")
_MARK = re.compile(r"\$\$\{|\$\{([^}]*)\}")
#: Facts that are maps: an entry is named after a dot.
_MAPS = ("packages", "labels")


@dataclass(frozen=True, slots=True)
class Variable:
    """One that a definition declares; `default` None is: it must come from a fact or a setting."""

    name: str
    default: str | None = None
    fact: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """What a variable is on one machine; `source` says where it comes from, as people read it."""

    text: str
    source: str


def read_variables(parent: Reader) -> tuple[Variable, ...]:
    """The section `[variables]`: NAME = "default", or NAME = { default = ..., fact = ..., note = ... }."""
    reader = parent.inner("variables")
    if reader is None:
        return ()
    found: list[Variable] = []
    if len(reader.table) > MOST_VARIABLES:
        parent.wrong("variables", f"has {len(reader.table)} entries", f"at most {MOST_VARIABLES}")
    for name, said in reader.table.items():
        if not _NAME.match(name) or name in OWN:
            rule = f"a word of letters, digits and _, none of {', '.join(OWN)}"
            reader.wrong(name, f"the name is {shown(name)}", rule)
        if isinstance(said, str):
            found.append(Variable(name, _value(reader, name, said)))
        elif not isinstance(said, dict):
            reader.wrong(name, f"is {shown(said)}", 'a text in quotes, as in "8080", or { fact = "os" }')
        elif (inner := reader.inner(name)) is not None:
            inner.known("default", "fact", "note")
            default = (
                _value(inner, "default", inner.text("default", "a text", "")) if "default" in inner.table else None
            )
            fact = inner.text("fact", "the name of a fact", "")
            if not default and not fact and default is None:
                reader.wrong(name, "has neither default nor fact", 'NAME = "text" or NAME = { fact = "os" }')
            if fact and not _known(fact):
                inner.wrong("fact", f"is {shown(fact)}", f"one of {', '.join(FACTS)}; labels.NAME, packages.NAME")
            found.append(Variable(name, default, fact, inner.text("note", "a text", "")))
    return tuple(found)


def variable_lines(variables: Iterable[Variable]) -> list[str]:
    """The section again, after an empty line; nothing where there are none."""
    lines: list[str] = []
    for one in variables:
        if one.default is not None and not one.fact and not one.note:
            lines.append(f"{bare(one.name)} = {quoted(one.default)}")
            continue
        said = {"default": one.default, "fact": one.fact or None, "note": one.note or None}
        inner = ", ".join(f"{key} = {quoted(text)}" for key, text in said.items() if text is not None)
        lines.append(f"{bare(one.name)} = {{ {inner} }}")
    return ["", "[variables]", *lines] if lines else []


def names_in(text: str) -> list[str]:
    """The names that `text` uses, in order."""
    return [match[1] for match in _MARK.finditer(text) if match[1] is not None]


def check_text(reader: Reader, key: str, text: str, variables: Iterable[Variable]) -> None:
    """Write down what `text` at `key` names and nobody declares; a package without variables has none to check."""
    declared = [one.name for one in variables]
    if not declared:
        return
    for name in names_in(text):
        if name not in declared and name not in OWN:
            problem = f"uses ${{{name}}}, which is not declared"
            reader.wrong(key, problem, f"one of {', '.join((*declared, *OWN))}, or $${{ for a plain ${{")


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with its variables filled in; without values (the package declares none) as it is.

    Raises:
        UsageError: variable.unknown.
    """
    if not values:
        return text

    def one(match: re.Match[str]) -> str:
        if match[1] is None:
            return "${"
        if match[1] not in values:
            raise UsageError(
                code="variable.unknown",
                what=f"{shown(text)} uses ${{{match[1]}}}, which the package does not declare.",
                todo="Declare it under [variables] of the definition, and build the package again.",
            )
        return values[match[1]]

    return _MARK.sub(one, text)


def resolve(
    variables: Iterable[Variable],
    *,
    package: str,
    version: str,
    group: str,
    facts: Mapping[str, object],
    settings: Mapping[str, str],
) -> dict[str, Value]:
    """The values on one machine, its own four last; {} where the package declares none.

    Args:
        variables: as declared.
        package: its name.
        version: its version.
        group: the file group that the machine takes.
        facts: of the machine, by name; `name` is the node.
        settings: what the machine's owner set, by variable or "PACKAGE.VARIABLE".

    Raises:
        UsageError: variable.unset, variable.invalid; all of them at once.
    """
    found: dict[str, Value] = {}
    wrong: list[str] = []
    for one in variables:
        value = _first(one, package, facts, settings)
        if value is None:
            why = f"; the fact {one.fact} is not known here" if one.fact else ""
            wrong.append(f"{one.name} has no value{why}")
        elif problem := _problem(value.text):
            wrong.append(f"{one.name} ({value.source}) {problem}")
        else:
            found[one.name] = value
    if wrong:
        raise UsageError(
            code="variable.unset" if "has no value" in wrong[0] else "variable.invalid",
            what=f"Variables of {package} can't be filled in: {'; '.join(wrong)}.",
            todo='Set them in endpoint.toml of the machine: variables = { NAME = "..." }.',
        )
    if not found:
        return {}
    own = {"package": package, "version": version, "node": str(facts.get("name", "")), "group": group}
    return found | {name: Value(text, "the package and the machine") for name, text in own.items()}


def texts(values: Mapping[str, Value]) -> dict[str, str]:
    """As `fill` takes them."""
    return {name: value.text for name, value in values.items()}


def _first(one: Variable, package: str, facts: Mapping[str, object], settings: Mapping[str, str]) -> Value | None:
    for key in (f"{package}.{one.name}", one.name):
        if key in settings:
            return Value(settings[key], f"setting {key}")
    if one.fact and (known := _fact(one.fact, facts)):
        return Value(known, f"fact {one.fact}")
    return None if one.default is None else Value(one.default, "default")


def _fact(fact: str, facts: Mapping[str, object]) -> str:
    """The fact as a text; "" where it is not known."""
    name, dot, entry = fact.partition(".")
    found = facts.get(name)
    if dot:
        found = found.get(entry) if isinstance(found, Mapping) else None
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


def _known(fact: str) -> bool:
    name, dot, entry = fact.partition(".")
    return name in FACTS and bool(dot) == (name in _MAPS) and (not dot or bool(entry))


def _value(reader: Reader, key: str, text: str) -> str:
    if problem := _problem(text):
        reader.wrong(key, problem, f"a text of at most {LONGEST_VALUE} characters on one line")
    return text


def _problem(text: str) -> str:
    """What keeps a text from being a value; "" for nothing."""
    if len(text) > LONGEST_VALUE:
        return f"has {len(text)} characters, more than {LONGEST_VALUE}"
    return "holds a control character" if any(mark < " " or mark == "\x7f" for mark in text) else ""
