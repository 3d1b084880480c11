"""`tiercast plan ...`: jobs that follow each other, out of one file, and how far they are.

Rules
- What is drawn is a tree: a step stands below the one that it comes after; below the last of them, if there are
  several, and the others are named.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tiercast_cli import words
from tiercast_cli.options import Json, Plan
from tiercast_cli.session import ask, emit, run

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
        print(f"plan {found['plan']}  {found['name']}  {found['state']}")
        ended = f", ended {words.moment(found['ended'])}" if found["ended"] else ""
        print(f"accepted {words.moment(found['created'])} by {found['by']}{ended}")
        if found["note"]:
            print(found["note"])
        print(words.table(("step", "state", "job", "about", "targets", "why"), tree(found["steps"])))

    run(work, as_json=json)


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
        jobs = f": {', '.join(done['jobs'])}" if done["jobs"] else ""
        print(f"Plan {done['plan']} is being cancelled, with {words.count(len(done['jobs']), 'open job')}{jobs}.")

    run(work, as_json=json)


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
        " ".join(
            part for part in (_counts(one["counts"]), f"to come:{one['left']}" if one.get("left") else "") if part
        ),
        "; ".join(why),
    )


def _plan(file: str, *, json: bool) -> dict[str, Any]:
    """What the file says; read before the command's own loop runs, for each step's line has one of its own."""
    from tiercast_cli.planfiles import plan_of  # noqa: PLC0415 - late: only who has a file pays for it
    from tiercast_protocol.errors import UsageError  # noqa: PLC0415 - as above

    try:
        return plan_of(file)
    except UsageError as error:
        wrong = error

    async def tell() -> dict[str, Any]:
        raise wrong

    return run(tell, as_json=json)


def _counts(counts: dict[str, int]) -> str:
    return " ".join(f"{state}:{n}" for state, n in sorted(counts.items()) if n)
