"""`tiercast plan ...`: jobs that follow each other, out of one file, and how far they are.

Rules
- What is drawn is a tree: a step stands below the one that it comes after; below the last of them, if there are
  several, and the others are named.
"""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import Annotated, Any

import typer

from tiercast_cli.said.options import Json, Plan
from tiercast_cli.shown import words
from tiercast_cli.talk.exitcodes import ExitCode
from tiercast_cli.talk.session import ask, connected, emit, refuse, run

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Activity plans: jobs that follow each other, out of one file."
)

File = Annotated[str, typer.Argument(metavar="FILE", help="The plan in TOML; - reads the standard input.")]
_RUN = """\b
Examples:
  tiercast plan run night.toml
  tiercast plan run - --json

\b
A plan:
  [[step]]
  name = "stop-cups"
  type = "run"
  program = ["/usr/bin/systemctl", "stop", "cups"]
  group = "printers"
  [[step]]
  name = "update"
  after = ["stop-cups"]
  on_failure = "go-on"      # or "stop" (the default), or the name of a step to run instead
  type = "install"
  package = "cups-filters=2.0"
  group = "printers"
"""


def _example(line: str) -> str:
    return f"\b\nExample:\n  tiercast plan {line}"


@app.command()
def check(file: File, *, json: Json = False) -> None:
    """Look at a plan as `plan run` would; nothing is ordered."""
    asked = _plan(file, json=json)

    async def work() -> None:
        found = await ask("plan.check", **asked)
        if json:
            emit({"check": found})
            return
        print(f"Plan {found['name']}: {words.count(len(found['steps']), 'step')}, nothing wrong; nothing was ordered.")
        rows = [(one["step"], one["type"], one["targets"]) for one in found["steps"]]
        print(words.table(("step", "type", "targets"), rows))

    run(work, as_json=json)


@app.command("run", epilog=_RUN)
def run_(file: File, *, json: Json = False) -> None:
    """Check a plan whole, and begin it; the server goes on with it by itself."""
    asked = _plan(file, json=json)

    async def work() -> None:
        made = await ask("plan.run", **asked)
        if json:
            emit(made)
            return
        print(f"Plan {made['plan']}: {made['name']}, {words.count(made['steps'], 'step')}.")
        for step, job in made["jobs"].items():
            print(f"  {step} began: job {job}")
        print(f"See how far it is: tiercast plan show {made['plan']}")

    run(work, as_json=json)


@app.command()
def show(plan: Plan, *, json: Json = False) -> None:
    """Show a plan as a tree: the state of each step, and its job."""

    async def work() -> None:
        found: dict[str, Any] = await ask("plan.show", plan=plan)
        if json:
            emit({"plan": found})
            return
        print(_drawn(found))

    run(work, as_json=json)


@app.command("watch", epilog=_example("watch p1-ab12"))
def watch_(plan: Plan, *, json: Json = False) -> None:
    """Watch a plan until it has ended: the tree on a terminal, else a line for each step that moves.

    Ctrl-C stops the watching, not the plan.
    """

    async def work() -> None:
        last = await _follow(plan, quiet=json)
        if json:
            emit({"plan": last})
        else:
            print(f"plan {last['plan']}: {last['state']}")
        if last["state"] != "done":
            raise SystemExit(ExitCode.JOB_FAILED)

    run(work, as_json=json, on_interrupt=lambda: f"Plan {plan} goes on.  Watch it again: tiercast plan watch {plan}")


@app.command("list")
def list_(
    *, limit: Annotated[int, typer.Option("--limit", help="The newest so many.")] = 50, json: Json = False
) -> None:
    """List plans, newest first."""

    async def work() -> None:
        found: list[dict[str, Any]] = await ask("plan.list", limit=limit)
        if json:
            emit({"plans": found})
            return
        rows = [
            (one["plan"], one["name"], one["state"], _counts(one["steps"]), one["by"], words.moment(one["created"]))
            for one in found
        ]
        print(words.table(("plan", "name", "state", "steps", "by", "accepted"), rows))

    run(work, as_json=json)


@app.command()
def cancel(plan: Plan, *, json: Json = False) -> None:
    """Begin no more steps of a plan, and cancel those of its jobs that are open."""

    async def work() -> None:
        done = await ask("plan.cancel", plan=plan)
        if json:
            emit(done)
            return
        if done["again"]:
            print(f"Plan {done['plan']} was being cancelled already.  What it waits for: tiercast why {done['plan']}")
            return
        jobs = f": {', '.join(done['jobs'])}" if done["jobs"] else ""
        print(f"Plan {done['plan']} is being cancelled, with {words.count(len(done['jobs']), 'open job')}{jobs}.")

    run(work, as_json=json)


@app.command(epilog=_example("suspend p1-ab12"))
def suspend(plan: Plan, *, json: Json = False) -> None:
    """Begin no further step of a plan, and no step on further machines, until it is resumed; its open jobs go on."""

    async def work() -> None:
        done = await ask("plan.suspend", plan=plan)
        if json:
            emit(done)
        else:
            print(f"Plan {done['plan']} {'was suspended already' if done['again'] else 'is suspended'}.")

    run(work, as_json=json)


