"""Section files: appended, synced, left, recovered."""

import errno
from pathlib import Path

import pytest

from tiercast_protocol.errors import StoreFull
from tiercast_protocol.node.chunks.index import Place
from tiercast_protocol.node.chunks.sections import Sections, SyncFailed
from tiercast_protocol.node.files import RealFile, RealFiles


def test_appended_back_to_back_over_sections(tmp_path: Path) -> None:
    sections = Sections(RealFiles(), tmp_path, 20)
    places = [sections.append([(bytes([n]), bytes([n]) * 8)])[0] for n in range(5)]
    assert places == [Place(1, 0, 8), Place(1, 8, 8), Place(1, 16, 8), Place(2, 0, 8), Place(2, 8, 8)]
    assert [sections.read(place) for place in places] == [bytes([n]) * 8 for n in range(5)]
    assert sections.pending_bytes == 40
    batch = sections.sync()
    (late,) = sections.append([(b"late", b"x")])
    sections.settled(batch)
    assert sections.pending == {b"late": late}
    assert sections.extent(2) == (17, [(b"late", late)])
    assert sections.withdraw(b"late", late)
    assert not sections.withdraw(b"late", late)
    assert sections.numbers() == [1, 2]
    sections.close()


def test_recovers_to_what_the_index_knows(tmp_path: Path) -> None:
    sections = Sections(RealFiles(), tmp_path, 20)
    for n in range(7):
        sections.append([(bytes([n]), b"y" * 8)])
    sections.close()
    (tmp_path / "stray").write_bytes(b"")
    again = Sections(RealFiles(), tmp_path, 20)
    assert again.recover({1: 24, 2: 8}) == ["00000003.section", "stray"]
    assert again.append([(b"n", b"new")]) == [Place(2, 8, 3)]
    again.close()
    assert (tmp_path / "00000002.section").read_bytes() == b"y" * 8 + b"new"


def test_a_section_shorter_than_indexed_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "00000001.section").write_bytes(b"abc")
    sections = Sections(RealFiles(), tmp_path, 20)
    assert sections.recover({1: 10}) == []
    assert sections.append([(b"n", b"new")]) == [Place(2, 0, 3)]
    assert sections.read(Place(7, 0, 3)) == b""
    sections.close()


def test_what_is_pending_is_not_dropped(tmp_path: Path) -> None:
    sections = Sections(RealFiles(), tmp_path, 20)
    (place,) = sections.append([(b"a", b"x")])
    assert not sections.drop(1)
    sections.settled({b"a": place})
    assert sections.drop(1)
    assert sections.append([(b"b", b"x")]) == [Place(2, 0, 1)]
    assert sections.allocated(1) == 0
    sections.sync()
    sections.close()


class Failing(RealFiles):
    number = 0

    def open(self, path: Path) -> RealFile:
        file = RealFile(path)

        def fail(*_: object) -> None:
            if self.number:
                raise OSError(self.number, "no")

        file.datasync = fail
        return file


@pytest.mark.parametrize(("number", "cause"), [(errno.EIO, OSError), (errno.ENOSPC, StoreFull)])
def test_after_a_failed_sync_its_section_is_never_written_again(tmp_path: Path, number: int, cause: type) -> None:
    files = Failing()
    sections = Sections(files, tmp_path, 100)
    sections.append([(b"a", b"x")])
    files.number = number
    with pytest.raises(SyncFailed) as caught:
        sections.sync()
    assert isinstance(caught.value.__cause__, cause)
    assert sections.pending == {}
    assert sections.active == 0
    files.number = 0
    assert sections.append([(b"a", b"x")]) == [Place(2, 0, 1)]
    assert sections.sync() == {b"a": Place(2, 0, 1)}
    sections.close()
