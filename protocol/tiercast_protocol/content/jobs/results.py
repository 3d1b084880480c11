"""The closed catalogue of how an order can have ended (docs/result-codes.md).

Rules
- Every code that a receipt, or the region's own word on a target, can carry stands here, and nothing else; a test
  compares with the code of all tiers, and with the page.
- Codes are stable: a code is never renamed and never means another thing.  A further one is a further row.
- The detail beside a code is a sentence with the figures of the one case; what stands here holds for all.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiercast_protocol.content.jobs.waiting import ENDPOINT, GATEWAY, SERVER
from tiercast_protocol.content.package.actionresults import ACTION_RESULTS


@dataclass(frozen=True, slots=True)
class Result:
    """One row.

    Attributes:
        states: final states that it comes with.
        tiers: who says it.
        means: what happened.
        todo: what a person can do; "" for nothing.
    """

    states: tuple[str, ...]
    tiers: tuple[str, ...]
    means: str
    todo: str = ""


_FAILED, _CANCELLED, _EXPIRED, _REJECTED = ("failed",), ("cancelled",), ("expired",), ("rejected",)
_AGENT, _DEPOT, _REGION = (ENDPOINT,), (GATEWAY,), (SERVER,)

_NEWER = "Server and agent are of different versions, or it was changed on the way: update, order again."

RESULTS: dict[str, Result] = {
    "": Result(("done", "cancelled"), (ENDPOINT, GATEWAY), "As ordered; there is nothing more to say."),
    "unchanged": Result(("done",), _AGENT, "This version was installed already; nothing was touched."),
    "absent": Result(("done",), _AGENT, "It was to be removed and was not installed."),
    "platform.none": Result(
        _FAILED, _AGENT, "None of the package's file groups is for this machine.", "Build it with a group for it."
    ),
    "variable.unset": Result(
        _FAILED,
        _AGENT,
        "A variable of the package has no value on this machine; nothing was fetched.",
        "Set it under variables in endpoint.toml there; order again.",
    ),
    "variable.invalid": Result(
        _FAILED,
        _AGENT,
        "A value on this machine can't be that of a variable; nothing was fetched.",
        "Mend it under variables in endpoint.toml there; order again.",
    ),
    "dependency.needed": Result(
        _REJECTED,
        _AGENT,
        "Another package that is installed on the machine needs what was to be removed.",
        "Remove that one first, or order it with --force.",
    ),
    "replace.refused": Result(
        _REJECTED,
        _AGENT,
        "What stands on the machine is not to be replaced by this version, as the package says.",
        "Order it with --replace any, or leave it.",
    ),
    # -- disk --------------------------------------------------------------------------------------------
    "disk.short": Result(
        _FAILED,
        _AGENT,
        "The disk has not enough room; nothing was fetched.",
        "Free the room that is named; order again.",
    ),
    "disk.full": Result(
        _FAILED, _AGENT, "The disk ran full on the way; what stood before stands.", "Free room; order again."
    ),
    "disk.error": Result(_FAILED, _AGENT, "The disk or its file system refused.", "See the system's log; order again."),
    "store.full": Result(
        _FAILED,
        _DEPOT,
        "The depot has no room for the package, after several tries.",
        "tiercast depot evict --dry-run, or a larger quota; order again.",
    ),
    # -- content -----------------------------------------------------------------------------------------
    "chunk.missing": Result(
        _FAILED,
        (ENDPOINT, GATEWAY),
        "No tier above holds, or could give, a chunk of the package.",
        "tiercast depot audit, or build the package again; order again.",
    ),
    "package.invalid": Result(
        _FAILED, (ENDPOINT, GATEWAY), "The package's content can't be read.", "Build the package again."
    ),
    "package.name": Result(_FAILED, _AGENT, "The package's name can't be a name in the install root.", "Rename it."),
    "order.mismatch": Result(
        _FAILED, _AGENT, "The content is of another package than the order says.", "Build the package again."
    ),
    "tree.collision": Result(
        _FAILED,
        _AGENT,
        "Two paths of the package are one on this file system (capitals and small letters).",
        "Rename one, or allow_case_collisions in the definition.",
    ),
    "tree.digest": Result(
        _FAILED, _AGENT, "A built file does not add up to its digest.", "Order again; check the disk."
    ),
    "tree.path": Result(_FAILED, _AGENT, "A path of the package can't be made here.", "Rename it in the package."),
    "tree.gone": Result(_FAILED, _AGENT, "The built tree was taken away before the switch.", "Order again."),
    # -- install root ------------------------------------------------------------------------------------
    "root.foreign": Result(
        _FAILED, _AGENT, "Something in the install root is not the agent's.", "Move it away, or choose another root."
    ),
    "root.denied": Result(
        _FAILED, _AGENT, "The agent's user may not write into the install root.", "Change its owner or mode."
    ),
    "root.taken": Result(_FAILED, _AGENT, "Another agent installs there.", "Give each agent a root of its own."),
    "path.foreign": Result(
        _FAILED,
        _AGENT,
        "Something that no package put there has the package's name.",
        "Move it away; order again.",
    ),
    # -- programs ----------------------------------------------------------------------------------------
    "program.failed": Result(
        _FAILED,
        _AGENT,
        "A program of the package ended with an error; the old version stands.",
        "tiercast job receipt JOB NODE shows its output.",
    ),
    "program.timeout": Result(
        _FAILED,
        _AGENT,
        "A program of the package ran too long and was killed; the old version stands.",
        "Raise its timeout in the definition, or mend it.",
    ),
    "program.start": Result(
        _FAILED, _AGENT, "A program of the package could not be started.", "See its path and mode."
    ),
    "run.user": Result(
        ("failed", "rejected"),
        _AGENT,
        "The machine has not the user whose rights the program was to have, or the agent may not become that user.",
        "Name another user, or run the agent as root.",
    ),
    "run.argv": Result(_REJECTED, _AGENT, "The endpoint can't read which program is to run.", _NEWER),
    "run.timeout": Result(_REJECTED, _AGENT, "The endpoint can't read the program's time-out.", _NEWER),
    "run.exits": Result(_REJECTED, _AGENT, "The endpoint can't read the exit codes that count as success.", _NEWER),
    "run.output": Result(_REJECTED, _AGENT, "The endpoint can't read how much output is to be kept.", _NEWER),
    "run.idempotent": Result(_REJECTED, _AGENT, "The endpoint can't read whether the program is idempotent.", _NEWER),
    "message.text": Result(_REJECTED, _AGENT, "The message can't be shown on the endpoint.", _NEWER),
    "message.title": Result(_REJECTED, _AGENT, "The title of the message can't be shown on the endpoint.", _NEWER),
    "window.closed": Result(
        _FAILED,
        _AGENT,
        "The installation, or the program, would have gone on beyond its window's close, and was ended or not begun.",
        "Order it with a longer window.",
    ),
    "send.timeout": Result(
        _FAILED,
        (ENDPOINT, GATEWAY),
        "Its content was not all there within the order's time for sending; what came is kept.",
        "See the links on its way: tiercast why JOB NODE; order it again, or with more time (--send-timeout).",
    ),
    "duration.over": Result(
        _FAILED,
        _AGENT,
        "It took longer than the order's maximum duration, and was ended or not begun.",
        "Order it with a larger maximum.",
    ),
    "program.interrupted": Result(
        ("interrupted",),
        _AGENT,
        "A program was started and not seen to finish, and is not declared idempotent.",
        "Look at the machine; order again.",
    ),
    "undo.failed": Result(
        ("failed", "interrupted"),
        _AGENT,
        "It failed, and the switch could not be taken back either: the new tree may be in use.",
        "Look at the machine; order again.",
    ),
    "reboot.life": Result(
        _FAILED, _AGENT, "Whether the machine restarts can't be told; the old version stands.", "See power.boot_id."
    ),
    # -- verify and repair -------------------------------------------------------------------------------
    "verify.differs": Result(
        _FAILED,
        _AGENT,
        "What is installed is not as it was sealed; nothing was changed.",
        "tiercast job repair PACKAGE.",
    ),
    "verify.absent": Result(
        _FAILED, _AGENT, "The package, or this version, is not installed.", "tiercast job install."
    ),
    # -- jobs in two phases --------------------------------------------------------------------------------
    "undone": Result(_CANCELLED, _AGENT, "Undone as ordered: the old version is back, or nothing was changed yet."),
    "confirm.timeout": Result(
        _FAILED,
        _AGENT,
        "The package's health program did not confirm the new version in time; the old one was put back.",
        "tiercast job receipt JOB NODE shows what the program said last.",
    ),
    "superseded": Result(
        ("done",), _AGENT, "Committed; before it was accepted or undone, another job changed what stands there."
    ),
    # -- orders ------------------------------------------------------------------------------------------
    "order.expired": Result(_EXPIRED, _AGENT, "The order's time passed before it was carried out.", "Order again."),
    "order.epoch": Result(
        _REJECTED, _AGENT, "The order is of a server that was replaced since.", "Order again at the present server."
    ),
    "order.type": Result(
        ("rejected", "failed"), (ENDPOINT, GATEWAY), "Such a node does not do jobs of this type.", "Update its daemon."
    ),
    "order.unknown-option": Result(
        _REJECTED,
        (ENDPOINT, GATEWAY),
        "The order has an option that the node does not know, and that must not be passed over.",
        "Update its daemon; order again, or without that option.",
    ),
    "order.times": Result(
        _REJECTED, _AGENT, "The endpoint can't read the times of the order.", "Update its agent; order again."
    ),
    "order.terms": Result(
        _REJECTED,
        _AGENT,
        "The endpoint can't read the conditions of the order, or what it leaves to the owner.",
        "Update its agent; order again.",
    ),
    "condition.skipped": Result(
        ("done",), _AGENT, "Its condition was not true here, and the order says to skip it then; nothing was touched."
    ),
    "owner.rejected": Result(_REJECTED, _AGENT, "The machine's owner rejected it, as the order allows."),
    "offer.declined": Result(_REJECTED, _AGENT, "The machine's owner declined the offer."),
    "order.proof": Result(
        _REJECTED, _DEPOT, "The order does not prove that this gateway is a target.", "Order again; see its log."
    ),
    "depot.needed": Result(
        _FAILED, _DEPOT, "An open job still needs the package that was to be purged.", "Cancel that job first."
    ),
    "depot.library": Result(_FAILED, _DEPOT, "The library is no depot that can be purged.", "tiercast package delete."),
    # -- cancels -----------------------------------------------------------------------------------------
    "cancelled": Result(_CANCELLED, _AGENT, "Cancelled; nothing that stands was changed by it."),
    "cancel.forced": Result(
        _CANCELLED, _AGENT, "Cancelled by force: a program was killed, and what it changed by itself stands."
    ),
    "cancel.late": Result(
        ("done", "failed", "interrupted", "rejected", "expired"),
        _AGENT,
        "The cancel came when the job had ended already; the state says how.",
    ),
    "cancel.unknown": Result(
        _CANCELLED, _AGENT, "The cancel came first: the job had not come to the node, and won't run."
    ),
    "job.cancelled": Result(_CANCELLED, _REGION, "Cancelled before the node was ordered anything."),
    "job.expired": Result(
        _EXPIRED,
        _REGION,
        "The node gave no result before the job expired; one that comes late still counts.",
        "tiercast node show NODE: was it there?  Order again.",
    ),
    "job.unwoken": Result(
        _EXPIRED,
        _REGION,
        "The machine did not wake before the job expired; the detail says how often and since when it was tried."
        "  A result that comes late still counts.",
        "See that it wakes by its network at all: tiercast inventory show NODE, tiercast node wake NODE.  Then"
        " tiercast job rerun JOB --unreached.",
    ),
    "node.removed": Result(_CANCELLED, _REGION, "The node was removed from the region."),
    # -- us ----------------------------------------------------------------------------------------------
    "agent.unconfirmed": Result(
        _FAILED,
        _AGENT,
        "The new version of the agent did not start or reached no parent; it was taken back.",
        "Its detail says why.",
    ),
    "half.away": Result(
        _FAILED, _AGENT, "The agent's root half does not answer.", "systemctl status tiercast-root.socket says why."
    ),
    "half.cancelled": Result(
        _FAILED,
        _AGENT,
        "The step was stopped at the agent's root half.",
        "Order it again if it is still wanted.",
    ),
    "half.order": Result(
        _FAILED,
        _AGENT,
        "The root half did not do what comes before the step that was asked for.",
        "Order it again; if it comes back, see the log of tiercast-root.",
    ),
    "half.order-invalid": Result(
        _FAILED,
        _AGENT,
        "The root half does not take the order: not signed for this machine by the region that root trusts.",
        "After a new join run tiercast-endpoint root init.",
    ),
    "half.over": Result(
        _FAILED,
        _AGENT,
        "The root half ended the job before.",
        "Order it again if it is still wanted.",
    ),
    "half.phase": Result(
        _FAILED,
        _AGENT,
        "The order to commit did not reach the root half.",
        "Order it again.",
    ),
    "half.question": Result(
        _FAILED,
        _AGENT,
        "The root half can't read what it was asked.",
        "Have both halves of one version.",
    ),
    "half.needs": Result(
        _FAILED,
        _AGENT,
        "By what the root half installed, a package that it needs is missing, or one is in its way.",
        "tiercast job show says what it needs; install that first, or remove what is in its way.",
    ),
    "half.stale": Result(
        _FAILED,
        _AGENT,
        "A later revision of the job was at the root half before.",
        "tiercast job show says what became of that one.",
    ),
    "half.step": Result(
        _FAILED,
        _AGENT,
        "The root half has no such step for this type of job.",
        "Have both halves of one version.",
    ),
    "half.tries": Result(
        _FAILED,
        _AGENT,
        "It failed at the root half as often as the order lets it be tried.",
        "Order it again, with more tries.",
    ),
    "half.order-missing": Result(_FAILED, _AGENT, "The order came before the agent had two halves.", "Order it again."),
    "agent.bug": Result(_FAILED, _AGENT, "The agent itself failed.", "Its log has the details; please report it."),
    "internal": Result(_FAILED, _DEPOT, "The gateway itself failed.", "Its log has the details; please report it."),
}
RESULTS |= {code: Result(_FAILED, _AGENT, means, todo) for code, (means, todo) in ACTION_RESULTS.items()}