@app.command(epilog=_example("resume p1-ab12"))
def resume(plan: Plan, *, json: Json = False) -> None:
    """Have a suspended plan go on."""

    async def work() -> None:
        done = await ask("plan.resume", plan=plan)
        if json:
            emit(done)
        else:
            print(f"Plan {done['plan']} {'was not suspended' if done['again'] else 'goes on'}.")

    run(work, as_json=json)


@app.command(epilog=_example("delete p1-ab12"))
def delete(plan: Plan, *, json: Json = False) -> None:
    """Forget a plan that has ended; its jobs stay."""

    async def work() -> None:
        done = await ask("plan.delete", plan=plan)
        if json:
            emit(done)
        else:
            print(f"Plan {done['plan']} is forgotten; its jobs stay.")

    run(work, as_json=json)


@app.command(epilog=_example("rerun p1-ab12 --failed"))
def rerun(
    plan: Plan,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Only what did not end well.")] = False,
    json: Json = False,
) -> None:
    """Run a plan that has ended again, as another plan; moments that are over are left out."""

    async def work() -> None:
        made = await ask("plan.rerun", plan=plan, failed=failed)
        if json:
            emit(made)
            return
        print(f"Plan {made['plan']}: {made['name']}, {words.count(made['steps'], 'step')}.")
        for step, times in made["dropped"].items():
            print(f"  {step}: over, and left out: {', '.join(times)}")
        print(f"See how far it is: tiercast plan watch {made['plan']}")

    run(work, as_json=json)


async def _follow(plan: str, *, quiet: bool) -> dict[str, Any]:
    """Watch a plan until it has ended; its last state."""
    last: dict[str, Any] = {}
    said: dict[str, tuple[str, str]] = {}
    async with connected() as client, aclosing(client.stream("plan.watch", plan=plan)) as snapshots:
        if quiet or not sys.stdout.isatty():
            async for last in snapshots:
                for one in [] if quiet else last["steps"]:
                    now = (one["state"], _targets(one))
                    if said.get(one["step"]) != now:
                        said[one["step"]] = now
                        print("  ".join(part for part in (one["step"], *now, one["job"]) if part), flush=True)
            return last
        from rich.live import Live  # noqa: PLC0415 - rich costs 60 ms, and only a terminal needs it
        from rich.text import Text  # noqa: PLC0415 - as above

        with Live(auto_refresh=False) as live:
            async for last in snapshots:
                live.update(Text(_drawn(last)), refresh=True)
    return last


def _drawn(found: dict[str, Any]) -> str:
    ended = f", ended {words.moment(found['ended'])}" if found["ended"] else ""
    head = [
        f"plan {found['plan']}  {found['name']}  {found['state']}",
        f"accepted {words.moment(found['created'])} by {found['by']}{ended}",
        *([found["note"]] if found["note"] else []),
    ]
    table = words.table(("step", "state", "job", "about", "targets", "why"), tree(found["steps"]))
    return "\n".join([*head, table])


def tree(steps: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """A row per step, in the order of a tree, its lines before the names."""
    places = {one["step"]: at for at, one in enumerate(steps)}
    causes: dict[str, list[str]] = {}
    for one in steps:
        if one["on_failure"] in places:
            causes.setdefault(one["on_failure"], []).append(one["step"])
    below: dict[str, list[dict[str, Any]]] = {}
    above: dict[str, str] = {}
    for one in steps:
        before = [*one["after"], *causes.get(one["step"], [])]
        above[one["step"]] = max(before, key=lambda name: places[name]) if before else ""
        below.setdefault(above[one["step"]], []).append(one)
    rows: list[tuple[str, ...]] = []
    # without recursion: a chain may be as long as a plan
    left = [(one, "", "") for one in reversed(below.get("", []))]
    while left:
        one, lines, corner = left.pop()
        rows.append((lines + corner + one["step"], *_row(one, above[one["step"]], causes.get(one["step"], []))))
        inner = lines + {"": "", "├─ ": "│  ", "└─ ": "   "}[corner]
        children = below.get(one["step"], [])
        left += [(child, inner, "└─ " if child is children[-1] else "├─ ") for child in reversed(children)]
    return rows


def _row(one: dict[str, Any], above: str, causes: list[str]) -> tuple[str, ...]:
    why = ["each machine by itself"] if one.get("per") == "target" else []
    why += [f"if {' or '.join(causes)} fails"] if causes else []
    if others := [name for name in one["after"] if name != above]:
        why.append(f"also after {', '.join(others)}")
    if "why" in one:
        why.append(one["why"]["says"])
    if one["code"]:
        why.append(f"{one['code']}: {one['detail']}")
    return (
        one["state"],
        one["job"] or "-",
        f"{one['type']} {one['about']}".strip(),
        _targets(one),
        "; ".join(why),
    )


def _targets(one: dict[str, Any]) -> str:
    coming = f"to come:{one['left']}" if one.get("left") else ""
    return " ".join(part for part in (_counts(one["counts"]), coming) if part)


def _plan(file: str, *, json: bool) -> dict[str, Any]:
    """What the file says; read before the command's own loop runs, for each step's line has one of its own."""
    from tiercast_cli.jobs.planfiles import plan_of  # noqa: PLC0415 - late: only who has a file pays for it
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - as above

    try:
        return plan_of(file)
    except UsageError as error:
        refuse(error, as_json=json)


def _counts(counts: dict[str, int]) -> str:
    return " ".join(f"{state}:{n}" for state, n in sorted(counts.items()) if n)
