"""The reasons of a target in their order, and those of a whole job counted."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tiercast_gateway.why.why import Target, chain, ended, first_of, grouped, result, way_of
from tiercast_protocol.content.jobs.reason import Reason, because
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.content.jobs.waiting import KINDS

PARENTS = {"pc": "low", "low": "mid", "mid": "server", "loop": "pool", "pool": "loop"}
SHUT = because("window.shut", node="server", peer="mid", window="daily")
RATE = because("rate", node="low", peer="pc", rate=5)
GONE = because("away", node="server", peer="mid")
FULL = because("depot.full", node="mid", peer="low")


def codes(target: Target, said: dict[str, dict[str, Reason]], first: Reason | None = None) -> list[str]:
    return [reason.code for reason in chain(target, PARENTS, said, first)]


def test_what_stops_it_goes_before_what_slows_it_and_a_cut_before_all() -> None:
    pc = Target("pc", "fetching")
    assert codes(pc, {}) == ["fetch"]
    assert codes(pc, {"server": {"mid": SHUT}}) == ["window.shut", "fetch"]
    assert codes(pc, {"server": {"mid": SHUT}, "low": {"pc": RATE}}) == ["window.shut", "rate", "fetch"]
    assert codes(pc, {"mid": {"low": FULL}, "server": {"mid": SHUT}}) == ["depot.full", "window.shut", "fetch"]
    assert codes(pc, {"server": {"mid": GONE}, "low": {"pc": RATE}}) == ["away", "rate", "fetch"]
    assert codes(pc, {"low": {"other": RATE}}) == ["fetch"]
    assert codes(Target("loop", "ordered"), {}) == ["order.way"], "a circle has an end"


def test_what_the_target_says_itself_goes_before_the_links_where_it_waits() -> None:
    said = {"server": {"mid": SHUT}}
    waiting = Target("pc", "waiting", "journal.full", "{}", 7)
    assert codes(waiting, said) == ["journal.full", "window.shut"]
    assert chain(waiting, PARENTS, said)[0].since == 7
    assert codes(waiting, {"server": {"mid": GONE}}) == ["away", "journal.full"]
    assert codes(Target("pc", "installing"), said) == ["install"], "the links do not matter any more"


def test_what_holds_for_the_job_stands_in_for_silence() -> None:
    way = because("cancel.way", node="server")
    found = chain(Target("pc", "fetching"), PARENTS, {}, way)
    assert [(reason.code, reason.peer) for reason in found] == [("cancel.way", "pc")]
    assert codes(Target("pc", "waiting", "node.not-joined"), {}, way) == ["node.not-joined"]
    assert codes(Target("pc", "staged", "time.install"), {}, way) == ["cancel.way"], "it waits for that no more"
    assert codes(Target("pc", "running", "cancel.waits"), {}, way) == ["cancel.waits"], "it said why it goes on"
    assert codes(Target("pc", "done"), {}, way) == []


def test_an_ended_target_has_a_result() -> None:
    found = result(Target("pc", "failed", "disk.short", "9 bytes are needed"))
    assert (found["state"], found["code"], found["detail"]) == ("failed", "disk.short", "9 bytes are needed")
    assert "Free the room" in found["todo"]
    assert result(Target("pc", "failed", "of.a.later.version"))["means"] == ""
    assert result(Target("pc", "fetching")) == {}


def test_ten_thousand_are_a_few_lines() -> None:
    chains = [(f"pc-{n:05}", because("away", node=f"site-{n % 20}", peer=f"pc-{n:05}"), n) for n in range(1, 9001)]
    chains += [(f"pd-{n}", because("window.shut", node="server", peer="mid", until=n), 0) for n in range(1000)]
    found = grouped(chains)
    assert [(row["code"], row["count"]) for row in found] == [("away", 9000), ("window.shut", 1000)]
    assert (found[0]["since"], found[0]["place_count"], len(found[0]["places"])) == (1, 20, 5)
    assert found[0]["examples"] == [f"pc-{n:05}" for n in range(1, 6)]
    assert found[1]["until"] == 999
    assert len(json.dumps(found)) < 4000
    assert grouped([]) == []


def test_results_are_counted_by_state_and_code() -> None:
    rows = ended({("done", ""): 7, ("failed", "disk.short"): 9, ("fetching", ""): 3})
    assert [(row["count"], row["state"], row["code"]) for row in rows] == [(9, "failed", "disk.short"), (7, "done", "")]


reasons = st.sampled_from([SHUT, RATE, GONE, FULL, because("parent.lost", node="low", peer="mid")])
said_ = st.dictionaries(
    st.sampled_from(["server", "mid", "low", "pc"]),
    st.dictionaries(st.sampled_from(["server", "mid", "low", "pc"]), reasons, max_size=4),
    max_size=4,
)
targets = st.builds(
    Target,
    st.sampled_from(["pc", "low", "loop", "nobody"]),
    st.sampled_from([*STATES, "of a later version"]),
    st.sampled_from(["", *KINDS]) | st.text(max_size=9),
    st.text(max_size=9),
)


@given(targets, st.dictionaries(st.sampled_from("abcd"), st.sampled_from("abcd")), said_)
def test_why_is_never_empty_for_what_is_not_final(
    target: Target, parents: dict[str, str], said: dict[str, dict[str, Reason]]
) -> None:
    found = chain(target, PARENTS | parents, said)
    assert bool(found) is not target.final
    assert bool(result(target)) is target.final


@given(targets, said_)
def test_of_many_targets_the_first_link_is_found_the_short_way(
    target: Target, said: dict[str, dict[str, Reason]]
) -> None:
    target = replace(target, code="")
    if target.final or target.node not in PARENTS:
        return
    parent = PARENTS[target.node]
    long = chain(target, PARENTS, said)[0]
    short = first_of(target, said.get(parent, {}).get(target.node), way_of(parent, PARENTS, said))
    assert short.at(node=target.node, peer=target.node) == long.at(node=target.node, peer=target.node)
