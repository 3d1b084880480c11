"""What orders without a package say: the options of `run` and `message` jobs (docs/jobs.md).

Rules
- Options of an order are texts, whole numbers and flags, so a program's arguments travel as one JSON list.
- The same reading stands at the server, before anything is signed, and at the endpoint, before anything is done.
- A program is an argument list, never a shell line: an absolute path, or a bare name that is looked for in PATH.
- A message is shown on a terminal that is not ours: no control characters but line feed and tab.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tiercast_protocol.content.package.programs import (
    DEFAULT_OUTPUT,
    DEFAULT_TIMEOUT_S,
    MAX_ARGUMENT,
    MAX_ARGUMENTS,
    MAX_OUTPUT,
    MAX_TIMEOUT_S,
)
from tiercast_protocol.errors import UsageError

MAX_TEXT, MAX_TITLE, MAX_USER = 4_000, 120, 32
#: Of all arguments together, as the option `argv` has them: an order travels to every target.
MAX_ARGV = 16_384
MAX_EXITS, MAX_EXIT = 32, 255

#: The options that each type reads, with their defaults; None where one must be given.
OPTIONS: dict[str, dict[str, str | int | bool | None]] = {
    "run": {
        "argv": None,
        "exits": "0",
        "idempotent": False,
        "output": DEFAULT_OUTPUT,
        "run_timeout_s": DEFAULT_TIMEOUT_S,
        "user": "",
    },
    "message": {"text": None, "title": ""},
}


@dataclass(frozen=True, slots=True)
class Run:
    """A program to run.

    Attributes:
        argv: the program and its arguments.
        timeout_s: seconds after which it is killed.
        exits: exit codes that count as success.
        user: whose rights it runs with; "" is the agent's own.
        idempotent: whether it may run again after it was started and not seen to finish.
        output: bytes of its output that are kept.
    """

    argv: tuple[str, ...]
    timeout_s: int = DEFAULT_TIMEOUT_S
    exits: tuple[int, ...] = (0,)
    user: str = ""
    idempotent: bool = False
    output: int = DEFAULT_OUTPUT


@dataclass(frozen=True, slots=True)
class Message:
    """A text for the owner of a machine."""

    text: str
    title: str = ""


Options = Mapping[str, object]


def check_options(type_: str, options: Options) -> None:
    """Refuse options that a job of `type_` can't have.

    Raises:
        UsageError: run.* or message.*.
    """
    if type_ == "run":
        read_run(options)
    elif type_ == "message":
        read_message(options)


def read_run(options: Options) -> Run:
    """The program that an order's options name.

    Raises:
        UsageError: run.argv, run.timeout, run.exits, run.user, run.output or run.idempotent.
    """
    said = {**OPTIONS["run"], **{key: value for key, value in options.items() if key in OPTIONS["run"]}}
    timeout, output, user, idempotent = said["run_timeout_s"], said["output"], said["user"], said["idempotent"]
    if type(timeout) is not int or not 1 <= timeout <= MAX_TIMEOUT_S:
        raise _wrong("run.timeout", f"The time-out {timeout!r} can't be", f"1 second to {MAX_TIMEOUT_S} seconds")
    if type(output) is not int or not 0 <= output <= MAX_OUTPUT:
        raise _wrong("run.output", f"{output!r} bytes of output can't be kept", f"0 to {MAX_OUTPUT} bytes")
    if not isinstance(user, str) or len(user) > MAX_USER or any(mark in user for mark in "\0:/\n "):
        raise _wrong("run.user", f"{str(user)[:60]!r} is no user's name", "a name as the endpoint knows it")
    if not isinstance(idempotent, bool):
        raise _wrong("run.idempotent", f"{str(idempotent)[:60]!r} is no answer", "true or false")
    return Run(_argv(said["argv"]), timeout, _exits(said["exits"]), user, idempotent, output)


def read_message(options: Options) -> Message:
    """The text that an order's options hold.

    Raises:
        UsageError: message.text or message.title.
    """
    text, title = options.get("text"), options.get("title", "")
    if not isinstance(text, str) or not 0 < len(text) <= MAX_TEXT or not text.strip() or not _plain(text):
        shown = f"has {len(text)} characters" if isinstance(text, str) else "is missing"
        raise _wrong(
            "message.text",
            f"The text of the message {shown}, or holds control characters",
            f"1 to {MAX_TEXT} characters that can be shown",
        )
    if not isinstance(title, str) or len(title) > MAX_TITLE or "\n" in title or not _plain(title):
        raise _wrong("message.title", "The title of the message can't be shown", f"one line of {MAX_TITLE} characters")
    return Message(text, title)


def argv_text(argv: tuple[str, ...] | list[str]) -> str:
    """A program's arguments as the option `argv` has them."""
    return json.dumps(list(argv), ensure_ascii=False, separators=(",", ":"))


def _argv(text: object) -> tuple[str, ...]:
    expected = f'1 to {MAX_ARGUMENTS} arguments, as in /usr/bin/systemctl restart cups; a shell is ["/bin/sh","-c",...]'
    if not isinstance(text, str):
        raise _wrong("run.argv", "No program was named", expected)
    if len(text) > MAX_ARGV:
        raise _wrong(
            "run.argv", f"The arguments are {len(text)} characters", f"at most {MAX_ARGV}; a package holds more"
        )
    try:
        argv = json.loads(text)
    except (ValueError, RecursionError):
        argv = None
    if not isinstance(argv, list) or not 0 < len(argv) <= MAX_ARGUMENTS or not all(isinstance(a, str) for a in argv):
        raise _wrong("run.argv", f"{text[:60]!r} is no list of arguments", expected)
    if any("\0" in argument or len(argument) > MAX_ARGUMENT for argument in argv):
        raise _wrong("run.argv", "An argument holds NUL or is too long", f"at most {MAX_ARGUMENT} characters, no NUL")
    program = argv[0]
    if not program or ("/" in program and not program.startswith("/")):
        raise _wrong("run.argv", f"{program[:60]!r} is no program", "an absolute path, or a name found in PATH")
    return tuple(argv)


def _exits(text: object) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")] if isinstance(text, str) else []
    good = 0 < len(words) <= MAX_EXITS and all(
        word.isascii() and word.isdecimal() and len(word) <= 3 and int(word) <= MAX_EXIT  # noqa: PLR2004 - digits of 255
        for word in words
    )
    if not good:
        raise _wrong(
            "run.exits", f"{str(text)[:60]!r} are no exit codes", f"whole numbers from 0 to {MAX_EXIT}: 0,3,10"
        )
    return tuple(sorted({int(word) for word in words}))


def _plain(text: str) -> bool:
    """Whether nothing in `text` steers a terminal."""
    return all(mark in "\n\t" or mark.isprintable() for mark in text)


def _wrong(code: str, what: str, expected: str) -> UsageError:
    return UsageError(code=code, what=f"{what}.", todo=f"Expected: {expected}. Nothing was done.")
