"""The closed catalogue of what can be waited for (docs/jobs.md, "Why").

Rules
- Every state that is not final, at every tier, leads to at least one code here; a test enumerates them.
- Codes are stable: a code is never renamed and never means another thing.  A further one is a further row.
- How a row reads stands in `kind.py`; those of the machine's own stand in `waiting_machine.py`, those of
  a set in `waiting_set.py`, those of waking machines in `waiting_power.py`.
"""

from __future__ import annotations

from tiercast_protocol.content.jobs.kind import ENDPOINT, GATEWAY, SERVER, Kind
from tiercast_protocol.content.jobs.waiting_machine import MACHINE
from tiercast_protocol.content.jobs.waiting_power import POWER
from tiercast_protocol.content.jobs.waiting_set import OF_SETS

__all__ = ["ENDPOINT", "GATEWAY", "KINDS", "SERVER", "Kind"]

KINDS: dict[str, Kind] = {
    # -- said by people: windows, budgets, suspensions, terms ---------------------------------------------
    "suspended": Kind(
        (GATEWAY, SERVER),
        "suspended[ by {by}][ until {until:at}]",
        "whoever suspended it resumes it[, or it is {until:at}]",
        "[!what? tiercast job resume JOB, tiercast node resume {peer}, or tiercast link resume {peer} --node {node}]"
        "[what=job? tiercast job resume JOB][what=node? tiercast node resume {of}]"
        "[what=link? tiercast link resume {peer} --node {node}][, at {at}]",
    ),
    "window.shut": Kind(
        (ENDPOINT, GATEWAY, SERVER),
        "[terms=link? the link's][terms=output? the output's][terms=job? the job's][!terms? its] window {window}"
        " is shut[ until {until:at}]",
        "the window opens[ at {until:at}]",
        "[!terms? wait; a transfer's window: tiercast job set JOB --window none, or"
        " tiercast link window remove {peer} --node {node}]"
        "[terms=job? wait, or: tiercast job set JOB --window none]"
        "[terms=link? wait, or see them: tiercast link window list {peer} --node {node}]"
        "[terms=output? wait, or see them: tiercast link window list --node {node}]",
    ),
    "budget.spent": Kind(
        (GATEWAY, SERVER),
        "its budget is spent[: {used:n} of {limit:bytes} per {per}][: {used_s:n} of {limit_s:s} per {per}]",
        "[per=job? the budget is raised][!per=job,until? it is {until:at}, or the budget is raised]"
        "[!per=job,!until? the next period begins, or the budget is raised]",
        "[!terms? tiercast job set JOB --budget SIZE, or tiercast link set {peer} --node {node} --budget SIZE]"
        "[terms=job? tiercast job set JOB --budget SIZE]"
        "[terms=link? tiercast link set {peer} --node {node} --budget SIZE]"
        "[terms=output? tiercast link set --output --node {node} --budget SIZE]",
    ),
    "link.metered": Kind(
        (GATEWAY, SERVER),
        "the link to {peer} is metered, and the job may not use it",
        "the owner allows it, or the link is metered no more",
        "tiercast job set JOB --metered; or, on the machine, tiercast-endpoint transfer allow --for 2h",
    ),
    "priority": Kind(
        (GATEWAY, SERVER),
        "goes after {first}",
        "those jobs have sent what they have",
        "tiercast job set JOB --priority 9",
    ),
    "pause": Kind(
        (GATEWAY, SERVER),
        "[{pause:s} of pause after each {segment:bytes}][{frame_pause:n} ms of pause after each {frames:n} frames]"
        "[terms=child? , as {peer} asks][; segment {next:n} follows]",
        "the pause ends, after which the next part is sent",
        "[!terms? tiercast job set JOB --segment none --pause none]"
        "[terms=job,segment? tiercast job set JOB --segment none --pause none]"
        "[terms=job,frames? tiercast job set JOB --interval-frames none --interval-pause none]"
        "[terms=link,segment? tiercast link set {peer} --node {node} --segment none --pause none]"
        "[terms=link,frames? tiercast link set {peer} --node {node} --interval-frames none --interval-pause none]"
        "[terms=output,segment? tiercast link set --output --node {node} --segment none --pause none]"
        "[terms=output,frames? tiercast link set --output --node {node} --interval-frames none --interval-pause none]"
        "[terms=child? on {peer}: segment and pause in the transfer table of its settings]",
        moves=True,
    ),
    "rate": Kind(
        (GATEWAY, SERVER),
        "[{rate:rate} at most][terms=child? , as {peer} asks]",
        "what is left has been sent at that rate",
        "[!terms? tiercast job set JOB --rate none, or tiercast link set {peer} --node {node} --rate none]"
        "[terms=job? tiercast job set JOB --rate none][terms=link? tiercast link set {peer} --node {node} --rate none]"
        "[terms=output? tiercast link set --output --node {node} --rate none]"
        "[terms=child? on {peer}: rate in the transfer table of its settings]",
        moves=True,
    ),
    **MACHINE,
    **OF_SETS,
    **POWER,
    # -- seen by a gateway or the server on its way down ----------------------------------------------------
    "away": Kind(
        (GATEWAY, SERVER),
        "{peer} is not connected to {node}",
        "{peer} connects again, or the job expires",
        "see that the machine runs and reaches {node}: tiercast node show {peer}",
        cuts=True,
    ),
    "lane.parked": Kind(
        (GATEWAY, SERVER),
        "{peer} gave no sign of life for a while, with bytes under way",
        "its next report comes",
        "see its link and its load: tiercast link show {peer} --node {node}",
    ),
    "depot.full": Kind(
        (ENDPOINT, GATEWAY),
        "the depot of {node} has no room[: {free:bytes} are free]",
        "something leaves the depot, or its disk has room",
        "tiercast depot evict --dry-run --node {node}, or give it a larger quota or disk",
    ),
    "parent.lost": Kind(
        (ENDPOINT, GATEWAY),
        "{node} can't reach its parent {peer}",
        "the link to {peer} is back, or {node} finds a place below another parent",
        "see that {peer} runs: tiercast node show {peer}; where else it may go: tiercast node candidates {node}",
        cuts=True,
    ),
    "chunk.awaited": Kind(
        (GATEWAY,),
        "{node} waits for chunks from {above}",
        "{above} sends them",
        "ask further up: tiercast why JOB {node}",
        moves=True,
    ),
    "chunk.sought": Kind(
        (GATEWAY, SERVER),
        "{node} lost {chunks:n} chunks of its disk, and nobody gave them back yet",
        "a node that holds them connects, or they come by media or with the package built again",
        "tiercast package build of the same tree, or tiercast depot seed; who may hold it: tiercast depot who PACKAGE",
    ),
    "credit": Kind(
        (GATEWAY, SERVER),
        "{peer} has as much under way as it can take in",
        "{peer} stores what it has",
        moves=True,
    ),
    "yields": Kind(
        (GATEWAY, SERVER),
        "the link to {peer} yields to other traffic (adaptive)[: {rate:rate}][, {queueing:n} ms of queueing]",
        "the other traffic ends",
        "tiercast link set {peer} --node {node} --no-adaptive",
        moves=True,
    ),
    "sending": Kind(
        (GATEWAY, SERVER),
        "is being sent to {peer}",
        "the last chunk arrives there",
        moves=True,
    ),
    "route.unknown": Kind(
        (GATEWAY, SERVER),
        "no way to {peer} is known at {node}",
        "{peer} joins, or says where it is, or the job expires",
        "tiercast node show {peer}: has it joined, and below whom?",
    ),
    "order.unheard": Kind(
        (GATEWAY, SERVER),
        "the order lies in the outbox of {node} for {peer}, unacknowledged",
        "{peer} acknowledges it",
        "see whether it is there: tiercast node show {peer}",
    ),
    "order.way": Kind(
        (GATEWAY, SERVER),
        "the order is on its way to {peer}, which said nothing yet",
        "{peer} says its first word",
        "tiercast why JOB {peer}, at the gateways on the way",
        moves=True,
    ),
    "preload.again": Kind(
        (GATEWAY,),
        "the preload failed and is tried again[: {error}]",
        "the pause ends[ at {until:at}]",
        "see that the depot has room and the package is whole: tiercast depot show --node {node}",
    ),
    # -- known to the server alone -----------------------------------------------------------------------------
    "node.not-joined": Kind(
        (SERVER,),
        "{peer} was invited and has not joined yet",
        "it joins",
        "run the join command on it; a new token: tiercast node invite {peer} --replace",
    ),
    "order.handing": Kind(
        (SERVER,),
        "the order is signed and not yet handed to the tree",
        "the server hands it over, within a second",
        moves=True,
    ),
    "cancel.way": Kind(
        (GATEWAY, SERVER),
        "the job is cancelled, and {peer} has not said yet how it ended there",
        "the receipt of {peer} comes",
        "see whether it is there: tiercast node show {peer}",
    ),
    "receipts": Kind(
        (SERVER,),
        "the order has expired; receipts under way still count[ until {until:at}]",
        "the receipt of {peer} comes[, or it is {until:at}]",
    ),
    "gate.shut": Kind(
        (SERVER,),
        "wave {wave:n} of {rollout} has not begun: its gate is shut"
        "[: {have} targets of the wave before are done, {needs} are needed][, and {hand} is needed]",
        "the gate opens[: {needs} of the wave before are done][ at {until:at}][, by {hand}]",
        "tiercast rollout next {rollout} begins it now; how far it is: tiercast rollout show {rollout}",
    ),
    "breaker.open": Kind(
        (ENDPOINT, GATEWAY, SERVER),
        "[the rollout {rollout} stopped: {have} targets failed, and it stops at {limit}; wave {wave:n} does not begin]"
        "[nothing more of {rollout} begins below {site}: {have} targets failed there, and it stops at {limit}]",
        "[another rollout, or a job, is ordered for {peer} instead of wave {wave:n}]"
        "[somebody resumes {rollout}, at {site} or at the server]",
        "see who failed: tiercast rollout show {rollout}; take it back: tiercast rollout undo {rollout}"
        "[; let it go on below {site}: tiercast rollout resume {rollout}]",
    ),
    "rollout.paused": Kind(
        (SERVER,),
        "wave {wave:n} of {rollout} has not begun: the rollout is paused[: {error}]",
        "somebody resumes it",
        "tiercast rollout resume {rollout}",
    ),
    # -- what an endpoint is at ----------------------------------------------------------------------------
    "turn": Kind(
        (ENDPOINT,),
        "waits for its turn[: {before} is before it for the same package][: {busy:n} other jobs are at work]",
        "the jobs before it have ended",
        "[tiercast why {before}][on the machine, tiercast-endpoint jobs shows the {busy:n} others]",
    ),
    "plan": Kind(
        (ENDPOINT,), "looks at what it holds and what is missing", "root and lists of the package are here", moves=True
    ),
    "fetch": Kind((ENDPOINT,), "fetches what it lacks", "the last chunk arrives", moves=True),
    "assemble": Kind(
        (ENDPOINT,), "has everything and builds the new tree", "the tree stands and is synced", moves=True
    ),
    "hold": Kind(
        (ENDPOINT,), "is prepared, and waits for its turn[: {busy:n} other jobs are at work]", "its turn comes"
    ),
    "run": Kind((ENDPOINT,), "is being carried out[ ({step})]", "the step ends", moves=True),
    "program": Kind(
        (ENDPOINT,),
        "a program of the job runs[: {program}]",
        "it ends[, or is killed after {timeout:s}]",
        "look at it on the machine; tiercast job cancel JOB lets it finish, with --force it is killed",
        moves=True,
    ),
    "install": Kind((ENDPOINT,), "is being installed[ ({step})]", "the step ends", moves=True),
    "remove": Kind((ENDPOINT,), "is being removed[ ({step})]", "the step ends", moves=True),
    "journal.full": Kind(
        (ENDPOINT,),
        "the disk of {node} has no room for its journal[: {free:bytes} are free]",
        "the disk has room",
        "free room on the disk of {node}",
    ),
    "receipt.unheard": Kind(
        (ENDPOINT, GATEWAY),
        "has ended, and {peer} has not acknowledged the receipt yet",
        "{peer} acknowledges it",
        "see whether {peer} is there: tiercast node show {peer}",
    ),
    # -- a machine of an assignment, which has no job of its own --------------------------------------------
    "assignment.job": Kind(
        (SERVER,), "the job {job} about {package} is open there", "{job} ends there", "tiercast why {job} {peer}"
    ),
    "assignment.turn": Kind(
        (SERVER,), "is not as it is to be, and gets its job", "the server looks, within a minute", moves=True
    ),
    "assignment.unknown": Kind(
        (SERVER,),
        "said nothing of itself yet, so nothing is ordered for it",
        "its inventory comes",
        "see whether it is there: tiercast node show {peer}",
    ),
    "assignment.paused": Kind(
        (SERVER,),
        "the assignment {assignment} is paused: nothing is ordered for it",
        "somebody resumes it",
        "tiercast assignment resume {assignment}",
    ),
    "assignment.stopped": Kind(
        (SERVER,),
        "nothing more is rolled out for {assignment}: {error}",
        "somebody asks for another try, or the assignment wants another version",
        "see why: tiercast rollout show {rollout}; tiercast assignment retry {assignment}",
    ),
    "assignment.contradicted": Kind(
        (SERVER,),
        "no version of {package} does for all assignments that are for it: {others}",
        "one of them, or its groups, change, or such a version is registered",
        "tiercast assignment list; tiercast apply another file",
    ),
    "assignment.again": Kind(
        (SERVER,),
        "was tried {failures:n} times, and is tried again at {until:at}[; the last one failed: {error}]",
        "the pause ends at {until:at}",
        "tiercast assignment retry {assignment} --on {peer}",
    ),
    "assignment.failed": Kind(
        (SERVER,),
        "was tried {failures:n} times, and is not tried again by itself[; the last one failed: {error}]",
        "somebody asks for another try",
        "tiercast assignment retry {assignment} --on {peer}",
    ),
    # -- a step of an activity plan, which has no job yet -----------------------------------------------------
    "plan.suspended": Kind(
        (SERVER,),
        "nothing more of its plan begins: it is suspended",
        "somebody resumes it",
        "tiercast plan resume {plan}",
    ),
    "plan.step": Kind(
        (SERVER,),
        "comes after {steps}[ {where}]",
        "{steps} ends[ {where}]",
        "tiercast plan show {plan}; tiercast plan cancel {plan}",
    ),
}
