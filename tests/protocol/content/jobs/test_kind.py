"""A row's figures are those of its templates."""

from __future__ import annotations

from tiercast_protocol.content.jobs.kind import ENDPOINT, Kind


def test_figures_are_those_of_the_templates_and_what_else_was_named() -> None:
    kind = Kind((ENDPOINT,), "waits for {what} on {peer}[, {left:s}]", "it is {until:at}", more=frozenset({"again"}))
    assert kind.fields == {"what", "left", "again"}
