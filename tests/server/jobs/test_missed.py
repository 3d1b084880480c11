"""Times that were not kept, and by whom."""

from __future__ import annotations

from typing import Any

from tiercast_server.jobs.missed import missed

GATEWAYS = frozenset({"berlin", "paris", "rome"})


def target(node: str, parent: str, state: str, at: int = 50) -> dict[str, Any]:
    return {"node": node, "parent": parent, "state": state, "at": at}


def test_a_gateway_that_does_not_hold_it_all_is_late_once_the_time_is_over() -> None:
    rows = [target("a", "berlin", "fetching"), target("b", "paris", "ordered"), target("c", "server", "ordered")]
    rows.append(target("rome", "server", "done"))
    hops = [{"node": "berlin", "done": 10, "total": 10}, {"node": "elsewhere", "done": 0, "total": 10}]
    assert missed({"prepare_by": 100}, rows, hops, GATEWAYS, now=100) == {}
    assert missed({"prepare_by": 100}, rows, hops, GATEWAYS, now=101) == {"prepare_by": ["paris"]}
    hops.append({"node": "paris", "done": 9, "total": 10})
    assert missed({"prepare_by": 100}, rows, hops, GATEWAYS, now=101) == {"prepare_by": ["paris"]}
    hops[-1]["done"] = 10
    assert missed({"prepare_by": 100}, rows, hops, GATEWAYS, now=101) == {}


def test_a_target_is_late_that_is_not_done_or_was_done_too_late() -> None:
    rows = [target("a", "x", "done", 99), target("b", "x", "done", 150), target("c", "x", "staged")]
    rows.append(target("d", "x", "failed", 20))
    assert missed({"deadline": 100}, rows, [], GATEWAYS, now=99) == {}
    assert missed({"deadline": 100}, rows, [], GATEWAYS, now=200) == {"deadline": ["b", "c", "d"]}


def test_nothing_said_is_nothing_missed() -> None:
    assert missed({}, [target("a", "berlin", "ordered")], [], GATEWAYS, now=10**15) == {}
