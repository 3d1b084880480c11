"""Room set aside for letting go."""

import errno
from pathlib import Path

from tiercast_protocol.node.chunks.ballast import Ballast
from tiercast_protocol.node.files import RealFile, RealFiles


def test_taken_in_once_and_thrown_overboard(tmp_path: Path) -> None:
    ballast = Ballast(RealFiles(), tmp_path / "b", 100_000)
    assert not ballast.drop()
    assert ballast.take_in()
    assert ballast.take_in()
    assert (tmp_path / "b").stat().st_blocks * 512 >= 100_000
    assert ballast.drop()
    assert list(tmp_path.iterdir()) == []


def test_without_room_nothing_stays(tmp_path: Path) -> None:
    class Full(RealFiles):
        def open(self, path: Path) -> RealFile:
            file = RealFile(path)

            def pwrite(data: bytes, offset: int) -> None:
                raise OSError(errno.ENOSPC, "No space left on device")

            file.pwrite = pwrite
            return file

    assert not Ballast(Full(), tmp_path / "b", 100_000).take_in()
    assert list(tmp_path.iterdir()) == []
    assert Ballast(Full(), tmp_path / "b", 0).take_in()
