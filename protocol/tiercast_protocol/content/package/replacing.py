"""Whether a package may take the place of what stands on a machine (docs/packages.md, "Versions").  Pure.

Rules
- The definition says it under `replace`, a job may say another (`--replace`), and the endpoint keeps to it:
  *newer* replaces older versions alone (of one version, an older revision), *equal* these and the same version,
  *any* (the usual) whatever stands there, *never* nothing: it is installed only where no version stands.
- What is to be installed and stands there already, the same to the last byte, replaces nothing and may be ordered
  again: it is how a damaged tree is mended.
- Versions are compared in the order that the package to be installed says.
"""

from __future__ import annotations

from tiercast_protocol.content.facts.versions import PLAIN, compare

NEWER, EQUAL, ANY, NEVER = "newer", "equal", "any", "never"
RULES = (NEWER, EQUAL, ANY, NEVER)


def refusal(rule: str, order: str, coming: tuple[str, int], standing: tuple[str, int] | None) -> str:
    """Why it may not be installed, as a sentence; "" where it may.

    Args:
        rule: one of `RULES`; another one, or none, is any.
        order: how versions are compared.
        coming: version and revision of what is to be installed.
        standing: of another package of the name that stands there; None for none; revision 0 is not known.
    """
    if standing is None or rule not in {NEWER, EQUAL, NEVER}:
        return ""
    shown = f"{standing[0]} stands there, and {coming[0]} "
    if rule == NEVER:
        return f"{shown}is to replace no version (replace = never)."
    newer = compare(coming[0], standing[0], order or PLAIN)
    if newer == 0 and rule == NEWER and standing[1]:
        newer = coming[1] - standing[1]
    if newer > 0 or (newer == 0 and rule == EQUAL):
        return ""
    which = "older ones" if rule == NEWER else "older ones and itself"
    return f"{shown}is to replace only {which} (replace = {rule})."
