"""What a node remembers of its parents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import StateError
from tiercast_protocol.node import standing
from tiercast_protocol.node.hop import Parent
from tiercast_protocol.node.joined import Enrolled
from tiercast_protocol.node.standing import Choice, Kept, Standing

ME = Enrolled("pc", "endpoint", "lab", "berlin", "server", 2, "mqtt://berlin:1883", "secret", PrivateKey(bytes(32)))
HOME, OTHER = Parent("berlin", "mqtt://berlin:1883"), Parent("paris", "mqtt://paris:1883")


def test_without_a_file_a_node_is_where_it_joined(tmp_path: Path) -> None:
    assert standing.load(tmp_path, ME).standing.present == HOME


def test_what_was_written_is_read_by_this_generation_alone(tmp_path: Path) -> None:
    kept = Kept(Standing(Choice(HOME), (Choice(OTHER, 1),), OTHER, 5, 4, "x"), 2, seq=9, before="berlin", issued=3)
    standing.save(tmp_path, kept)
    assert standing.load(tmp_path, ME) == kept
    assert (tmp_path / standing.FILE).stat().st_mode & 0o077 == 0
    assert standing.load(tmp_path, replace(ME, generation=3)).standing.present == HOME


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"standing": 1, "generation": 2}'])
def test_a_damaged_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / standing.FILE).write_text(text)
    with pytest.raises(StateError, match="damaged"):
        standing.load(tmp_path, ME)
