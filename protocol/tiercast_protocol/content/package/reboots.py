"""Whether a machine restarts before an installation goes on: `reboot` of a definition, and of an order.  Pure.

Rules (docs/transactions.md, "Restarts")
- `no`: it does not matter; `now`: the agent restarts the machine, its owner may put that off; `later`: whoever restarts
  it, and whenever; `ask`: the agent does, once its owner says so.
- An order goes before the definition.
"""

from __future__ import annotations

from collections.abc import Mapping

from tiercast_protocol.errors import UsageError

REBOOT = "reboot"
NO, NOW, LATER, ASK = "no", "now", "later", "ask"
MODES = (NO, NOW, LATER, ASK)


def mode_of(options: Mapping[str, object], definition: str) -> str:
    """What holds for an order of a package: one of `MODES`, "" for no."""
    mode = options.get(REBOOT, definition)
    return mode if isinstance(mode, str) and mode in MODES and mode != NO else ""


def check(type_: str, options: Mapping[str, object]) -> None:
    """Refuse what can't be.

    Raises:
        UsageError: reboot.type or reboot.mode.
    """
    if REBOOT not in options:
        return
    if type_ not in {"install", "offer"}:
        raise UsageError("reboot.type", f"A job to {type_} asks for no restart.", "--reboot", "Only an install does.")
    if options[REBOOT] not in MODES:
        said = str(options[REBOOT])[:40]
        raise UsageError(
            "reboot.mode", f"{said!r} says not whether to restart.", "--reboot", f"Say {', '.join(MODES)}."
        )
