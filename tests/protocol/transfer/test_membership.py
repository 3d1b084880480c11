"""Groups at work: who is invited, who leaves, and that nobody waits for the slow one."""

from __future__ import annotations

import pytest

from tiercast_protocol.transfer import events as e
from tiercast_protocol.transfer.groups import IDLE, JOIN_PATIENCE, LAG_PATIENCE, LAG_REPORT
from tiercast_protocol.transfer.membership import JOIN_HOLD, LEAST_HOLD
from tiercast_protocol.transfer.policy import LinkPolicy, Pace
from tiercast_protocol.transfer.sender import Sender
from tiercast_protocol.wire.messages import Report

SIZE = 60_000
D = [n.to_bytes(32) for n in range(60)]


def at(rate: float) -> LinkPolicy:
    return LinkPolicy(Pace(rate=rate))


class Site:
    """A sender with children that report only when a test says so."""

    def __init__(self, *children: str, rates: dict[str, float] | None = None) -> None:
        self.sender = Sender()
        self.now = 0.0
        self.out: list[e.SenderCommand] = []
        self.received = dict.fromkeys(children, 0)
        for child, rate in (rates or {}).items():
            self.tell(e.LinkPolicySet(child, at(rate)))
        for child in children:
            self.report(child, b"".join(D), window=0)
        for digest in D:
            self.tell(e.ChunkAvailable(digest, SIZE))

    def tell(self, event: e.SenderEvent) -> list[e.SenderCommand]:
        """Tell it, and publish every frame at once."""
        told = self.sender.handle(event, now=self.now)
        self.out += told
        for command in told:
            if isinstance(command, e.PublishFrame):
                self.tell(e.FramePublished(command.frame))
        return told

    def report(self, child: str, wants: bytes = b"", *, window: int = 300_000) -> None:
        said = Report(session=1, received=self.received[child], window=window, wants=wants)
        self.tell(e.ReportReceived(child, said))

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.05)
            self.tell(e.TimerFired())

    def take(self, kind: type[e.SenderCommand]) -> list[e.SenderCommand]:
        """What was commanded of this kind; forgotten then."""
        found = [command for command in self.out if isinstance(command, kind)]
        self.out = [command for command in self.out if not isinstance(command, kind)]
        return found

    def catch_up(self, *children: str, window: int = 300_000) -> None:
        """The children receive all that was sent."""
        for lane in self.sender.lanes():
            if lane.child in children:
                self.received[lane.child] = lane.charged
        for child in children:
            self.report(child, window=window)

    def form(self) -> int:
        """Let the group form; its number."""
        self.pass_time(0.3)
        invited = self.take(e.InviteToGroup)
        for command in invited:
            assert isinstance(command, e.InviteToGroup)
            self.tell(e.ChildJoinedGroup(command.child, command.group))
        self.take(e.PublishFrame)
        (number,) = {command.group for command in invited if isinstance(command, e.InviteToGroup)}
        return number

    def groups(self) -> dict[str, int | None]:
        return {lane.child: lane.group for lane in self.sender.lanes()}


def test_children_that_want_the_same_share_frames() -> None:
    site = Site("a", "b", "c")
    number = site.form()
    assert site.groups() == {"a": number, "b": number, "c": number}
    while any(lane.wanted for lane in site.sender.lanes()):
        site.now += 0.01
        site.catch_up("a", "b", "c")
    frames = [command for command in site.take(e.PublishFrame) if isinstance(command, e.PublishFrame)]
    assert all(frame.group == number and sorted(frame.children) == ["a", "b", "c"] for frame in frames)
    assert sum(piece.length for frame in frames for piece in frame.pieces) == SIZE * len(D)
    assert all(lane.sent.first == SIZE * len(D) for lane in site.sender.lanes())


