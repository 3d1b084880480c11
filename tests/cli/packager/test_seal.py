"""Sealing: one digest for one content, nothing compressed in vain, memory bounded."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiercast_cli.packager.seal import BATCH_BYTES, Batch, Sealed, TreeSealer
from tiercast_protocol.content.package.definition import Definition
from tiercast_protocol.content.package.filegroups import FileGroup
from tiercast_protocol.content.package.programs import Program
from tiercast_protocol.content.sealed.chunk import MAX_RAW, unseal
from tiercast_protocol.content.sealed.manifest import Kind, TreeCheck, decode_list, decode_root
from tiercast_protocol.errors import UsageError

DEFINITION = Definition("editor", "1.0", revision=2, description="An editor.")


def made(top: Path, seed: int = 1, files: int = 80, *, backwards: bool = False) -> Path:
    """The same tree for the same seed, made in one order or the other."""
    chance = random.Random(seed)
    plan = [
        (f"dir{n % 5}/sub{n % 3}/file{n:03}", chance.choice([0, 100, 9_000, 70_000, 700_000]), n) for n in range(files)
    ]
    for name, size, n in reversed(plan) if backwards else plan:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(n).randbytes(size // 2) + bytes(size - size // 2))
        path.chmod(0o755 if n % 2 else 0o644)
    (top / "dir0" / "link").symlink_to("sub0")
    for folder in [top, *top.rglob("*")]:
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)
    return top


def seal_tree(top: Path, definition: Definition, sink: Callable[[Batch], object], **options: Any) -> Sealed:
    sealer = TreeSealer(top, definition, **options)
    for batch in sealer.batches():
        sink(batch)
    return sealer.sealed


def seal(top: Path, definition: Definition = DEFINITION, **options: object) -> tuple[Sealed, dict[bytes, bytes]]:
    store: dict[bytes, bytes] = {}

    def sink(batch: Batch) -> None:
        for digest, stored in batch.stored():
            assert digest not in store
            store[digest] = stored

    return seal_tree(top, definition, sink, **options), store


def test_everything_is_there(tmp_path: Path) -> None:
    top = made(tmp_path / "t")
    sealed, store = seal(top)
    root = decode_root(unseal(sealed.digest, store[sealed.digest]))
    assert root == sealed.root
    assert (root.name, root.version, root.revision, root.chunking) == ("editor", "1.0", 2, "tc1")
    check, used, raw_bytes = TreeCheck(), set(), 0
    for digest in root.lists:
        entries = decode_list(unseal(digest, store[digest]))
        check.add(entries)
        for entry in entries:
            used |= {part.digest for part in entry.parts}
            if entry.kind is Kind.FILE:
                content = b"".join(
                    unseal(part.digest, store[part.digest])[part.offset : part.offset + part.length]
                    for part in entry.parts
                )
                assert content == (top / entry.path).read_bytes()
    check.finish(files=root.files, size=root.size)
    raw_bytes = sum(len(unseal(digest, store[digest])) for digest in used)
    assert (root.files, root.chunks, root.chunk_bytes) == (80, len(used), raw_bytes)
    assert set(store) == used | set(root.lists) | {sealed.digest}
    assert (sealed.folders, sealed.links) == (20, 1)
    assert (sealed.stored_chunks, sealed.stored_bytes) == (len(store), sum(map(len, store.values())))


def test_same_content_same_digest(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one"), made(tmp_path / "two", backwards=True)
    os.utime(two / "dir0", (1, 1))
    first, second = seal(one), seal(two)
    assert first[0].digest == second[0].digest
    assert first[1] == second[1]
    copied = shutil.copytree(one, tmp_path / "three", symlinks=True)
    assert seal(copied, level=3)[0].digest == first[0].digest


@pytest.mark.parametrize("what", ["content", "mode", "name", "link", "definition", "folder"])
def test_any_difference_is_another_digest(tmp_path: Path, what: str) -> None:
    top, definition = made(tmp_path / "t"), DEFINITION
    before = seal(top)[0].digest
    file = next(path for path in sorted(top.rglob("file*")) if path.stat().st_size)
    if what == "content":
        file.write_bytes(b"x" + file.read_bytes()[1:])
    elif what == "mode":
        file.chmod(0o600)
    elif what == "name":
        file.rename(file.with_name("renamed"))
    elif what == "link":
        (top / "dir0" / "link").unlink()
        (top / "dir0" / "link").symlink_to("sub1")
    elif what == "definition":
        definition = Definition("editor", "1.0", revision=2, description="Another text.")
    else:
        (top / "another").mkdir()
    assert seal(top, definition)[0].digest != before


def test_an_empty_folder(tmp_path: Path) -> None:
    sealed, store = seal(tmp_path)
    assert list(store) == [sealed.digest]
    assert (sealed.root.files, sealed.root.lists, sealed.root.chunks) == (0, [], 0)


def test_only_what_is_asked_for_is_compressed(tmp_path: Path) -> None:
    top = made(tmp_path / "t")
    _, store = seal(top)
    wanted = set(list(store)[::3])
    got: dict[bytes, bytes] = {}
    sealer = TreeSealer(top, DEFINITION)
    for batch in sealer.batches():
        got |= dict(batch.stored(wanted))
    assert got == {digest: store[digest] for digest in wanted}
    assert sealer.sealed.stored_chunks == len(wanted)
    sealer = TreeSealer(top, DEFINITION)
    assert [digest for batch in sealer.batches() for digest in batch.digests] == list(store)
    assert sealer.sealed.stored_chunks == 0


def test_batches_are_bounded_and_the_root_is_last(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(random.Random(1).randbytes(30_000_000))
    sealer, last = TreeSealer(tmp_path, DEFINITION), b""
    sizes = []
    for batch in sealer.batches():
        sizes.append(sum(chunk.raw_len for chunk in batch.chunks))
        last = batch.chunks[-1].digest
        digest, length, make_stored = batch.chunks[0]
        assert len(unseal(digest, make_stored())) == length
    assert max(sizes) < BATCH_BYTES + MAX_RAW
    assert len(sizes) >= 3
    assert last == sealer.sealed.digest


def test_repeated_content_comes_once(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(400_000)
    for n in range(4):
        (tmp_path / f"f{n}").write_bytes(data)
    sealed, _ = seal(tmp_path)
    assert sealed.root.size == 1_600_000
    assert sealed.root.chunk_bytes == 400_000


def test_excluded(tmp_path: Path) -> None:
    (tmp_path / "package.toml").write_text("x")
    (tmp_path / "f").write_text("y")
    assert seal(tmp_path, exclude={"package.toml"})[0].root.files == 1


def test_programs(tmp_path: Path) -> None:
    definition = Definition("a", "1", run_before=Program(("./hooks/go.sh",)), run_after=Program(("/bin/true",)))
    with pytest.raises(UsageError, match=r"hooks/go\.sh, which is not in the folder") as caught:
        seal(tmp_path, definition)
    assert caught.value.code == "program.missing"
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "go.sh").write_text("#!/bin/sh\n")
    with pytest.raises(UsageError, match="can't be run"):
        seal(tmp_path, definition)
    (tmp_path / "hooks" / "go.sh").chmod(0o755)
    assert seal(tmp_path, definition)[0].root.files == 1


def test_a_bad_file_late_in_the_tree(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(random.Random(1).randbytes(20_000_000))
    (tmp_path / "z").write_bytes(bytes(100_000))
    sealer = TreeSealer(tmp_path, DEFINITION)
    batches = sealer.batches()
    next(batches)
    (tmp_path / "z").write_bytes(bytes(200_000))
    with pytest.raises(UsageError, match="changed while"):
        list(batches)
    with pytest.raises(RuntimeError, match="not exhausted"):
        _ = sealer.sealed


def test_stopping_early_leaves_no_thread(tmp_path: Path) -> None:
    import threading  # noqa: PLC0415 - only here

    (tmp_path / "a").write_bytes(bytes(40_000_000))
    batches = TreeSealer(tmp_path, DEFINITION).batches()
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tiercast-")]


PEAK = """
import sys
from pathlib import Path
from tiercast_cli.packager.seal import TreeSealer
from tiercast_protocol.content.package.definition import Definition
sealer = TreeSealer(Path(sys.argv[1]), Definition("a", "1"))
for batch in sealer.batches():
    for stored in batch.stored():
        pass
