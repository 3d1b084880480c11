"""A file whose parts come in any order."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_endpoint.trees.growing import GrowingFile
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.transfer.ranges import RangeSet

PART = 1000
WHOLE = os.urandom(20 * PART)


def growing(folder: Path, claimed: RangeSet | None = None) -> GrowingFile:
    path = folder / "f"
    path.touch()
    return GrowingFile("f", lambda: os.open(path, os.O_RDWR), claimed)


@settings(max_examples=60, deadline=None)
@given(order=st.permutations(range(20)), again=st.lists(st.integers(0, 19), max_size=5), park_at=st.integers(0, 30))
def test_parts_in_any_order_add_up(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], again: list[int], park_at: int
) -> None:
    folder = tmp_path_factory.mktemp("g")
    file = growing(folder)
    for number, part in enumerate([*order, *again]):
        if number == park_at:
            file.park()
        at = part * PART
        assert file.put(at, [WHOLE[at : at + 300], memoryview(WHOLE)[at + 300 : at + PART]])
        assert file.covers(at, PART)
    assert file.seal(0o640) == (digest_of(WHOLE), len(WHOLE))
    file.close()
    assert (folder / "f").read_bytes() == WHOLE
    assert (folder / "f").stat().st_mode & 0o777 == 0o640


def test_a_gap_is_no_whole_file(tmp_path: Path) -> None:
    file = growing(tmp_path)
    file.put(0, [WHOLE[:PART]])
    file.put(2 * PART, [WHOLE[2 * PART :]])
    assert not file.covers(0, 3 * PART)
    assert file.seal(0o600)[0] != digest_of(WHOLE)
    file.close()


def test_what_an_earlier_life_left_counts_when_it_proves_true(tmp_path: Path) -> None:
    claimed = RangeSet()
    claimed.add(0, 3 * PART)
    (tmp_path / "f").write_bytes(WHOLE[:PART] + b"x" * PART + WHOLE[2 * PART : 3 * PART])
    file = growing(tmp_path, claimed)
    parts = [(at, PART, digest_of(WHOLE[at : at + PART])) for at in (0, PART, 2 * PART)]
    assert all(file.claims(at, length) for at, length, _ in parts)
    assert not file.covers(0, PART), "a claim is no proof"
    file.prove(parts)
    assert [file.covers(at, length) for at, length, _ in parts] == [True, False, True]
    assert not file.claims(PART, PART), "disproved once, it is not asked again"
    file.put(PART, [WHOLE[PART : 2 * PART]])
    assert file.seal(0o600) == (digest_of(WHOLE[: 3 * PART]), 3 * PART)
    file.close()


def test_a_closed_file_takes_nothing(tmp_path: Path) -> None:
    file = growing(tmp_path)
    file.close()
    assert not file.put(0, [b"x"])
    assert file.read(0, 1, digest_of(b"x")) is None
    assert (tmp_path / "f").read_bytes() == b""


def test_closing_waits_for_who_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = growing(tmp_path)
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    write = os.pwritev

    def slow(fd: int, data: list[bytes], at: int) -> int:
        begun.set()
        assert go_on.wait(60)
        return write(fd, data, at)

    monkeypatch.setattr(os, "pwritev", slow)
    writer = threading.Thread(target=file.put, args=(0, [b"whole"]))
    writer.start()
    assert begun.wait(60)
    closer = threading.Thread(target=lambda: (file.close(), closed.set()))
    closer.start()
    assert not closed.is_set()
    go_on.set()
    writer.join(60)
    closer.join(60)
    assert closed.is_set()
    assert (tmp_path / "f").read_bytes() == b"whole"


def test_a_short_write_goes_on_and_a_failed_one_covers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = growing(tmp_path)
    write = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda fd, data, at: write(fd, [data[0][:3]], at))
    assert file.put(0, [b"hello ", b"world"])
    assert (tmp_path / "f").read_bytes() == b"hello world"

    def full(fd: int, data: list[bytes], at: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(OSError, match="full"):
        file.put(11, [b"!"])
    assert not file.covers(11, 1)
    file.close()


def test_a_sync_is_for_who_wrote_since(tmp_path: Path) -> None:
    file = growing(tmp_path)
    synced: list[int] = []
    file.sync(synced.append)
    file.put(0, [b"x"])
    file.sync(synced.append)
    file.sync(synced.append)
    assert len(synced) == 1

    def fails(fd: int) -> None:
        raise OSError(errno.EIO, "broken")

    file.put(1, [b"y"])
    with pytest.raises(OSError, match="broken"):
        file.sync(fails)
    file.sync(synced.append)
    assert len(synced) == 2, "what was not synced still waits for it"
    file.close()


def test_a_sync_in_the_middle_of_a_put_does_not_count_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = growing(tmp_path)
    synced: list[int] = []
    write = os.pwritev

    def sync_first(fd: int, data: list[bytes], at: int) -> int:
        file.sync(synced.append)
        return write(fd, data, at)

    file.put(0, [b"x"])
    monkeypatch.setattr(os, "pwritev", sync_first)
    file.put(1, [b"y"])
    assert len(synced) == 1
    file.sync(synced.append)
    assert len(synced) == 2
    file.close()


def test_the_mode_of_a_sealed_file_is_synced_too(tmp_path: Path) -> None:
    file = growing(tmp_path)
    synced: list[int] = []
    file.put(0, [b"x"])
    file.sync(lambda fd: synced.append(os.fstat(fd).st_mode & 0o777))
    file.seal(0o640)
    file.sync(lambda fd: synced.append(os.fstat(fd).st_mode & 0o777))
    assert synced[-1] == 0o640
    assert len(synced) == 2
    file.close()
