"""The machine of an assignment: who gets a job, and when again."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_server.desired.life import (
    MOST,
    SETTLED_MS,
    STATES,
    AssignmentLife,
    Ended,
    Looked,
    Machine,
    Order,
    Ordered,
    Refused,
    RetryAsked,
    Try,
    WakeAt,
    pause_after,
)

NOW = 1_000_000
MISSING, HOLDS = Machine("", False, "2"), Machine("2", True, "2")


def test_machines_that_want_the_same_get_one_job() -> None:
    life = AssignmentLife()
    machines = {"b": MISSING, "a": Machine("1", False, "2"), "c": HOLDS, "d": Machine(None, False, "2")}
    assert life.handle(Looked(machines), now=NOW) == [Order("2", ("a", "b"))]
    life.handle(Ordered("j1", ("a", "b")), now=NOW)
    assert life.handle(Looked(machines), now=NOW) == []
    assert [life.state_of(name, one) for name, one in machines.items()] == ["waiting", "waiting", "holds", "unknown"]


def test_nothing_is_ordered_beside_another_job_or_without_a_version_or_while_paused() -> None:
    machines = {"a": Machine("", False, "2", busy="j9"), "b": Machine("", False, None)}
    life = AssignmentLife()
    assert life.handle(Looked(machines), now=NOW) == []
    assert [life.state_of(name, one) for name, one in machines.items()] == ["waiting", "contradicted"]
    assert life.state_of("a", Machine("", False, "2", busy="j9", by_owner=True)) == "held"
    life.paused = True
    assert life.handle(Looked({"a": MISSING}), now=NOW) == []
    assert life.state_of("a", MISSING) == "missing"
    assert life.state_of("a", Machine("1", False, "2")) == "wrong"


def test_failures_are_tried_again_later_and_later_and_then_no_more() -> None:
    life, now = AssignmentLife(), NOW
    for count in range(1, MOST + 1):
        assert life.handle(Looked({"a": MISSING}), now=now) == [Order("2", ("a",))]
        life.handle(Ordered(f"j{count}", ("a",)), now=now)
        life.handle(Ended("a", "failed", "program.failed", "exit 3"), now=now)
        assert life.state_of("a", MISSING) == "failed"
        again = now + pause_after(count)
        assert life.handle(Looked({"a": MISSING}), now=now) == ([WakeAt(again)] if count < MOST else [])
        now = again
    assert life.handle(Looked({"a": MISSING}), now=now + SETTLED_MS * 9) == []
    assert life.tries["a"].code == "program.failed"
    life.handle(RetryAsked(), now=now)
    assert life.handle(Looked({"a": MISSING}), now=now) == [Order("2", ("a",))]


def test_a_machine_that_comes_undone_at_once_has_failed() -> None:
    life = AssignmentLife(tries={"a": Try(job="j1")})
    life.handle(Ended("a", "done"), now=NOW)
    assert life.handle(Looked({"a": HOLDS}), now=NOW) == []
    assert life.handle(Looked({"a": MISSING}), now=NOW + 1) == [WakeAt(NOW + 1 + pause_after(1))]
    assert life.tries["a"].code == "assignment.undone"


def test_one_that_held_for_long_is_put_right_at_once() -> None:
    life = AssignmentLife(tries={"a": Try(job="j1", failures=3)})
    life.handle(Ended("a", "done"), now=NOW)
    assert life.handle(Looked({"a": MISSING}), now=NOW + SETTLED_MS) == [Order("2", ("a",))]
    life = AssignmentLife(tries={"a": Try(failures=3, done=NOW)})
    life.handle(Looked({"a": HOLDS}), now=NOW + SETTLED_MS)
    assert life.tries == {}


def test_what_a_person_cancelled_waits_for_a_person_and_what_reached_nobody_goes_on() -> None:
    life = AssignmentLife(tries={"a": Try(job="j1"), "b": Try(job="j1"), "c": Try(job="j0")})
    life.handle(Ended("a", "cancelled"), now=NOW)
    life.handle(Ended("b", "expired"), now=NOW)
    life.handle(Ended("c", "gone"), now=NOW)
    later = NOW + 10 * SETTLED_MS
    assert life.handle(Looked(dict.fromkeys("abc", MISSING)), now=later) == [Order("2", ("b", "c"))]
    assert life.state_of("a", MISSING) == "failed"
    life.handle(RetryAsked(("a",)), now=later)
    assert Order("2", ("a", "b", "c")) in life.handle(Looked(dict.fromkeys("abc", MISSING)), now=later)


def test_what_the_owner_rejected_waits_for_a_person() -> None:
    life = AssignmentLife(tries={"a": Try(job="j1"), "b": Try(job="j1")})
    life.handle(Ended("a", "rejected", "owner.rejected"), now=NOW)
    life.handle(Ended("b", "rejected", "order.options"), now=NOW)
    assert life.handle(Looked(dict.fromkeys("ab", MISSING)), now=NOW + SETTLED_MS) == [Order("2", ("b",))]
    assert life.tries["a"].code == "owner.rejected"


def test_who_left_is_forgotten_once_his_job_has_ended() -> None:
    life = AssignmentLife(tries={"a": Try(job="j1"), "b": Try(failures=2)})
    life.handle(Looked({}), now=NOW)
    assert set(life.tries) == {"a"}
    life.handle(Ended("a", "done"), now=NOW)
    life.handle(Looked({}), now=NOW)
    assert life.tries == {}


def test_a_job_that_can_not_be_made_is_a_failure() -> None:
    life = AssignmentLife()
    life.handle(Refused(("a",), "package.gone", "no such package"), now=NOW)
    assert life.handle(Looked({"a": MISSING}), now=NOW) == [WakeAt(NOW + pause_after(1))]
    life.handle(Ended("a", "done"), now=NOW)  # it has no job
    assert life.tries["a"].failures == 1


NAMES = st.sampled_from("abc")
MACHINES = st.builds(
    lambda version, choice, busy: Machine(version, version == "2", choice, busy),
    st.sampled_from([None, "", "1", "2"]),
    st.sampled_from([None, "", "2"]),
    st.sampled_from(["", "", "other"]),
)
STORIES = st.lists(
    st.one_of(
        st.builds(Looked, st.dictionaries(NAMES, MACHINES)),
        st.builds(Ended, NAMES, st.sampled_from(["done", "failed", "rejected", "interrupted", "expired", "cancelled"])),
        st.builds(Refused, NAMES.map(lambda name: (name,)), st.just("x"), st.just("")),
        st.integers(0, 3 * SETTLED_MS),
        st.booleans(),
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(STORIES)
def test_any_story(story: list[Looked | Ended | Refused | int | bool]) -> None:
    """One job at a time; none while it holds, is unknown, busy, contradicted or paused; bad ones are limited."""
    life, now, bad, jobs = AssignmentLife(), NOW, dict.fromkeys("abc", 0), 0
    for event in story:
        if isinstance(event, bool):
            life.paused = event
        elif isinstance(event, int):
            now += event
        elif isinstance(event, Looked):
            for command in life.handle(event, now=now):
                if isinstance(command, WakeAt):
                    assert command.at > now
                    continue
                assert not life.paused
                for node in command.nodes:
                    machine, held = event.machines[node], life.tries.get(node, Try())
                    assert machine.version is not None
                    assert not any((machine.holds, machine.busy, held.job))
                    assert machine.choice == command.version
                    assert held.failures < MOST
                    assert held.again <= now
                jobs += 1
                life.handle(Ordered(f"j{jobs}", command.nodes), now=now)
            for node, machine in event.machines.items():
                assert life.state_of(node, machine) in STATES
        else:
            life.handle(event, now=now)
        for node, held in life.tries.items():
            bad[node] = max(bad[node], held.failures)
            assert held.failures <= MOST or isinstance(event, Refused)
            assert not (held.job and held.done)
