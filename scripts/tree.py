"""File trees for the demo and the benchmarks: real files, changed by a stated rule, compared by the system's tools.

Rules
- Same seed, same tree; nothing outside the given folder is touched.
- Comparison is by `find` and `sha256sum`, never by Tiercast's code.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

#: What a demo package must at least be, and where it may stop.
LEAST_FILES, LEAST_BYTES = 1_500, 30_000_000
MOST_FILES, MOST_BYTES = 2_600, 60_000_000
#: A file larger than this (a static library) would be the whole tree.
LARGEST = 4_000_000


def copy_real_tree(target: Path) -> tuple[int, int]:
    """Copy the interpreter's library, and installed packages as far as needed, to `target`; files and bytes."""
    files = total = 0
    sources = [Path(sysconfig.get_paths()["stdlib"]), Path(sysconfig.get_paths()["purelib"])]
    sources += [Path(p) for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    taken: set[Path] = set()
    for number, source in enumerate(dict.fromkeys(s.resolve() for s in sources)):
        for path in sorted(source.rglob("*")):
            enough = files >= LEAST_FILES and total >= LEAST_BYTES
            if (enough and number > 0) or files >= MOST_FILES or total >= MOST_BYTES:
                return files, total
            inside = path.relative_to(source)
            skip = {"__pycache__", "site-packages", "dist-packages"} & set(inside.parts)
            if skip or path.is_symlink() or not path.is_file() or path in taken or path.stat().st_size > LARGEST:
                continue
            taken.add(path)
            copy = target / ("lib" if number == 0 else f"packages{number}") / inside
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
            files, total = files + 1, total + copy.stat().st_size
    return files, total


def change(tree: Path, share: float, *, seed: int = 1) -> dict[str, int]:
    """Change `share` of the files, and add, rename and delete some; how many of each."""
    rng = random.Random(seed)
    files = sorted(p for p in tree.rglob("*") if p.is_file() and not p.is_symlink())
    picked = rng.sample(files, max(4, round(len(files) * share)))
    for path in picked:
        data = path.read_bytes()
        at = rng.randrange(len(data) + 1)
        path.write_bytes(data[:at] + rng.randbytes(rng.randrange(20, 200)) + data[at + rng.randrange(100) :])
    rest = [p for p in files if p not in set(picked)]
    some = max(2, len(files) // 200)
    for path in rng.sample(rest, some):
        rest.remove(path)
        path.rename(path.with_name(f"renamed-{path.name}"))
    for path in rng.sample(rest, some):
        path.unlink()
    added = tree / "added"
    added.mkdir(exist_ok=True)
    for number in range(some):
        (added / f"new-{number}.txt").write_bytes(rng.randbytes(rng.randrange(100, 20_000)).hex().encode())
    return {"changed": len(picked), "renamed": some, "deleted": some, "added": some}


def listing(tree: Path) -> str:
    """Kind, mode, path, link target of everything in `tree`, then every file's SHA-256; by find and sha256sum."""
    what = subprocess.run(
        ["find", ".", "-mindepth", "1", "-printf", "%y %m %P %l\\n"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    )
    sums = subprocess.run(
        "find . -type f -print0 | sort -z | xargs -0 -r sha256sum",
        shell=True,
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(sorted(what.stdout.splitlines())) + "\n" + sums.stdout


def difference(expected: str, found: str) -> str:
    """The first line in which two listings differ; "" when they are equal."""
    if expected == found:
        return ""
    missing = set(expected.splitlines()) - set(found.splitlines())
    extra = set(found.splitlines()) - set(expected.splitlines())
    return f"missing: {sorted(missing)[:1]} unexpected: {sorted(extra)[:1]}"
