"""Programs that a package runs: the sections `[run_before]` and `[run_after]` of its definition.

Rules
- An argument list, never a shell line; the program itself is a path inside the tree ("./hooks/before.sh") or absolute.
- It is killed after its time, and its output is kept up to a limit.
- It runs again after a crash only where it is declared idempotent.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiercast_protocol.content.package.reader import UNITS_B, UNITS_S, Reader, shown, written
from tiercast_protocol.content.sealed.paths import check_path
from tiercast_protocol.errors import MessageInvalid

DEFAULT_TIMEOUT_S = 60
MAX_TIMEOUT_S = 24 * 3600
DEFAULT_OUTPUT = 64 * 1024
MAX_OUTPUT = 256 * 1024
MAX_ARGUMENTS, MAX_ARGUMENT = 64, 4096


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


def read_program(parent: Reader, key: str) -> Program | None:
    """The program in the table `[key]`; None where there is none."""
    reader = parent.inner(key)
    if reader is None:
        return None
    reader.known("argv", "timeout", "idempotent", "output_limit")
    return Program(
        argv=read_argv(reader, "argv"),
        timeout_s=reader.amount("timeout", DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, UNITS_S, 'seconds, as in "60s" or "5m"'),
        idempotent=reader.flag("idempotent"),
        output_limit=reader.amount(
            "output_limit", DEFAULT_OUTPUT, MAX_OUTPUT, UNITS_B, 'bytes, as in 65536 or "64KiB"'
        ),
    )


def read_argv(reader: Reader, key: str) -> tuple[str, ...]:
    """A program and its arguments; the program inside the tree or absolute."""
    value = reader.table.get(key)
    rule = f'a list of 1 to {MAX_ARGUMENTS} texts, as in ["./hooks/before.sh", "--quiet"]'
    if not isinstance(value, list) or not 0 < len(value) <= MAX_ARGUMENTS or not all(isinstance(a, str) for a in value):
        reader.wrong(key, "missing" if value is None else f"is {shown(value)}", rule)
        return ("/",)
    if any("\0" in argument or len(argument) > MAX_ARGUMENT for argument in value):
        reader.wrong(key, "an argument holds NUL or is too long", f"at most {MAX_ARGUMENT} characters, no NUL")
    program = value[0]
    in_tree = program.startswith("./")
    try:
        check_path(program.removeprefix("./") if in_tree else program.removeprefix("/"))
        proper = in_tree or program.startswith("/")
    except MessageInvalid:
        proper = False
    if not proper:
        reader.wrong(key, f"begins with {shown(program)}", 'a program inside the tree ("./...") or absolute ("/...")')
    return tuple(value)


def program_lines(key: str, program: Program | None) -> list[str]:
    """The table `[key]` again, after an empty line; nothing where there is no program."""
    if program is None:
        return []
    return [
        "",
        f"[{key}]",
        f"argv = {written(program.argv)}",
        f'timeout = "{program.timeout_s}s"',
        f"idempotent = {written(program.idempotent)}",
        f"output_limit = {program.output_limit}",
    ]