def test_one_that_lags_leaves_and_the_others_go_on() -> None:
    site = Site("a", "b", "c")
    number = site.form()
    site.report("c", window=100_000)
    for _ in range(200):
        site.now += 0.05
        site.catch_up("a", "b")
    assert e.LaneChanged("c", "demoted", "lags behind its group") in site.take(e.LaneChanged)
    assert site.take(e.DismissFromGroup)[0] == e.DismissFromGroup("c", number)
    lanes = {lane.child: lane for lane in site.sender.lanes()}
    assert lanes["a"].wanted == lanes["b"].wanted == 0
    assert lanes["c"].wanted > 0
    # What it missed comes on its own lane.
    while lanes["c"].wanted:
        site.now += 0.01
        site.catch_up("c")
        lanes = {lane.child: lane for lane in site.sender.lanes()}
    assert lanes["c"].sent.first == SIZE * len(D)


def test_who_is_lost_leaves_the_group_without_ending_it() -> None:
    site = Site("a", "b", "c")
    number = site.form()
    site.tell(e.ChildLost("c"))
    assert site.take(e.DismissFromGroup) == [e.DismissFromGroup("c", number)]
    assert site.groups() == {"a": number, "b": number}
    site.take(e.PublishFrame)
    while any(lane.wanted for lane in site.sender.lanes()):
        site.now += 0.01
        site.catch_up("a", "b")
    frames = [command for command in site.take(e.PublishFrame) if isinstance(command, e.PublishFrame)]
    assert frames
    assert all(frame.group == number and sorted(frame.children) == ["a", "b"] for frame in frames)


def woken(*, late: bool) -> set[str]:
    """Who is demoted when the timer that finds c late comes in time, or comes after we were away ourselves."""
    site = Site("a", "b", "c")
    site.form()
    for _ in range(3):
        site.now += 0.01
        site.catch_up("a", "b", "c")
    for _ in range(2):
        site.now += 0.01
        site.catch_up("a", "b")  # c has not been heard yet
    due = max(command.time for command in site.take(e.WakeAt) if isinstance(command, e.WakeAt))
    end = due + 1.0
    site.take(e.LaneChanged)
    if late:
        site.now = end
        site.tell(e.TimerFired())
        site.catch_up("a", "b", "c")
    while site.now < end:
        site.now += 0.01
        site.catch_up("a", "b")
        site.tell(e.TimerFired())
    return {c.child for c in site.take(e.LaneChanged) if isinstance(c, e.LaneChanged) and c.state == "demoted"}


def test_who_was_away_himself_finds_nobody_late_before_he_has_read() -> None:
    assert woken(late=False) == {"c"}
    assert woken(late=True) == set()


def test_a_lagging_member_is_given_a_little_time() -> None:
    assert LAG_PATIENCE + LAG_REPORT <= 0.3


def test_late_joiners_get_what_passed_on_their_own_lane() -> None:
    site = Site("a", "b")
    number = site.form()
    for _ in range(3):
        site.now += 0.01
        site.catch_up("a", "b")
    site.received["late"] = 0
    site.report("late", b"".join(D), window=0)
    while not (invitations := site.take(e.InviteToGroup)):
        site.pass_time(0.01)
    for digest in D:
        site.tell(e.ChunkAvailable(digest, SIZE))
    assert invitations == [e.InviteToGroup("late", number)]
    assert site.take(e.DismissFromGroup) == []
    # Whoever is subscribed already must not be sent what others share before it said so; the others wait a moment, ...
    site.take(e.PublishFrame)
    site.catch_up("a", "b", "late")
    assert site.take(e.PublishFrame) == []
    # ... and then go on by themselves.
    site.pass_time(2 * LEAST_HOLD)
    frames = [frame for frame in site.take(e.PublishFrame) if isinstance(frame, e.PublishFrame)]
    assert {frame.children for frame in frames} == {("a",), ("b",), ("late",)}
    site.tell(e.ChildJoinedGroup("late", number))
    site.take(e.PublishFrame)
    for _ in range(200):
        site.now += 0.01
        site.catch_up("a", "b", "late")
    frames = [command for command in site.take(e.PublishFrame) if isinstance(command, e.PublishFrame)]
    assert any(len(frame.children) == 3 for frame in frames)
    assert all(frame.group == number for frame in frames if frame.group is not None)
    assert all(lane.wanted == 0 for lane in site.sender.lanes())


