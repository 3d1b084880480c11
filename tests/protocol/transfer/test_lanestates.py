"""The table of a lane's states: the docs say what the code does, and every state can be left."""

from __future__ import annotations

from pathlib import Path

from tiercast_protocol.transfer.lanestates import ACTIVE, CHANGES, DEMOTED, PARKED, table

DOCS = Path(__file__).parents[3] / "docs" / "protocol-transfer.md"


def test_the_docs_table_is_the_codes() -> None:
    section = DOCS.read_text("utf-8").split("### 6.11 States of a lane\n", 1)[1].split("\n### ", 1)[0]
    told = "".join(line + "\n" for line in section.splitlines() if line.startswith("|"))
    assert told == table(), f"section 6.11 of {DOCS.name} is to hold:\n{table()}"


def test_every_state_is_reached_and_left_and_no_entry_stands_still() -> None:
    states = {ACTIVE, DEMOTED, PARKED}
    assert {one.state for one in CHANGES} == states
    assert {origin for one in CHANGES for origin in one.origins} == states
    assert not any(one.state in one.origins for one in CHANGES)
    for origin in states:
        reasons = [(one.state, one.reason) for one in CHANGES if origin in one.origins]
        assert len(set(reasons)) == len(reasons), f"two entries from {origin} look the same"
