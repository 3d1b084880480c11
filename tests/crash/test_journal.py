"""Power cuts under the journal: a whole state, no older than what was promised, and every sync is needed."""

import random
from pathlib import Path
from typing import Any

import pytest
from tests.crash.campaign import breaks, campaign
from tests.crash.recording import Image, RecordingDisk, RecordingFiles

from tiercast_protocol.node.files import RealFiles, make_folder
from tiercast_protocol.node.journal import Journal

FOLDER = Path("/lib/journal")
PATH = FOLDER / "j"
#: Bytes that read as a small length at any alignment: the worst that a stale tail can hold.
STALE = b"\0\0\0\1\0\0\0\0\0\1\0\0\0\0\1" * 40


def story(disk: RecordingDisk, seed: int = 0) -> None:
    """Records of all sizes, a compaction in the middle, a new start.  Facts: the state begun, the state promised."""
    rng = random.Random(seed)
    files = RecordingFiles(disk)
    make_folder(files, FOLDER)
    state: tuple[bytes, ...] = ()
    for _ in range(2):
        journal = Journal(files, PATH)
        state = tuple(journal.records)
        disk.fact("promised", state)
        for n in range(6):
            records = [STALE[: rng.randrange(1, len(STALE))] for _ in range(rng.randrange(1, 3))]
            if n == 4:
                state = state[-2:]
                disk.fact("begun", state)
                journal.compact(state)
            else:
                state = (*state, *records)
                disk.fact("begun", state)
                journal.append(*records)
            disk.fact("promised", state)
        journal.close()


async def check(folder: Path, facts: list[Any]) -> None:
    promised = [n for n, (kind, _) in enumerate(facts) if kind == "promised"]
    make_folder(RealFiles(), folder / str(FOLDER)[1:])
    path = folder / str(PATH)[1:]
    journal = Journal(RealFiles(), path)
    if promised:
        assert tuple(journal.records) in [state for _, state in facts[promised[-1] :]]
    journal.append(b"after")
    journal.close()
    again = Journal(RealFiles(), path)
    assert again.records[-1] == b"after"
    again.close()


async def test_old_or_new_after_every_power_cut(tmp_path: Path) -> None:
    disk = RecordingDisk()
    story(disk)
    assert await campaign(disk, tmp_path, check, seeds=6) > 400


def torn(seed: int) -> Image:
    """A disk after a power cut in the middle of an append."""
    disk = RecordingDisk()
    story(disk)
    prefix = 2 + next(n for n, op in enumerate(disk.operations) if getattr(op, "what", ("",))[0] == "begun")
    rng = random.Random(seed)
    return disk.crash(prefix, rng, 0.3)


async def test_a_second_power_cut_after_a_torn_end(tmp_path: Path) -> None:
    for seed in range(6):
        disk = RecordingDisk(torn(seed))
        story(disk, seed)
        await campaign(disk, tmp_path, check, seeds=3)


class Killed(BaseException):
    """The process ends here."""


async def kill_and_inherit(ignored: list[str]) -> RecordingDisk:
    disk = RecordingDisk(ignored=ignored)
    files = RecordingFiles(disk)
    make_folder(files, FOLDER)
    journal = Journal(files, PATH)
    journal.append(b"one")

    def kill() -> None:
        raise Killed

    journal._file.datasync = kill
    with pytest.raises(Killed):
        journal.append(b"two")
    heir = Journal(files, PATH)
    assert heir.records == [b"one", b"two"]
    disk.fact("promised", (b"one", b"two"))
    return disk


async def test_what_a_killed_process_wrote_and_its_heir_read_is_safe(tmp_path: Path) -> None:
    await campaign(await kill_and_inherit([]), tmp_path, check, seeds=2)


async def test_every_sync_is_needed(tmp_path: Path) -> None:
    disk = RecordingDisk()
    story(disk)
    assert len(disk.sites) == 5, disk.sites
    for site in sorted(disk.sites):
        disk = RecordingDisk(ignored=[site])
        story(disk)
        heir = await kill_and_inherit([site])
        assert await breaks(disk, tmp_path, check, seeds=4) or await breaks(heir, tmp_path, check, seeds=2), (
            f"nothing fails without the sync at {site}"
        )
