"""A package's own check: the section `[check]` of its definition (docs/jobs.md, "Conditions").

Rules
- A program that looks and changes nothing: its status decides, 0 is yes.  So it may run as often as somebody asks.
- It runs on the machine right before the installation; where it `needs = "machine"` alone, before the fetch too, and
  then it stands in the order, so that a machine that says no is sent nothing.
- Where it says no, the job waits and asks again after `every`, or ends as skipped, as its order says of conditions.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from tiercast_protocol.content.package.programs import DEFAULT_TIMEOUT_S, read_argv
from tiercast_protocol.content.package.reader import UNITS_B, UNITS_S, Reader, written
from tiercast_protocol.errors import UsageError

MACHINE, TREE = "machine", "tree"
NEEDS = (TREE, MACHINE)
LONGEST_S = 600
USUAL_EVERY_S, LONGEST_EVERY_S = 300, 7 * 86_400
USUAL_OUTPUT, MOST_OUTPUT = 4 << 10, 64 << 10
#: Longest text of it in an order.
_LONGEST = 16_000


@dataclass(frozen=True, slots=True)
class Check:
    """A program that says whether the package may be installed.

    Attributes:
        argv: the program, in the tree ("./...") or absolute, and its arguments.
        timeout_s: seconds after which it is killed, and has said no.
        every_s: seconds after which it is asked again.
        output_limit: bytes of its output that stand in the receipt.
        needs: "tree", or "machine": nothing of the package, so that it can be asked before the fetch.
    """

    argv: tuple[str, ...]
    timeout_s: int = DEFAULT_TIMEOUT_S
    every_s: int = USUAL_EVERY_S
    output_limit: int = USUAL_OUTPUT
    needs: str = TREE


def read_check(parent: Reader) -> Check | None:
    """What the table `[check]` says; None where there is none."""
    reader = parent.inner("check")
    if reader is None:
        return None
    reader.known("argv", "timeout", "every", "output_limit", "needs")
    found = Check(
        argv=read_argv(reader, "argv"),
        timeout_s=reader.amount("timeout", DEFAULT_TIMEOUT_S, LONGEST_S, UNITS_S, 'seconds up to "10m", as in "60s"'),
        every_s=reader.amount("every", USUAL_EVERY_S, LONGEST_EVERY_S, UNITS_S, 'a length of time, as in "5m" or "1h"'),
        output_limit=reader.amount("output_limit", USUAL_OUTPUT, MOST_OUTPUT, UNITS_B, 'bytes, as in "4KiB"'),
        needs=reader.choice("needs", NEEDS, TREE),
    )
    if found.needs == MACHINE and found.argv[0].startswith("./"):
        reader.wrong("argv", "begins in the tree, which is not there before the fetch", f'needs = "{TREE}", or "/..."')
    return found


def check_lines(check: Check | None) -> list[str]:
    """The table again, after an empty line; nothing where there is no check."""
    if check is None:
        return []
    return [
        "",
        "[check]",
        f"argv = {written(check.argv)}",
        f'timeout = "{check.timeout_s}s"',
        f'every = "{check.every_s}s"',
        f"output_limit = {check.output_limit}",
        f'needs = "{check.needs}"',
    ]


def packed(check: Check) -> str:
    """As an order carries it."""
    return msgspec.json.encode(check).decode()


def unpacked(text: str) -> Check:
    """The check in an order's word; text and bounds are those of a definition.

    Raises:
        UsageError: provisos.check.
    """
    try:
        found = msgspec.json.decode(text[:_LONGEST], type=Check)
    except (msgspec.DecodeError, ValueError):
        found = Check(())
    bounds = ((found.timeout_s, LONGEST_S), (found.every_s, LONGEST_EVERY_S), (found.output_limit, MOST_OUTPUT))
    program = found.argv[0] if found.argv else ""
    sound = all(0 < value <= most for value, most in bounds) and not any("\0" in word for word in found.argv)
    if not sound or found.needs != MACHINE or not program.startswith("/"):
        raise UsageError(
            code="provisos.check",
            what=f"The package's check can't be read: {text[:80]!r}.",
            todo="Build the package again; the agent may be older than its region. Nothing was done.",
        )
    return found
