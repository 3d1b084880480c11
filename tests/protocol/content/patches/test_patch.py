"""The form of a patch: read within limits, believed for nothing."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.patches import patch as p
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part
from tiercast_protocol.errors import MessageInvalid

A, B, C = (digest_of(name) for name in (b"a", b"b", b"c"))
INLINE = p.Region(p.INDEX, [0, 2], [0, 1], [70], b"frame", [])
CUT = p.Region(p.CONTENT, [3, 2, 1, 4], [0, 1], [], b"", [C])


def parameters(**more: int) -> zstandard.ZstdCompressionParameters:
    return zstandard.ZstdCompressionParameters.from_level(3, write_content_size=True, **more)


def test_round_trip() -> None:
    patch = p.Patch(p.FORMAT, A, B, [INLINE, CUT])
    assert p.decode_patch(p.encode_patch(patch)) == patch
    assert patch.pieces == [C]


def test_golden() -> None:
    # nodes of other releases read it
    raw = p.encode_patch(p.Patch(p.FORMAT, A, B, [INLINE, CUT]))
    assert digest_of(raw).hex() == "e2540443a8764d8e80281c62765b03867d49ba0a69dba5ab03d304206f94ea32"


@dataclass
class Bad:
    why: str
    patch: p.Patch


@pytest.mark.parametrize(
    "bad",
    [
        Bad("format", p.Patch(2, A, B, [])),
        Bad("no digest", p.Patch(p.FORMAT, A[:8], B, [])),
        Bad("no digest", p.Patch(p.FORMAT, A, B, [p.Region(p.CONTENT, [], [0, 1], [], b"", [b"x"])])),
        Bad("order", p.Patch(p.FORMAT, A, B, [CUT, INLINE])),
        Bad("order", p.Patch(p.FORMAT, A, B, [p.Region(7, [], [0, 1], [], b"f", [])])),
        Bad("payload", p.Patch(p.FORMAT, A, B, [p.Region(p.CONTENT, [], [0, 1], [], b"", [])])),
        Bad("payload", p.Patch(p.FORMAT, A, B, [p.Region(p.CONTENT, [], [0, 1], [], b"f", [C])])),
        Bad(">= 0", p.Patch(p.FORMAT, A, B, [p.Region(p.CONTENT, [-1, 2], [0, 1], [], b"f", [])])),
    ],
    ids=lambda bad: bad.why,
)
def test_what_is_no_patch_is_refused(bad: Bad) -> None:
    with pytest.raises(MessageInvalid, match=bad.why):
        p.decode_patch(p.encode_patch(bad.patch))


@given(st.sets(st.integers(0, 400)))
def test_runs_are_the_numbers(numbers: set[int]) -> None:
    runs = p.runs_of(sorted(numbers))
    assert p.numbers_of(runs, 401) == sorted(numbers)
    if numbers:
        with pytest.raises(MessageInvalid, match="where there are"):
            p.numbers_of(runs, max(numbers))


def test_runs_that_claim_the_world_cost_nothing() -> None:
    with pytest.raises(MessageInvalid):
        p.numbers_of([0, (1 << 32) - 1], 10)
    with pytest.raises(MessageInvalid):
        p.numbers_of([0], 10)


def test_chunks_are_numbered_as_the_lists_name_them_first() -> None:
    order = p.ContentOrder()
    order.add(
        [Entry("d", Kind.FOLDER, 0o755), Entry("d/a", Kind.FILE, 0o644, 9, "", A, (Part(A, 0, 5), Part(B, 0, 4)))]
    )
    order.add(
        [Entry("d/b", Kind.FILE, 0o644, 8, "", B, (Part(B, 4, 6), Part(A, 0, 2))), Entry("d/c", Kind.LINK, target="a")]
    )
    assert order.digests == [A, B]
    assert list(order.lengths.values()) == [5, 10]


def test_a_region_is_made_and_taken_apart() -> None:
    base = random.Random(1).randbytes(50_000)
    made = base[10_000:30_000] + b"new" + base[:5_000]
    frame = p.pack_region(base, made, parameters(dict_size=len(base), window_log=17))
    assert len(frame) < 200
    lengths = [20_000, len(made) - 20_000]
    parts = p.unpack_region(frame, base, lengths)
    assert b"".join(parts) == made
    p.prove([digest_of(part) for part in parts], parts)
    with pytest.raises(MessageInvalid, match="makes other bytes"):
        p.prove([A, B], parts)


def test_a_wrong_base_makes_what_no_digest_names() -> None:
    base = random.Random(1).randbytes(50_000)
    frame = p.pack_region(base, base, parameters(dict_size=len(base), window_log=17))
    made = p.unpack_region(frame, bytes(50_000), [50_000])
    with pytest.raises(MessageInvalid):
        p.prove([digest_of(base)], made)


@pytest.mark.parametrize("base", [b"", b"short"])
def test_no_reference_is_one_too(base: bytes) -> None:
    frame = p.pack_region(base, b"all of it new", parameters())
    assert p.unpack_region(frame, base, [13]) == [b"all of it new"]


def test_frames_that_lie_are_refused_before_they_grow() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(p.MAX_RESULT * 4))
    good = p.pack_region(b"", bytes(1000), parameters())
    unknown = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    streamed = unknown.compress(bytes(1000)) + unknown.flush()
    wide = zstandard.ZstdCompressor(compression_params=parameters(window_log=30)).compressobj(size=1000)
    for frame in (bomb, good[:-3], good + b"more", b"", b"no frame at all", streamed):
        with pytest.raises(MessageInvalid):
            p.unpack_region(frame, b"", [1000])
    assert p.unpack_region(wide.compress(bytes(1000)) + wide.flush(), b"", [1000]) or True
    with pytest.raises(MessageInvalid):
        p.unpack_region(good, b"", [999])


@pytest.mark.parametrize(
    ("reference", "lengths"),
    [(p.MAX_REFERENCE + 1, [5]), (0, []), (0, [0]), (0, [256 * 1024 + 1]), (0, [200_000] * 42)],
)
def test_regions_beyond_the_limits_are_refused(reference: int, lengths: list[int]) -> None:
    with pytest.raises(MessageInvalid):
        p.check_sizes(reference, lengths)


def test_a_region_at_the_limits_is_not() -> None:
    p.check_sizes(p.MAX_REFERENCE, [256 * 1024] * 32)
