"""Dead-man confirmation: the section `[confirm]` of a definition (docs/transactions.md, "Confirmation").

Rules
- A health program that looks and changes nothing: status 0 confirms.  It runs again after `every` until then.
- What it does not confirm `within` its time goes back alone.
- Reaching a gateway is a condition only where the package says so; then an outage of the whole site extends the time,
  by no more than `outage`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiercast_protocol.content.package.programs import DEFAULT_TIMEOUT_S, read_argv
from tiercast_protocol.content.package.reader import UNITS_S, Reader, written

LONGEST_S, LONGEST_WITHIN_S, LONGEST_OUTAGE_S = 3600, 7 * 86_400, 30 * 86_400
USUAL_WITHIN_S, USUAL_EVERY_S, USUAL_OUTAGE_S = 600, 30, 3 * 86_400


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What confirms a package after its switch.

    Attributes:
        argv: the health program, in the tree ("./...") or absolute, and its arguments.
        timeout_s: seconds after which it is killed, and has not confirmed.
        within_s: seconds after which the old version is put back.
        every_s: seconds from one run to the next.
        needs_gateway: whether an authenticated parent must be reached too.
        outage_s: at most so long an outage of the site extends the time.
    """

    argv: tuple[str, ...]
    timeout_s: int = DEFAULT_TIMEOUT_S
    within_s: int = USUAL_WITHIN_S
    every_s: int = USUAL_EVERY_S
    needs_gateway: bool = False
    outage_s: int = USUAL_OUTAGE_S


def read_confirmation(parent: Reader) -> Confirmation | None:
    """What the table `[confirm]` says; None where there is none."""
    reader = parent.inner("confirm")
    if reader is None:
        return None
    reader.known("argv", "timeout", "within", "every", "needs_gateway", "outage")
    long = 'a length of time, as in "10m" or "2h"'
    found = Confirmation(
        argv=read_argv(reader, "argv"),
        timeout_s=reader.amount("timeout", DEFAULT_TIMEOUT_S, LONGEST_S, UNITS_S, 'seconds up to "1h", as in "60s"'),
        within_s=reader.amount("within", USUAL_WITHIN_S, LONGEST_WITHIN_S, UNITS_S, long),
        every_s=reader.amount("every", USUAL_EVERY_S, LONGEST_WITHIN_S, UNITS_S, long),
        needs_gateway=reader.flag("needs_gateway"),
        outage_s=reader.amount("outage", USUAL_OUTAGE_S, LONGEST_OUTAGE_S, UNITS_S, long),
    )
    if found.every_s > found.within_s:
        reader.wrong("every", f"is {found.every_s} s, longer than within", f"at most {found.within_s} s")
    return found


def confirmation_lines(confirm: Confirmation | None) -> list[str]:
    """The table again, after an empty line; nothing where there is none."""
    if confirm is None:
        return []
    return [
        "",
        "[confirm]",
        f"argv = {written(confirm.argv)}",
        f'timeout = "{confirm.timeout_s}s"',
        f'within = "{confirm.within_s}s"',
        f'every = "{confirm.every_s}s"',
        f"needs_gateway = {written(confirm.needs_gateway)}",
        f'outage = "{confirm.outage_s}s"',
    ]
