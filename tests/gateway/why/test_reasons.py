"""Why a job does not go on: the one reason that counts, told when it becomes another."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.hop import FakeAbove, child_node, chunks, order_for, parent_node, until

from tiercast_gateway.power.waking import Connected, Wanted
from tiercast_gateway.steering.desired import OUTPUT, Desired
from tiercast_gateway.steering.holds import Hold
from tiercast_gateway.why.reasons import CODE_OF, PASSING, Reasons, decoded, encoded, reason_of
from tiercast_protocol.content.jobs.reason import Reason, because, todo, words
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import StoreFull
from tiercast_protocol.transfer import adaptive, gates, views
from tiercast_protocol.transfer.policy import JobPolicy, LinkPolicy, Pace, stricter
from tiercast_protocol.transfer.queues import JobBytes
from tiercast_protocol.transfer.views import JobView, LaneBytes, LaneView

FREE = Pace()
KEY = PrivateKey.generate()
ABOVE = because("parent.lost", peer="top")


def a_view(reason: str, job: str = "j1", priority: int = 5) -> JobView:
    return JobView(job, priority, 3, JobBytes(), "waiting" if reason else "sending", reason, None)


def a_lane(*jobs: JobView, pace: Pace = FREE, wish: Pace = FREE, slowed: float | None = None) -> LaneView:
    return LaneView(
        child="pc",
        state="active",
        suspended=False,
        in_flight=0,
        wanted=3,
        charged=0,
        received=0,
        window=0,
        rate=None,
        cap=None,
        rtt=None,
        group=None,
        sent=LaneBytes(),
        jobs=jobs,
        pace=pace,
        wish=wish,
        slowed=slowed,
        queueing=None if slowed is None else 0.25,
    )


def found_for(reason: str, said: Desired | None = None, above: Reason | None = ABOVE) -> Reason | None:
    view = a_view(reason)
    lane = a_lane(view, a_view("", "j2", 9))
    return reason_of(lane, view, said or Desired(), child="pc", job="j1", above=above)


def code(reason: str, said: Desired | None = None) -> str:
    found = found_for(reason, said)
    return found.code if found is not None else ""


def test_what_the_machine_sees_is_said_in_words() -> None:
    assert code("") == "sending"
    assert code(views.FROM_ABOVE) == "parent.lost"
    assert code(views.PARKED) == "lane.parked"
    assert code(gates.SPENT) == "budget.spent"
    assert found_for(views.PRIORITY) == because("priority", first="j2")
    assert found_for(gates.RATE) == because("rate")
    slow = reason_of(
        a_lane(view := a_view(adaptive.YIELDS), slowed=5e4), view, Desired(), child="pc", job="j1", above=None
    )
    assert slow == because("yields", rate=50_000, queueing=250)


def test_everything_that_the_machine_calls_a_reason_has_a_code() -> None:
    """What `views`, `gates` and `adaptive` can call a reason is found by its text, so that a new one is missed here."""
    called = {
        value
        for module in (views, gates, adaptive)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }
    assert called == CODE_OF.keys() - {""}
    for reason in called | {""}:
        found = found_for(reason, above=None)
        assert found is not None
        assert words(found)


@pytest.mark.parametrize(
    ("pace", "reasons", "text"),
    [
        (Pace(rate=5000), ["", gates.RATE, views.CREDIT], "5,000 bytes per second at most"),
        (Pace(segment=4096, pause=2.0), ["", gates.SEGMENT_PAUSE], "2 s of pause after each 4,096 bytes"),
        (Pace(frames=16, frame_pause=0.25), ["", gates.INTERVAL_PAUSE], "250 ms of pause after each 16 frames"),
    ],
)
def test_terms_are_one_reason_whatever_the_moment(pace: Pace, reasons: list[str], text: str) -> None:
    whole = {
        "job": (Desired(jobs={"j1": JobPolicy(pace)}), Pace(), Pace()),
        "link": (Desired(), pace, Pace()),
        "output": (Desired(links={OUTPUT: LinkPolicy(pace)}), Pace(), Pace()),
        "child": (Desired(), pace, pace),
    }
    for whose, (said, merged, wish) in whole.items():
        for reason in reasons:
            view = a_view(reason)
            lane = a_lane(view, pace=merged, wish=wish)
            found = reason_of(lane, view, said, child="pc", job="j1", above=None)
            assert found is not None
            found = found.at(node="low", peer="pc")
            assert words(found) == text + (", as pc asks" if whose == "child" else "")
            assert dict(found.facts)["terms"] == whose
            assert {
                "job": "tiercast job set JOB --",
                "link": "tiercast link set pc --node low --",
                "output": "tiercast link set --output --node low --",
                "child": "on pc: ",
            }[whose] in todo(found)
            assert ("interval-frames" in todo(found)) is (pace.frames is not None and whose != "child")


def test_the_strictest_of_several_terms_is_told_and_whose_it_is() -> None:
    """A child that asks for more silence than the job is the reason, whatever the job says."""
    mild, strict = Pace(segment=1 << 20, pause=1.0, rate=9e6), Pace(segment=1 << 16, pause=30.0, rate=1e6)
    for job, wish, whose in ((mild, strict, "child"), (strict, mild, "job")):
        said, view = Desired(jobs={"j1": JobPolicy(job)}), a_view(gates.SEGMENT_PAUSE)
        found = reason_of(a_lane(view, pace=wish, wish=wish), view, said, child="pc", job="j1", above=None)
        assert found == because("pause", pause=30.0, segment=1 << 16, terms=whose)
        mixed = stricter(Pace(segment=1 << 16, pause=1.0), Pace(segment=1 << 20, pause=30.0))
        lane = a_lane(view, pace=mixed, wish=Pace(segment=1 << 20, pause=30.0))
        found = reason_of(lane, view, Desired(), child="pc", job="j1", above=None)
        assert found == because("pause", pause=30.0, segment=1 << 16, terms="link")


def test_who_shares_a_link_with_a_job_of_higher_priority_waits_for_that_whatever_its_own_terms_are() -> None:
    mine, said = Pace(segment=1 << 20, pause=1.0), Desired(jobs={"j1": JobPolicy(Pace(segment=1 << 20, pause=1.0))})
    for first, own, waits in (
        (gates.RATE, "", "priority"),  # it has what the link carries
        ("", "", "priority"),
        (views.FROM_ABOVE, "", "pause"),  # it can't send, so nobody waits for it
        (views.SUSPENDED, "", "pause"),
        (gates.RATE, "slow", "pause"),  # its own rate holds it: what is left is ours
    ):
        policy = {"j2": JobPolicy(Pace(rate=5000), 9)} if own else {}
        view = a_view(gates.RATE)
        lane = a_lane(view, a_view(first, "j2", 9), pace=Pace(rate=1e6))
        found = reason_of(lane, view, Desired(jobs={**said.jobs, **policy}), child="pc", job="j1", above=None)
        assert found is not None
        assert found.code == waits, first
    pausing = a_view(gates.SEGMENT_PAUSE)
    found = reason_of(a_lane(pausing, a_view("", "j2", 9)), pausing, said, child="pc", job="j1", above=None)
    assert found == because("pause", pause=mine.pause, segment=mine.segment, terms="job"), "its own pause is its own"


def test_what_was_said_goes_before_what_is_seen() -> None:
    said = Desired(lanes={"pc": because("suspended", by="anna")})
    assert code(views.FROM_ABOVE, said) == "suspended"
    assert reason_of(None, None, said, child="pc", job="j1", above=None) == because("suspended", by="anna")
    assert reason_of(None, None, Desired(), child="pc", job="j1", above=ABOVE) is None


moments = st.integers(0, 1 << 50)
reasons_ = st.dictionaries(
    st.text(min_size=1, max_size=9),
    st.builds(
        lambda rate, until, since: because("rate", node="top", rate=rate, until=until, since=since),
        st.integers(1, 1 << 40),
        moments,
        moments,
    )
    | st.builds(lambda by, since: because("suspended", node="top", by=by, since=since), st.text(max_size=9), moments),
)


@given(reasons_)
def test_reasons_travel_as_text(reasons: dict[str, Reason]) -> None:
    told = {child: reason.at(peer=child) for child, reason in reasons.items()}
    assert decoded(encoded(told), node="top") == told
    assert encoded({}) == ""


def test_children_of_one_reason_share_a_row() -> None:
    told = {f"pc-{n}": because("window.shut", node="top", peer=f"pc-{n}", since=n, window="daily") for n in (1, 2)}
    assert encoded(told) == '[["window.shut",{"window":"daily"},{"pc-1":1,"pc-2":2}]]'


@given(st.text() | st.from_regex(r"\[\[.*\]\]", fullmatch=True))
def test_what_a_peer_says_is_read_or_passed_over(text: str) -> None:
    assert isinstance(decoded(text), dict)
    assert decoded("[[1, 2, 3]]") == decoded("[" * 100_000) == decoded('[["a", "b", ["c"], "d"]]') == {}


def test_what_an_older_gateway_says_is_shown_as_it_is() -> None:
    found = decoded('[["rate", "5 at most", ["pc"]]]', node="low")["pc"]
    assert (found.code, found.node, found.peer, words(found)) == ("rate", "low", "pc", "5 at most")


async def test_a_reason_is_told_once_and_taken_back(tmp_path: Path) -> None:
    held = chunks(8, 50_000)
    told: list[tuple[str, str]] = []
    async with (
        parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree,
        asyncio.TaskGroup() as tasks,
    ):
        for digest, stored in held.items():
            await tree.depot.put(digest, stored)
        await tree.take_order(order_for(KEY, {"pc": b"p" * 32}, root=b"r" * 32))
        reasons = Reasons(tree, lambda job, text: told.append((job, text)))
        running = tasks.create_task(reasons.run())
        await until(lambda: len(told) == 1)
        assert decoded(told[0][1])["pc"].code == "away"
        async with child_node(tmp_path, "pc", tree.broker.children_url, parent="top") as pc:
            await until(lambda: pc.upstream.connected)
            await tree.steering.suspensions.suspend([Hold("j1", "pc", by="anna@top")])
            fetching = tasks.create_task(pc.upstream.fetch(list(held), "j1"))
            await until(lambda: (why := decoded(told[-1][1]).get("pc")) is not None and why.code == "suspended")
            first = reasons.now("j1")["pc"]
            assert (first.node, first.peer, words(first)) == ("top", "pc", "suspended by anna@top")
            assert reasons.now("j1")["pc"].since == first.since > 0, "the same reason began once"
            count = len(told)
            await tree.steering.suspensions.resume([Hold("j1", "pc")])
            await fetching
            await until(lambda: told[-1] == ("j1", ""))
            assert len(told) == count + 1
            assert not PASSING & {reason.code for _, text in told for reason in decoded(text).values()}
        running.cancel()


async def test_who_sleeps_is_told_of_until_he_wakes_also_of_a_job_without_content(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    async with (
        parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree,
        asyncio.TaskGroup() as tasks,
    ):
        reasons = Reasons(tree, lambda job, text: told.append((job, text)))
        running = tasks.create_task(reasons.run())
        tree.wakes.machine.handle(Wanted("pc", "j2"), now=time.time())
        reasons.changed()
        await until(lambda: bool(told))
        assert (told[0][0], decoded(told[0][1])["pc"].code) == ("j2", "wake.waking")
        tree.wakes.machine.handle(Connected("pc"), now=time.time())
        reasons.changed()
        await until(lambda: told[-1] == ("j2", ""))
        running.cancel()


async def test_who_is_away_is_told_of_a_job_for_which_nothing_travels_and_of_that_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    async with (
        parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree,
        asyncio.TaskGroup() as tasks,
    ):
        reasons = Reasons(tree, lambda job, text: told.append((job, text)))
        running = tasks.create_task(reasons.run())
        await tree.take_order(order_for(KEY, {"pc": b"p" * 32}, type_="run", options={"argv": "[]"}), "j1")
        reasons.changed()
        await until(lambda: bool(told))
        assert (told[0][0], decoded(told[0][1])["pc"].code) == ("j1", "away")
        monkeypatch.setattr(tree.children, "online", lambda _name: True)
        monkeypatch.setattr(Desired, "why", lambda *_: because("suspended"))
        assert reasons.now("j1") == {}, "a link that is suspended holds up no program"
        running.cancel()


async def test_who_waits_for_what_is_sought_does_so_until_it_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = FakeAbove()
    above.parent = ""
    async with parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=above) as tree:
        reasons = Reasons(tree, lambda _job, _text: None)
        monkeypatch.setattr(tree.children, "online", lambda _name: True)
        monkeypatch.setattr(reasons, "_open", {"j1": ["pc"]})
        lanes = [a_lane(a_view(views.FROM_ABOVE))]
        monkeypatch.setattr(type(tree.streams.machine), "lanes", lambda _self: lanes)
        assert reasons.now("j1")["pc"].code == "chunk.awaited"
        await tree.upkeep.repair.note({b"d" * 32: "lost"}, seek=True)
        sought = reasons.now("j1")["pc"]
        assert (sought.code, sought.facts) == ("chunk.sought", (("chunks", 1),))
        lanes.clear()  # it was told that nobody has it, and asks again in a while
        assert reasons.now("j1")["pc"] == sought
        monkeypatch.setattr(type(tree.upkeep.repair), "missing", 0)
        assert reasons.now("j1") == {}


async def test_a_depot_without_room_is_the_reason_of_all_below(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree:
        reasons = Reasons(tree, lambda _job, _text: None)
        digest, stored = next(iter(chunks(1, 50_000).items()))
        tree.depot._refuse(StoreFull(50_000, 5 << 20, "quota"))
        assert tree.depot.short is not None
        assert reason_of(None, None, Desired(), child="pc", job="j1", above=None) is None
        reasons._open = {"j1": ["pc"]}
        tree.children.get("pc").online = True
        found = reasons.now("j1")["pc"]
        assert words(found) == "the depot of top has no room: 5,242,880 bytes are free"
        await tree.depot.put(digest, stored)
        assert reasons.now("j1") == {}, "something was stored since"
