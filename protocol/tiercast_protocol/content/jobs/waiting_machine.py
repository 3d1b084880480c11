"""What a machine itself waits for: times of its orders, facts, its owner (docs/jobs.md, "Why").  Rows of `waiting`.

Rules
- As those of `waiting.py`: codes are stable, and a further one is a further row.
"""

from __future__ import annotations

from tiercast_protocol.content.jobs.kind import ENDPOINT, GATEWAY, SERVER, Kind

MACHINE: dict[str, Kind] = {
    # -- times of an order, kept by the endpoint ----------------------------------------------------------
    "time.distribute": Kind(
        (ENDPOINT, GATEWAY, SERVER), "its content does not move before {until:at}", "that moment comes"
    ),
    "time.install": Kind((ENDPOINT,), "is prepared, and installed at {until:at}", "that moment comes"),
    "time.spread": Kind(
        (ENDPOINT,), "its turn in the spread start is at {until:at}", "that moment comes", "order it without a spread"
    ),
    "agent.start": Kind(
        (ENDPOINT,), "waits for the agent's next start", "the agent starts", "tiercast job restart --on {peer}"
    ),
    "agent.stop": Kind((ENDPOINT,), "waits for the agent to be stopped", "the agent, or the machine, is stopped"),
    "app.running": Kind(
        (ENDPOINT,), "waits while {app} runs on {node}", "{app} is ended there", "close {app} on the machine"
    ),
    "window.short": Kind(
        (ENDPOINT,),
        "may take {expected:s}, and its window {window} shuts in {left:s}",
        "a window opens that is long enough[: {until:at}]",
        "wait, or order it with a longer window, or with a shorter maximum of its duration",
    ),
    "retry.pause": Kind(
        (ENDPOINT,),
        "try {attempt:n} follows[ at {until:at}]; the last one failed: {error}",
        "the pause ends[ at {until:at}]",
        "mend what failed meanwhile, or tiercast job cancel JOB",
    ),
    # -- asked to end, and not at once ------------------------------------------------------------------
    "cancel.waits": Kind(
        (ENDPOINT,),
        "[the job is cancelled; what runs of it since {began:at} is let finish: {program}]"
        "[the cancel came too late, while it was {late}: it ends as it would have]",
        "that has ended[, or is killed at {until:at}]",
        "[to kill {program}: tiercast job cancel JOB --force]",
        moves=True,
    ),
    # -- left to the machine and its owner by the order --------------------------------------------------
    "condition.false": Kind(
        (ENDPOINT, GATEWAY, SERVER),
        "its condition is not true on {peer}: {condition}[ ({values})][; {unknown} is not known]",
        "{condition} is true; it is tested when facts change[, and every {every:s}]",
        "change that on {peer}, or tiercast job cancel JOB --on {peer}",
    ),
    "check.false": Kind(
        (ENDPOINT,),
        "its package's check {program} said no: {answer}",
        "the check says yes; it is asked again[ at {until:at}]",
        "mend on {node} what it says, or tiercast job cancel JOB --on {node}",
    ),
    "dependency.open": Kind(
        (ENDPOINT,),
        "needs {needs}, which {job} is to install",
        "{job} has installed it",
        "tiercast why {job} {node}",
    ),
    "dependency.failed": Kind(
        (ENDPOINT,),
        "needs {needs}, and {job}, which was to install it, ended {result}",
        "{needs} is installed",
        "tiercast job rerun {job} --failed, or tiercast job cancel JOB --on {node}",
    ),
    "dependency.missing": Kind(
        (ENDPOINT,),
        "needs {needs}, which is not installed[ ({held} is)] and no job brings",
        "{needs} is installed",
        "order it there: tiercast job install PACKAGE --on {node}",
    ),
    "before.open": Kind(
        (ENDPOINT,),
        "goes after {package}, which {job} is to install",
        "{job} has ended",
        "tiercast why {job} {node}",
    ),
    "conflict.installed": Kind(
        (ENDPOINT,),
        "conflicts with {needs}, and {package} {version} is installed",
        "{package} is removed",
        "tiercast job remove {package} --on {node}, or tiercast job cancel JOB --on {node}",
    ),
    "owner.held": Kind(
        (ENDPOINT,),
        "held by {by}, the owner[, with {others}]",
        "the owner releases it",
        "on the machine: tiercast-endpoint release JOB; order with --defer-max or --defer-until what must not be held",
    ),
    "owner.deferred": Kind(
        (ENDPOINT,),
        "deferred by {by} until {until:at}; {times:n} times so far[ of {limit:n}][, not beyond {last:at}]",
        "it is {until:at}, or the owner releases it",
        "on the machine: tiercast-endpoint release JOB",
    ),
    "owner.preferred": Kind(
        (ENDPOINT,),
        "waits for the times that its owner prefers, {window}: {until:at}",
        "it is {until:at}, or the owner takes that back",
        "on the machine: tiercast-endpoint prefer --window none; order it with --defer-max 0, or with a deadline",
    ),
    "owner.notice": Kind(
        (ENDPOINT,),
        "its owner was told, and may put it off until it begins at {until:at}",
        "it is {until:at}, or the owner releases it",
        "on the machine: tiercast-endpoint defer JOB --for 2h, or tiercast-endpoint release JOB; order it with"
        " --defer-max 0 to have it begin at once",
    ),
    "offer.open": Kind(
        (ENDPOINT,),
        "offered: the owner has not chosen yet",
        "the owner accepts or declines it[, or it expires at {until:at}]",
        "on the machine: tiercast-endpoint accept JOB, or tiercast-endpoint decline JOB",
    ),
}
