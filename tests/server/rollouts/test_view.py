"""What is shown of rollouts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.checks import Request
from tiercast_server.rollouts import view as rollout_view
from tiercast_server.rollouts.life import FINAL, OPEN, Counts, Rules, State
from tiercast_server.rollouts.rows import Rollout


def a_rollout(state: State = "running", **more: Any) -> Rollout:
    one = Rollout(
        id="r1-ab12",
        number=1,
        undoes="",
        state=state,
        said="",
        rules=Rules(stop_number=1),
        texts=("1", "rest"),
        begun=1,
        reached=0,
        word=False,
        package="app",
        version="1",
        package_revision=1,
        target="",
        options={},
        note="",
        created_by="ann",
        created=1,
        expires=9,
        ended=None,
    )
    return replace(one, **more)


@given(
    st.sampled_from(["running", "paused", "stopping", "cancelling", "expiring", "stopped"]),
    st.integers(0, 9),
    st.booleans(),
    st.integers(0, 3),
)
def test_what_has_not_begun_has_a_reason_while_it_may(state: State, reached: int, by_hand: bool, begun: int) -> None:
    one = a_rollout(state, reached=reached, rules=Rules(by_hand=by_hand, soak_ms=5))
    found = rollout_view.waits(one, (Counts(3, 1, 1, 1),) * begun, 2, "server")
    assert (found is not None) == (state in OPEN or state in {"stopping", "stopped"})
    if found is not None:
        assert found.get("wave") == 3
        assert found.node == "server"


def test_the_words_have_the_figures() -> None:
    def says(one: Rollout) -> str:
        reason = rollout_view.waits(one, (Counts(40, 30, 2, 8),), 1, "server")
        assert reason is not None
        return str(rollout_view.shown(reason)["says"])

    assert "30 of 40 targets of the wave before are done, 100% are needed" in says(a_rollout())
    assert "a person's word" in says(a_rollout(rules=Rules(by_hand=True), reached=5))
    assert "2 of 40 targets failed, and it stops at 1" in says(a_rollout("stopped"))
    assert "paused: no" in says(a_rollout("paused", said="no"))
    assert "stopped" in FINAL


async def test_list_and_show(world: Any) -> None:
    await world.package("app", "1")
    for name in ("pc1", "pc2", "pc3"):
        await world.join(name)
    asked = Request(type="install", package="app", by="ann", targets=("pc1", "pc2", "pc3"), note="why")
    made = await world.rollouts.start(asked, ["1", "rest"], Rules(go_on=95_000, stop_share=5_000, soak_ms=60_000))
    (row,) = await rollout_view.list_(world.region, 9)
    assert (row["rollout"], row["waves"], row["begun"], row["note"]) == (made["rollout"], 2, 1, "why")
    found = await rollout_view.show(world.region, "1")
    assert found["rules"] == {"go_on": "95%", "soak_s": 60, "by_hand": False, "stop_at": "5%", "stop_at_site": ""}
    assert [(w["targets"], w["state"], w["counts"], len(w["jobs"])) for w in found["waves"]] == [
        (1, "running", {"ordered": 1}, 1),
        (2, "not begun", {}, 0),
    ]
    assert found["gate"]["facts"]["have"] == "0 of 1"
    with pytest.raises(UsageError) as caught:
        await rollout_view.show(world.region, "r9")
    assert caught.value.code == "rollout.unknown"
