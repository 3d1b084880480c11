"""Checking, giving back and moving."""

from pathlib import Path

import pytest

from tiercast_protocol.content.sealed.chunk import seal
from tiercast_protocol.errors import ChunkCorrupt
from tiercast_protocol.node.chunks import upkeep
from tiercast_protocol.node.chunks.index import Place
from tiercast_protocol.node.chunks.sections import Sections
from tiercast_protocol.node.files import RealFiles

CHUNKS = [seal(bytes([n]) * 50 + b"chunk") for n in range(6)]


def filled(folder: Path) -> tuple[Sections, list[tuple[bytes, Place]]]:
    sections = Sections(RealFiles(), folder, 1 << 20)
    rows = [(digest, sections.append([(digest, stored)])[0]) for digest, stored in CHUNKS]
    sections.settled(sections.sync())
    return sections, rows


def test_good_damaged_lost(tmp_path: Path) -> None:
    sections, rows = filled(tmp_path)
    (first, place), (second, other) = rows[:2]
    assert upkeep.check(sections, first, place) == upkeep.GOOD
    assert upkeep.check(sections, second, place) == upkeep.DAMAGED
    assert upkeep.check(sections, first, Place(9, 0, 10)) == upkeep.LOST
    assert upkeep.read_verified(sections, second, other) == CHUNKS[1][1]
    with pytest.raises(ChunkCorrupt, match="0 of its 10 bytes"):
        upkeep.read_verified(sections, first, Place(9, 0, 10))
    sections.close()


def test_reclaiming_spares_rows_and_what_is_pending(tmp_path: Path) -> None:
    sections, rows = filled(tmp_path)
    late = seal(b"late" * 10)
    (place,) = sections.append([late])
    upkeep.reclaim(sections, 1, rows[2:3])
    assert upkeep.read_verified(sections, *rows[2]) == CHUNKS[2][1]
    assert upkeep.read_verified(sections, late[0], place) == late[1]
    sections.settled({late[0]: place})
    assert upkeep.reclaim(sections, 1, []) == 0
    assert sections.numbers() == []
    sections.close()


def test_moving_leaves_damaged_ones_behind(tmp_path: Path) -> None:
    sections, rows = filled(tmp_path)
    upkeep.move(sections, [rows[0], (rows[1][0], rows[2][1])])
    assert set(sections.pending) == {rows[0][0]}
    sections.close()