assert sealer.sealed.root.size > 250_000_000
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(line.split()[1])
"""


def test_memory_is_bounded(tmp_path: Path) -> None:
    block = random.Random(1).randbytes(1 << 20)
    with (tmp_path / "big").open("wb") as file:
        for n in range(256):
            file.write(block[n:] + block[:n])
    ran = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert int(ran.stdout) < 150 * 1024  # KiB, everything included


ARM, PC = FileGroup("arm", "arm", 'architecture == "aarch64"'), FileGroup("pc", "pc", 'architecture == "x86_64"')


def grouped(top: Path, **more: Any) -> Definition:
    for name in ("arm/bin", "pc/bin", "bin"):
        (top / name).mkdir(parents=True)
    for name in ("arm/bin/x", "pc/bin/x", "bin/both"):
        (top / name).write_text(name)
        (top / name).chmod(0o755)
    return Definition("a", "1", files=(ARM, PC), **more)


def test_programs_are_in_each_group_or_beside(tmp_path: Path) -> None:
    for program in ("./bin/x", "./bin/both"):
        folder = tmp_path / program[-1]
        seal_tree(folder, grouped(folder, run_after=Program((program,))), lambda _: None)
    (folder / "pc/bin/x").unlink()
    with pytest.raises(UsageError, match="nor in pc") as caught:
        seal_tree(folder, Definition("a", "1", files=(ARM, PC), run_after=Program(("./bin/x",))), lambda _: None)
    assert caught.value.code == "program.missing"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda top: (top / "bin/x").write_text(""), "group.tree"),
        (lambda top: (top / "arm/up").symlink_to("../bin/both"), "group.tree"),
        (lambda top: (top / "arm/bin/BOTH").write_text(""), "tree.case"),
        (lambda top: shutil.rmtree(top / "pc"), "group.folder"),
    ],
)
def test_groups_that_no_machine_could_take(tmp_path: Path, make: Callable[[Path], object], code: str) -> None:
    definition = grouped(tmp_path)
    make(tmp_path)
    with pytest.raises(UsageError) as caught:
        seal_tree(tmp_path, definition, lambda _: None)
    assert caught.value.code == code


ONE = """
name = "a"
version = "1"
requires = ["b >= 1"]
replace = "any"
[variables]
x = "1"
[run_after]
argv = ["/bin/true", "${x}"]
timeout = "5m"
"""
OTHER = """
# packaged by hand
version = "1"   # the first
name = "a"
requires = [
  "b>=1",
]

[run_after]
timeout = "300s"
argv = ["/bin/true", "${x}"]
[variables]
x = { default = "1" }
"""
SEAL = """
import sys
from pathlib import Path
from tiercast_cli.packager.seal import TreeSealer
from tiercast_cli.packager.send import load_definition
folder = Path(sys.argv[1])
wanted = load_definition(None, folder, name="", version="", revision=0)
sealer = TreeSealer(folder, wanted, exclude=["package.toml"])
for batch in sealer.batches():
    pass
print(sealer.sealed.digest.hex())
"""


def test_sealing_is_reproducible_over_processes_layouts_and_times(tmp_path: Path) -> None:
    digests = set()
    for number, layout in enumerate((ONE, OTHER)):
        folder = tmp_path / str(number)
        names = [f"f{n}" for n in range(40)]
        folder.mkdir()
        for name in names if number else reversed(names):
            (folder / name).write_bytes(name.encode() * 3000)
            (folder / name).chmod(0o644)
            os.utime(folder / name, (number * 10**6, number * 10**6))
        (folder / "package.toml").write_text(layout)
        environment = {**os.environ, "PYTHONHASHSEED": str(number), "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", SEAL, str(folder)], capture_output=True, text=True, check=True, env=environment
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1