def test_who_does_not_answer_is_left_alone() -> None:
    site = Site("a", "b")
    site.pass_time(JOIN_PATIENCE + 1)
    first = site.take(e.InviteToGroup)
    assert len(first) == 2
    assert {type(command) for command in site.take(e.DismissFromGroup)} == {e.DismissFromGroup}
    site.report("a", D[0])
    site.pass_time(1)
    assert site.take(e.InviteToGroup) == []
    assert isinstance(first[0], e.InviteToGroup)
    assert e.DismissFromGroup("a", first[0].group) in site.tell(e.ChildJoinedGroup("a", first[0].group))


def test_who_answers_too_late_gets_nothing_of_what_the_others_share() -> None:
    """Its subscription may have come through before its answer: a broker would queue the others' frames for it."""
    site = Site("a", "b", "stuck")
    site.pass_time(0.3)
    invited = {c.child: c.group for c in site.take(e.InviteToGroup) if isinstance(c, e.InviteToGroup)}
    assert set(invited) == {"a", "b", "stuck"}
    for child in ("a", "b"):
        site.tell(e.ChildJoinedGroup(child, invited[child]))
    for _ in range(11):
        site.catch_up("a", "b", window=20_000)
        site.pass_time(JOIN_PATIENCE / 10)
    again = {c.child: c.group for c in site.take(e.InviteToGroup) if isinstance(c, e.InviteToGroup)}
    assert set(again) == {"a", "b"}
    for child, number in again.items():
        site.tell(e.ChildJoinedGroup(child, number))
    for _ in range(50):
        site.now += 0.01
        site.catch_up("a", "b")
    shared = {c.group for c in site.take(e.PublishFrame) if isinstance(c, e.PublishFrame)} - {None}
    assert shared == {again["a"]}
    assert again["a"] != invited["stuck"]


def test_unlike_rates_do_not_share() -> None:
    site = Site("fast", "slow", rates={"fast": 1e8, "slow": 1e5})
    site.pass_time(1)
    assert site.take(e.InviteToGroup) == []


def test_a_group_ends_when_its_members_are_done() -> None:
    site = Site("a", "b")
    site.form()
    while any(lane.wanted for lane in site.sender.lanes()):
        site.now += 0.01
        site.catch_up("a", "b")
    site.catch_up("a", "b")
    site.pass_time(2 * IDLE)
    assert site.groups() == {"a": None, "b": None}
    assert site.sender._pump.membership.groups == {}
    assert site.sender._pump._schedule.next_deadline() == float("inf")


@pytest.mark.parametrize("event", [e.ChildLost("b"), e.LaneSuspended("b")])
def test_a_pair_that_loses_one_goes_on_alone(event: e.SenderEvent) -> None:
    site = Site("a", "b")
    site.form()
    site.catch_up("a", "b")
    site.tell(event)
    assert site.groups()["a"] is None
    while any(lane.wanted for lane in site.sender.lanes() if lane.child == "a"):
        site.now += 0.01
        site.catch_up("a")


def test_who_answers_late_lives_and_is_invited_again() -> None:
    site = Site("a", "b")
    site.pass_time(0.3)
    first = {c.child: c.group for c in site.take(e.InviteToGroup) if isinstance(c, e.InviteToGroup)}
    site.pass_time(JOIN_PATIENCE + 1)
    assert site.take(e.InviteToGroup) == []
    for child, number in first.items():
        site.tell(e.ChildJoinedGroup(child, number))
    site.pass_time(0.5)
    again = {c.child: c.group for c in site.take(e.InviteToGroup) if isinstance(c, e.InviteToGroup)}
    assert set(again) == {"a", "b"}
    assert not set(again.values()) & set(first.values())


def test_what_both_want_waits_a_moment_for_the_group() -> None:
    site = Site("a", "b")
    while not site.take(e.InviteToGroup):
        site.pass_time(0.05)
        assert site.now < 1.0
    site.report("a")
    site.report("b")
    assert not site.take(e.PublishFrame)
    site.pass_time(JOIN_HOLD + 0.05)
    assert site.take(e.PublishFrame)
