"""What the exit code of `tiercast` says (docs/operations.md, "Exit codes").

Rules
- A code never changes its meaning; scripts stand on it.
- 2 is also what the command line's own parser gives for a wrong option.
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """All exit codes."""

    OK = 0
    FAILED = 1  # the daemon refused or something broke; the message says what
    USAGE = 2  # a wrong option, an unknown name, a file with mistakes
    UNREACHABLE = 3  # no daemon listens at the socket
    JOB_FAILED = 4  # the job that was waited for ended, but not well on every target
    INTERRUPTED = 130  # Ctrl-C; what the server was asked to do goes on


#: Error codes of the control socket that stand for the caller's mistake rather than for a failure.
_USAGE_SUFFIXES = (
    "unknown",
    "reserved",
    "invalid",
    "empty",
    "exists",
    "ambiguous",
    "confirm",
    "role",
    "used",
    "conflict",
    "in-use",
)
#: What is wrong with the tree that is to be packaged is for its owner to mend, whatever the code is called.
_USAGE_CODES = {"tree.missing", "tree.name", "tree.special", "tree.setuid", "tree.link", "tree.case"}
_USAGE_CODES |= {"package.too_large", "program.not_runnable", "program.missing"}
#: An order that this region can never fulfil: refused when given, like terms that can't work.
_USAGE_CODES |= {"depot.small", "tree.cyclic", "node.server"}
#: Whatever is wrong with what was said of a transfer was said so.
#: So was what was said of a job that is about no package, or in a file, or of a template.
_USAGE_NOUNS = ("transfer.", "window.", "time.", "run.", "message.", "file.", "template.")
_USAGE_CODES |= {"package.missing", "package.needless", "job.type"}
_USAGE_CODES |= {"plan.step", "plan.targets", "plan.duplicate", "plan.unknown-step", "plan.cyclic", "plan.never"}


def exit_code_of(error_code: str) -> ExitCode:
    """The exit code for the stable code of a UsageError ("package.unknown" -> USAGE)."""
    if error_code in {"daemon.unreachable", "host.unreachable", "host.command"}:
        return ExitCode.UNREACHABLE
    if error_code in _USAGE_CODES or error_code.startswith(_USAGE_NOUNS):
        return ExitCode.USAGE
    return ExitCode.USAGE if error_code.rpartition(".")[2] in _USAGE_SUFFIXES else ExitCode.FAILED
