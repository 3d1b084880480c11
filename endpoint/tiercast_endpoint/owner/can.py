"""What the owner of the machine can do, where the catalogues speak to an administrator.  Pure.

Rules
- `todo` of a reason or a result is for whoever has the region's `tiercast`; the owner has `tiercast-endpoint`, his
  settings and his disk.  At the machine's own socket `todo` is the owner's, and `administrator` what to ask one for.
- Every code that a machine can say has a row here, "" where its owner has nothing to do but wait; a test enumerates
  them.  No row names a command that is not the machine's own.
- What the region asks for (`tiercast why` over the tree) is not changed by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiercast_protocol.content.jobs.reason import filled, meant_by, todo

#: The machine's own commands: a text that names one already speaks to the owner.
_OWN = "tiercast-endpoint"
_LET_GO = "tiercast-endpoint release JOB has it at once"

#: By code of `waiting.KINDS`: templates as those there.
WAITING: Mapping[str, str] = {
    "window.shut": "wait; windows of this machine's own stand under install_window in endpoint.toml,"
    " those of the job or of a group are the administrator's",
    "window.short": "wait for the next window that is long enough",
    "depot.full": "wait; other parents that have room may be among: tiercast-endpoint parents",
    "parent.lost": "see that this machine reaches its network; what was tried, where else it may go, and what to say"
    " where a parent has another address now: tiercast-endpoint parents",
    "turn": "[tiercast-endpoint why {before}][tiercast-endpoint jobs shows the {busy:n} others]",
    "hold": "tiercast-endpoint jobs shows the others",
    "plan": "",
    "fetch": "",
    "assemble": "",
    "run": "",
    "install": "",
    "remove": "",
    "program": "wait: it ends by itself, or is ended when its time is over",
    "cancel.waits": "wait: it ends by itself, or is ended when its time is over",
    "journal.full": "free room on the disk of this machine",
    "receipt.unheard": "see whether the parent is reached: tiercast-endpoint status",
    "breaker.open": "",
    "time.distribute": "",
    "time.install": "",
    "time.spread": "",
    "agent.start": "restart the machine or its agent (systemctl restart tiercast-endpoint), and it begins",
    "agent.stop": "shut the machine or its agent down, and it begins",
    "app.running": "close {app}",
    "retry.pause": "mend what failed, where that is on this machine: its disk, its network, its settings",
    "condition.false": "change that on this machine, if you want the job",
    "check.false": "mend on this machine what it says",
    "dependency.open": "tiercast-endpoint why {job}",
    "dependency.failed": "see how that one ended: tiercast-endpoint why {job}",
    "dependency.missing": "",
    "before.open": "tiercast-endpoint why {job}",
    "conflict.installed": "",
    "owner.held": "tiercast-endpoint release JOB lets it go on",
    "owner.deferred": _LET_GO,
    "owner.preferred": f"{_LET_GO}; tiercast-endpoint prefer --window none takes the wish back",
    "owner.notice": f"tiercast-endpoint defer JOB --for 2h puts it off; {_LET_GO}",
    "offer.open": "tiercast-endpoint accept JOB, or tiercast-endpoint decline JOB",
    "commit.waits": "",
    "reboot.waits": "tiercast-endpoint reboot, or tiercast-endpoint reboot --later 2h",
    "confirm.waits": "see what its health program lacks; where that does not confirm, the old version comes back",
    "accept.waits": "",
}

#: By code of `results.RESULTS`: those that the owner can mend himself.  Of the others the administrator knows, too.
ENDED: Mapping[str, str] = {
    "variable.unset": "Set it under variables in endpoint.toml, and ask an administrator to order it again.",
    "variable.invalid": "Mend it under variables in endpoint.toml, and ask an administrator to order it again.",
    "disk.short": "Free the room that is named, and ask an administrator to order it again.",
    "disk.full": "Free room on the disk, and ask an administrator to order it again.",
    "disk.error": "See the system's log: the disk may be failing, or be mounted read-only.",
    "root.foreign": "Move away what is not the agent's, or name another install_root in endpoint.toml.",
    "root.denied": "Give the agent's user the install root: its owner or mode.",
    "root.taken": "Give each agent an install_root of its own in endpoint.toml.",
    "path.foreign": "Move it away, and ask an administrator to order it again.",
    "path.mount": "Unmount it, and ask an administrator to order it again.",
    "settings.form": "Mend the file, and ask an administrator to order it again.",
    "settings.key": "Mend the file, and ask an administrator to order it again.",
    "verify.differs": "tiercast-endpoint verify shows what differs.",
    "program.failed": "tiercast-endpoint job JOB shows what the program said.",
    "program.timeout": "tiercast-endpoint job JOB shows what the program said.",
    "program.left": "tiercast-endpoint job JOB shows what the program said.",
    "program.interrupted": "See whether what it does works here; tiercast-endpoint job JOB shows what is known.",
    "confirm.timeout": "tiercast-endpoint job JOB shows what its health program said last.",
    "undo.failed": "See whether what it installs works here; tiercast-endpoint job JOB shows what is known.",
    "unit.failed": "tiercast-endpoint job JOB shows what systemd said.",
    "deb.missing": "tiercast-endpoint job JOB shows what the installer said.",
    "rpm.missing": "tiercast-endpoint job JOB shows what the installer said.",
    "handler.missing": "tiercast-endpoint job JOB shows what the handler said.",
    "user.missing": "tiercast-endpoint job JOB shows what was said.",
    "half.away": "systemctl status tiercast-root.socket says why.",
    "half.order-invalid": "Where this machine has joined anew: tiercast-endpoint root init.",
    "agent.unconfirmed": "tiercast-endpoint status shows the version that was refused, and why.",
    "agent.bug": "The agent's log has the details; please report it.",
}


def shown(reason: Mapping[str, Any]) -> dict[str, Any]:
    """A reason as `reason.shown` gives it, told to the machine's owner."""
    meant = meant_by(reason)
    own = filled(WAITING.get(meant.code, ""), meant)
    return {**reason, "todo": own, "administrator": _asked_for(todo(meant))}


def ended(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result as the agent tells it, told to the machine's owner; {} stays {}."""
    if not result:
        return {}
    own = "" if result["state"] == "done" else ENDED.get(result["code"], "")
    return {**result, "todo": own, "administrator": _asked_for(result["todo"])}


def _asked_for(todo_: str) -> str:
    """What an administrator can do, as far as the owner can't do the same."""
    return "" if _OWN in todo_ else todo_
