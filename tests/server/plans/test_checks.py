"""What can't work of a plan is refused, and every name and every circle is told."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tiercast_protocol.content.jobs import times
from tiercast_protocol.errors import UsageError
from tiercast_server.plans.checks import MOST_STEPS, Timed, check_all_times, of_step, read_steps, waits_for
from tiercast_server.plans.life import Step

NOW = 1_800_000_000_000
HOUR = 3_600_000


def step(name: str, *after: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "after": list(after), "job": {"type": "restart"}, **more}


def refused(*steps: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read_steps(steps)
    return caught.value


def test_a_plan_is_read_as_it_was_written() -> None:
    found = read_steps([step("a", on_failure="c"), step("b", "a", "a"), step("c", per="all")])
    assert [one.step for one in found] == [Step("a", (), "c"), Step("b", ("a",)), Step("c")]
    assert found[0].args == {"type": "restart"}
    steps = {one.step.name: one.step for one in found}
    assert [waits_for(steps, name) for name in steps] == [[], ["a"], ["a"]]


def test_the_plan_on_the_page_is_sound() -> None:
    page = (Path(__file__).parents[3] / "docs/jobs.md").read_text("utf-8")
    block = page.partition("\n## Plans\n")[2].partition("```toml\n")[2].partition("```")[0]
    own = {"name", "after", "on_failure"}
    steps = tomllib.loads(block)["step"]
    found = read_steps([{key: one[key] for key in own & one.keys()} | {"job": {"type": one["type"]}} for one in steps])
    assert waits_for({one.step.name: one.step for one in found}, "restore") == ["update"]


def test_circles_are_walked() -> None:
    assert "a -> b -> c -> a" in (wrong := refused(step("a", "c"), step("b", "a"), step("c", "b"))).what
    assert wrong.code == "plan.cyclic"
    assert "a -> a" in refused(step("a", "a")).what
    mend = refused(step("x"), step("a", "x", on_failure="b"), step("b", on_failure="a"))
    assert (mend.code, "a -> b -> a" in mend.what) == ("plan.cyclic", True)
    assert refused(step("a", on_failure="a")).code == "plan.cyclic"
    long = [step(f"s{n}", f"s{n - 1}") for n in range(1, MOST_STEPS)]
    assert len(read_steps([step("s0"), *long])) == MOST_STEPS
    circle = [step("s0", f"s{MOST_STEPS - 1}"), *long]
    assert refused(*circle).what.count("->") == MOST_STEPS


@pytest.mark.parametrize(
    ("steps", "code", "says"),
    [
        ([], "plan.empty", "no steps"),
        ([step("a")] * (MOST_STEPS + 1), "plan.empty", "201"),
        (["a"], "plan.step", "Step 1"),
        ([step("a b")], "plan.step", "'a b'"),
        ([step("stop")], "plan.step", "'stop'"),
        ([step("go-on")], "plan.step", "'go-on'"),
        ([step("a", on_failure=1)], "plan.step", "on_failure"),
        ([{"name": "a", "after": "b", "job": {}}], "plan.step", "after"),
        ([{"name": "a"}], "plan.step", "no job"),
        ([step("a", afterwards=1)], "plan.step", "'afterwards'"),
        ([step("a") | {"job": {"dry_run": True}}], "plan.step", "orders nothing"),
        ([step("a"), step("b"), step("a")], "plan.duplicate", "'a'"),
        ([step("first"), step("b", "frist")], "plan.unknown-step", "'frist'"),
        ([step("a", on_failure="mend")], "plan.unknown-step", "'mend'"),
        ([step("a", on_failure="m"), step("b", "a"), step("m", "b")], "plan.never", "'m' could never begin"),
    ],
)
def test_every_mistake_is_named(steps: list[Any], code: str, says: str) -> None:
    error = refused(*steps)
    assert (error.code, says in error.what) == (code, True), error
    assert "Nothing was done." in error.todo


def timed(said: dict[str, Any], **options: Any) -> Timed:
    (planned,) = read_steps([said | {"after": [], "on_failure": "stop"}])
    planned = type(planned)(Step(said["name"], tuple(said["after"]), said.get("on_failure", "stop")), planned.args)
    return Timed(planned, "run", options, 86_400, 0)


def test_times_that_no_course_of_the_plan_can_keep() -> None:
    early, late = NOW + HOUR, NOW + 2 * HOUR
    fine = [timed(step("a"), **{times.INSTALL_AT: early}), timed(step("b", "a"), **{times.INSTALL_AT: late})]
    check_all_times(list(reversed(fine)), NOW)
    wrong = [timed(step("a"), **{times.INSTALL_AT: late}), timed(step("b", "a"), **{times.DEADLINE: early})]
    with pytest.raises(UsageError, match=r"Step 'b'.*times of their own") as caught:
        check_all_times(wrong, NOW)
    assert caught.value.code.startswith("times.")
    allowed = timed(step("a", on_failure="go-on"), **{times.INSTALL_AT: late})
    check_all_times([allowed, wrong[1]], NOW)  # it may fail at once
    with pytest.raises(UsageError, match="Step 'a'"):
        check_all_times([timed(step("a"), **{times.INSTALL_AT: NOW - HOUR})], NOW)
    # a later step's expiry counts from its own beginning, which nobody knows
    check_all_times([timed(step("a")), timed(step("b", "a"), **{times.INSTALL_AT: NOW + 48 * HOUR})], NOW)
    with pytest.raises(UsageError, match="expires"):
        check_all_times([timed(step("a"), **{times.INSTALL_AT: NOW + 48 * HOUR})], NOW)


def test_a_mistake_is_told_with_its_step() -> None:
    assert of_step(UsageError("x.y", "It is wrong."), "a") == UsageError("x.y", "Step 'a': It is wrong.")
