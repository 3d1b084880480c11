"""What prepared and committed targets say: the codes that the server counts by."""

from __future__ import annotations

from tiercast_protocol.content.jobs.reason import because, todo
from tiercast_protocol.content.jobs.waiting_set import OF_SETS
from tiercast_protocol.content.package.phases import COMMITTED, PREPARED


def test_the_codes_that_are_counted_are_in_the_catalogue_and_say_what_to_do() -> None:
    assert {PREPARED, COMMITTED} <= OF_SETS.keys()
    assert "tiercast job commit" in todo(because(PREPARED))
    assert "tiercast job accept" in todo(because(COMMITTED))
