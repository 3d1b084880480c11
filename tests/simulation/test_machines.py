"""The machines of jobs wired together: any story ends every target once, inside its window, told alike everywhere."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.simulation.machines import HOUR, SERVER, START, Region

from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_server.jobs import life as jl
from tiercast_server.jobs.life import GRACE_MS, closing_state

OPTIONS: list[dict[str, Any]] = [
    {},
    {"install_window": "daily 16:00-18:00 utc"},
    {"install_window": "daily 02:00-04:00 utc"},
    {"install_at": START + 5 * HOUR, "tries": 2, "try_pause_s": 60},
    {"install_window": "daily 22:00-23:00 utc; daily 08:00-09:00 utc", "distribute_at": START + HOUR},
]
NODES = ["pc0", "pc1", "pc2"]
#: What happens, and how often.
WEIGHTS = {
    "mail": 30, "twice": 12, "again": 8, "well": 30, "badly": 2, "create": 2, "cancel": 1.5, "force": 0.7, "part": 1.5,
    "add": 2, "move": 2.5, "away": 1, "crash": 2, "hours": 2, "step": 1.5,
}  # fmt: skip


def act(region: Region, what: str, one: int, other: int) -> None:
    node = NODES[one % 3]
    job = f"j{other % len(region.jobs)}" if region.jobs else ""
    match what:
        case "mail" | "twice":
            region.mail.deliver(one, twice=what == "twice")
        case "again":
            region.mail.repeat(one)
        case "well" | "badly":
            region.endpoints[node].step(well=what == "well")
        case "create" if len(region.jobs) < 3:
            region.create(f"j{len(region.jobs)}", NODES[: 1 + one % 3], OPTIONS[other % 5], 1 + one)
        case "cancel" | "force" if job:
            region.advance(job, jl.CancelAsked(force=what == "force"))
        case "part" if job and node in region.jobs[job].standing:
            region.advance(job, jl.CancelAsked((node,)))
        case "add" if job:
            region.add(job, node)
        case "move":
            region.move(node, f"g{other % 2}")
        case "away":
            region.move(node, "")
        case "crash":
            region.endpoints[node].crash()
        case "hours":  # time passes for all
            for name in (SERVER, "g0", "g1", *NODES):
                region.clocks[name] = region.clock(name) + abs(other) * HOUR // 4
        case "step":  # one clock is set
            name = (SERVER, "g0", "g1", *NODES)[one % 6]
            region.stepped = True
            region.clocks[name] = max(START - 100 * HOUR, region.clock(name) + other * HOUR)
        case _:
            pass


def reached(region: Region) -> None:
    """All mail has come: whoever is a target has the order, wherever he went meanwhile."""
    for name, job in region.jobs.items():
        for node, held in job.standing.items():
            if not held.final and region.clock(SERVER) < job.life.expires:
                assert any(one == name for one, _ in region.endpoints[node].rows), (name, node)


def heal(region: Region) -> None:
    """Everybody is back, all mail comes, and time passes until nothing is open any more."""
    for name in NODES:
        region.move(name, region.endpoints[name].parent or "g1")
    for hour in range(120):
        while any(region.mail.deliver(at) for at in range(len(region.mail.under_way))):
            pass
        if hour == 0 and not region.stepped:
            reached(region)
        for endpoint in region.endpoints.values():
            for _ in range(12):
                endpoint.step(well=True)
        newest = max(region.clock(name) for name in (SERVER, "g0", "g1", *NODES)) + HOUR
        region.clocks = dict.fromkeys((SERVER, "g0", "g1", *NODES), newest)
        for name in region.jobs:
            region.advance(name, jl.TimePassed())
        over = all(
            job.life.state != "open" and region.clock(SERVER) > job.life.expires + GRACE_MS
            for job in region.jobs.values()
        )
        rows = [row for endpoint in region.endpoints.values() for row in endpoint.rows.values()]
        if over and not region.mail.under_way and all(row.final for row in rows):
            return


@settings(max_examples=100, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.integers(0, 1 << 32))
def test_any_story_ends_every_target_once(seed: int) -> None:
    chance = random.Random(seed)
    region = Region()
    region.create("j0", NODES, OPTIONS[chance.randrange(5)], 30)
    for what in chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=chance.randrange(150)):
        act(region, what, chance.randrange(40), chance.randrange(-30, 60))
        region.check()
    heal(region)
    while region.mail.again:  # late and twice is harmless also after the end
        region.mail.repeat(0)
        region.check()
    heal(region)
    region.check()
    for name, job in region.jobs.items():
        assert job.life.state == closing_state(region.counts(name)) != "open"
        for node, held in job.standing.items():
            assert held.final, (name, node, held)
            rows = [row for (one, _), row in region.endpoints[node].rows.items() if one == name]
            assert all(row.final for row in rows)
            assert sum(len(row.begun) for row in rows) <= 1, "installed once at most"
            if rows:  # what the machine said last is what stands, whichever way it went
                last = max(rows, key=lambda row: row.order.revision)
                assert (held.state, held.revision, held.seq) == (last.state, last.order.revision, last.seq)
                assert STATES[held.state]
                assert held.proved
