"""An agent is killed (-9) at seeded instants, up to three times in a row: 0 mixed, 0 run twice, 0 receipts lost.

Rules
- By story, the steps of a whole life are hit in turn, at any instant of the step; later lives are killed, too, so that
  recoveries are cut off.  After some of the kills it is the machine that starts again, and not the agent alone.
- After the last kill a life is let end, and all is looked at: the whole tree, the rows, the programs, the receipts; and
  once more after another start, which must change nothing.
- What was interrupted is counted, and printed with the instants by class and step (pytest -s).
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.crash.lives import Nursery, ended, nursery
from tests.crash.restarts import restart_machine
from tests.crash.stories import MURDERER, STORIES, Story, machine, shown
from tests.endpoint.lab import ME, Region

from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.trees import holdings
from tiercast_protocol.content.trust.keys import PrivateKey

KILLS = 60
LONG = 300
#: Restarts of the machine at seeded instants, one after each kill.
RESTARTS = 50
#: How many of the other kills end the machine's life, too.
FALLS = 0.3
MOST_IN_A_ROW = 3
#: Steps that are never left out: prepare, commit, accept, and the trial between them.
STEPS = {"assemble", "switch", "apply", "confirm", "settle"}


@pytest.fixture(name="forks", scope="module")
def _forks() -> Iterator[Nursery]:
    with nursery() as forks:
        yield forks


class Machines(NamedTuple):
    """What stands on the machine before and after."""

    old: dict[str, tuple[object, ...]]
    new: dict[str, tuple[object, ...]]


class Tally:
    """What the kills hit and what came of them."""

    def __init__(self) -> None:
        self.kills: Counter[tuple[str, str]] = Counter()
        self.ends: Counter[str] = Counter()
        self.restarts = 0
        self.recovered = 0

    def __str__(self) -> str:
        hit = [f"{kind}, {step}: {count}" for (kind, step), count in sorted(self.kills.items())]
        ends = ", ".join(f"{state} {count}" for state, count in sorted(self.ends.items()))
        fell = f"{self.restarts} restarts of the machine, {self.recovered} actions recovered before the agent"
        return f"{self.kills.total()} kills, {fell}\n" + "\n".join(hit) + f"\njobs ended: {ends}"


def by_step(steps: Sequence[str]) -> dict[str, list[int]]:
    """The instants of each step: one of few instants is hit as often as one of many."""
    found: dict[str, list[int]] = {}
    for number, step in enumerate(steps, 1):
        found.setdefault(step, []).append(number)
    return found


async def look(story: Story, folder: Path, region: Region, may: Machines) -> list[Job]:
    """A life that ends; everything is as it may be (of what is placed: before, or as after a life without a kill)."""
    orders, chunks = story.orders_in(folder)
    # The parent repeats what was not acknowledged, once too often; the agent may know the orders or not.
    async with ended(folder, region, chunks, [*orders, *orders]) as agent:
        rows = [replace(await agent.row(order.job), reported=True) for order in orders]
        last = rows[-1]
        assert last.state in story.ends, f"{last.state} {last.code} {last.detail}"
        assert shown(agent, story.ends[last.state]), f"mixed after {last.state}"
        ran = story.ran(folder)
        for word, states in story.once.items():
            assert ran.count(word) <= 1, f"{word} ran {ran.count(word)} times"
            # An undo that was started and not seen to finish is told, and not repeated.
            assert last.state not in states or ran.count(word) == 1 or last.code == "undo.failed"
        assert last.code in {story.says.get(last.state, last.code), "undo.failed"}, f"{last.state} for {last.code}"
        assert machine(folder) == (may.new if last.state == "done" else may.old), f"not whole after {last.state}"
        for row in rows:
            receipt = agent.receipt(row.record(ME))
            assert (receipt.node, receipt.job, receipt.state) == (ME, row.job, row.state)
        assert await agent.db.read(journal.open_jobs) == []
        known = [*await agent.db.read(holdings.trees), *await agent.db.read(holdings.partial_trees)]
        staged = {f".staging/{path.name}" for path in (agent.root.path / ".staging").iterdir()}
        assert {tree.tree for tree in known} == set(agent.root.trees()) | staged, "what lies there is not what is known"
        return rows


async def campaign(forks: Nursery, folder: Path, seed: str, kills: int, *, each: bool, falls: float = FALLS) -> Tally:
    """So many kills, over all stories in turn; at least one in each of `STEPS`, or in each step of each story.

    `falls` is the share of them after which the whole machine starts again.
    """
    region = Region(PrivateKey.generate(), PrivateKey.generate())
    chance, fall = random.Random(seed), random.Random(f"{seed}, machine")
    instants: dict[str, dict[str, list[int]]] = {}
    turns: dict[str, list[str]] = {}
    may: dict[str, Machines] = {}
    tally = Tally()
    missing = {""}

    def lacks() -> bool:
        return bool(missing) if each else not {step for _, step in tally.kills} >= STEPS

    while tally.kills.total() < kills or (lacks() and tally.kills.total() < 2 * kills):
        for story in STORIES:
            prepared, work = folder / story.name, folder / "work"
            if story.name not in instants:
                await story.prepare(prepared, region, work)
                shutil.copytree(prepared, work, symlinks=True)
                instants[story.name] = by_step(forks.life(work).steps)
                may[story.name] = Machines(machine(prepared), machine(work))
                missing |= {f"{story.name} {step}" for step in instants[story.name]}
                shutil.rmtree(work)
            shutil.copytree(prepared, work, symlinks=True)
            whole = True
            for _ in range(chance.randint(1, MOST_IN_A_ROW)):
                if not (steps := turns.get(story.name)):
                    steps = turns[story.name] = sorted(instants[story.name])
                    chance.shuffle(steps)
                if (step := steps.pop()) not in instants[story.name]:
                    continue
                life = forks.life(work, chance.choice(instants[story.name][step]))
                if not life.killed:
                    steps.append(step)  # a recovery has fewer instants than the whole: the next life has it
                    if whole:
                        instants[story.name] = by_step(life.steps)  # programs took longer when these were counted
                    break
                whole = False
                hit = life.at.partition(" ")[0]  # an instant may come at another step than it did the first time
                missing -= {"", f"{story.name} {hit}"}
                tally.kills[story.kind, hit] += 1
                if fall.random() < falls:
                    tally.restarts += 1
                    tally.recovered += len(restart_machine(work))
            rows = await look(story, work, region, may[story.name])
            assert await look(story, work, region, may[story.name]) == rows, "what had ended did not stay as it was"
            tally.ends[rows[-1].state + (", undo not known" if rows[-1].code == "undo.failed" else "")] += 1
            shutil.rmtree(work)
    return tally


@pytest.mark.timeout(600)  # on a busy machine; less than 30 s on a quiet one
async def test_a_kill_at_any_instant_leaves_all_new_or_all_old(forks: Nursery, tmp_path: Path) -> None:
    tally = await campaign(forks, tmp_path, "usual", KILLS, each=False)
    print(tally)  # noqa: T201 - for who asks with -s
    assert {kind for kind, _ in tally.kills} == {story.kind for story in STORIES}
    assert {step for _, step in tally.kills} >= STEPS
    assert tally.restarts > KILLS / 10


@pytest.mark.long
@pytest.mark.timeout(3600)  # ten minutes beside other work
async def test_a_kill_at_any_of_many_instants(forks: Nursery, tmp_path: Path) -> None:
    tally = await campaign(forks, tmp_path, "long", LONG, each=True)
    print(tally)  # noqa: T201 - as above
    assert tally.kills.total() >= LONG


@pytest.mark.long
@pytest.mark.timeout(3600)  # as above
async def test_a_restart_of_the_machine_at_any_of_many_instants(forks: Nursery, tmp_path: Path) -> None:
    tally = await campaign(forks, tmp_path, "restarts", RESTARTS, each=False, falls=1.0)
    print(tally)  # noqa: T201 - as above
    assert tally.restarts >= RESTARTS
    assert tally.recovered, "none of them came between the names of placed files"


async def test_an_installer_that_kills_the_agent(forks: Nursery, tmp_path: Path) -> None:
    region, folder = Region(PrivateKey.generate(), PrivateKey.generate()), tmp_path / "one"
    await MURDERER.prepare(folder, region, folder)
    may = Machines(machine(folder), {})
    assert forks.life(folder).killed
    (row,) = await look(MURDERER, folder, region, may)
    assert row.code == "program.interrupted"
