"""Patches that are made: small, and exactly what turns the base into the result."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.sealed import SealedPackage, like_code, patch_between, sealed, shifted

from tiercast_protocol.content.patches import patch as p
from tiercast_protocol.content.patches import patchmake
from tiercast_protocol.content.sealed.chunk import MAX_RAW, unseal
from tiercast_protocol.errors import UsageError


def applied(base: SealedPackage, result: SealedPackage, digest: bytes, chunks: dict[bytes, bytes]) -> set[bytes]:
    """Every chunk that the patch makes, proved."""
    patch = p.decode_patch(unseal(digest, chunks[digest]))
    assert (patch.base, patch.result) == (base.digest, result.digest)
    a, b = base.side(), result.side()
    made: set[bytes] = set()
    for region in patch.regions:
        ours, theirs = (a.index, b.index) if region.kind == p.INDEX else (a.order.digests, b.order.digests)
        reference = b"".join(unseal(ours[n], base.chunks[ours[n]]) for n in p.numbers_of(region.reference, len(ours)))
        digests = [theirs[n] for n in p.numbers_of(region.result, len(theirs))]
        lengths = region.lengths or [b.order.lengths[digest] for digest in digests]
        frame = region.frame or b"".join(unseal(piece, chunks[piece]) for piece in region.pieces)
        p.check_sizes(len(reference), lengths)
        p.prove(digests, p.unpack_region(frame, reference, lengths))
        made.update(digests)
    return made


def test_it_makes_all_that_the_base_lacks(tmp_path: Path) -> None:
    old = {"bin/tool": like_code(1, 400_000), "lib/x.py": b"x" * 900, "gone": b"gone"}
    new = {"bin/tool": shifted(old["bin/tool"], 2), "lib/x.py": b"x" * 901, "lib/y.py": b"y" * 2000}
    base, result = sealed(tmp_path, old, "1"), sealed(tmp_path, new, "2")
    digest, chunks = patch_between(base, result)
    assert applied(base, result, digest, chunks) == set(result.chunks) - set(base.chunks)
    missing = sum(len(result.chunks[d]) for d in set(result.chunks) - set(base.chunks))
    assert sum(map(len, chunks.values())) < missing / 4
    assert max(map(len, chunks.values())) <= MAX_RAW + 1
    assert patch_between(base, result) == (digest, chunks), "made twice, it is the same"


def test_a_small_edit_is_one_small_chunk(tmp_path: Path) -> None:
    old = {f"d{n // 100}/file-{n:05}": like_code(n % 9, 900) + b"%d" % n for n in range(1500)}
    edited = old | {"d7/file-00777": like_code(9999, 900)}
    base, result = sealed(tmp_path, old, "1"), sealed(tmp_path, edited, "2")
    digest, chunks = patch_between(base, result)
    assert applied(base, result, digest, chunks) == set(result.chunks) - set(base.chunks)
    assert list(chunks) == [digest]
    assert len(chunks[digest]) < 1400


@pytest.mark.parametrize("number", range(3))
def test_between_strangers_it_is_a_patch_all_the_same(tmp_path: Path, number: int) -> None:
    trees = [{}, {"a": b""}, {"a/b/c": like_code(4, 300_000), "a/b/d": b"1"}]
    base, result = sealed(tmp_path, trees[number], "1"), sealed(tmp_path, trees[number - 1], "2")
    digest, chunks = patch_between(base, result)
    assert applied(base, result, digest, chunks) == set(result.chunks) - set(base.chunks)


def test_what_fits_no_chunk_is_no_patch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, result = sealed(tmp_path, {"a": b"1"}, "1"), sealed(tmp_path, {"a": like_code(1, 90_000)}, "2")
    monkeypatch.setattr(patchmake, "MAX_RAW", 64)
    with pytest.raises(UsageError, match="patch's own text"):
        patch_between(base, result)
