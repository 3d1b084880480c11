"""What a node keeps of having joined; the way there stands in test_enrol.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercast_protocol.errors import StateError, UsageError
from tiercast_protocol.node import joined


def test_a_folder_that_never_joined_and_one_that_was_damaged(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not joined"):
        joined.load(tmp_path)
    (tmp_path / joined.ENROLLED_FILE).write_text("{}")
    (tmp_path / joined.PASSWORD_FILE).write_text("x")
    with pytest.raises(StateError, match="damaged"):
        joined.load(tmp_path)
