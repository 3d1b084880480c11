"""The reason of a target, out of what each tier above it says."""

from __future__ import annotations

from typing import Any

from tiercast_server.job_reasons import explain, said_by, why

PARENTS = {"pc": "low", "low": "mid", "mid": "server", "loop": "pool", "pool": "loop"}
SHUT, RATE, GONE = ("window.shut", "until 22:00"), ("rate", "5 at most"), ("away", "mid is not connected")


def test_the_nearest_reason_stands_but_for_a_cut() -> None:
    assert why("pc", PARENTS, {}) is None
    assert why("pc", PARENTS, {"server": {"mid": SHUT}}) == SHUT
    assert why("pc", PARENTS, {"server": {"mid": SHUT}, "low": {"pc": RATE}}) == RATE
    assert why("pc", PARENTS, {"server": {"mid": GONE}, "low": {"pc": RATE}}) == GONE
    assert why("pc", PARENTS, {"low": {"other": RATE}}) is None
    assert why("loop", PARENTS, {}) is None, "a circle has an end"


def test_only_who_waits_and_says_nothing_is_explained() -> None:
    hops: list[dict[str, Any]] = [
        {"node": "low", "why": '[["rate", "5 at most", ["pc"]]]'},
        {"node": "mid", "why": "?"},
    ]
    said = said_by(hops)
    assert hops == [{"node": "low"}, {"node": "mid"}]
    rows = [
        {"node": "pc", "state": state, "code": code, "detail": ""}
        for state, code in (("fetching", ""), ("fetching", "disk.short"), ("done", ""))
    ]
    explain(rows, PARENTS, said)
    assert [(row["code"], row["detail"]) for row in rows] == [RATE, ("disk.short", ""), ("", "")]
