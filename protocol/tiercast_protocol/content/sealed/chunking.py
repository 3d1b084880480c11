"""Where content is cut into chunks (docs/adr/0003).

Rules
- The parameters have a name, stand in every manifest and never change: another cut is another set.
- Cuts are content-defined (FastCDC, by pyfastcdc) inside each file; a file below `pack_below` is not cut
  but packed with its neighbours in path order, and packs are cut between files.
- The cut after a packed file depends on that file alone (its digest and size) once the pack is large
  enough, so an edit changes its own pack, a rename of a folder above changes none.
- Only the packager imports this module: agents and gateways need no chunker.  pyfastcdc falls back to pure
  Python, 200 times slower, without a word; that is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiercast_protocol.content.sealed.chunk import MAX_RAW
from tiercast_protocol.content.sealed.digest import Digest
from tiercast_protocol.errors import UsageError

if TYPE_CHECKING:
    from pyfastcdc import FastCDC

KIB = 1024


@dataclass(frozen=True, slots=True)
class Parameters:
    """One way to cut; all sizes in bytes.

    Attributes:
        name: as manifests quote it.
        minimum, average, maximum: of chunks inside one file (the last one of a file may be smaller).
        pack_below: files smaller than this are packed.
        pack_minimum, pack_average, pack_maximum: of packs.
    """

    name: str
    minimum: int
    average: int
    maximum: int
    pack_below: int
    pack_minimum: int
    pack_average: int
    pack_maximum: int


#: The parameters of this release, chosen by measurement.
TC1 = Parameters(
    name="tc1",
    minimum=16 * KIB,
    average=64 * KIB,
    maximum=256 * KIB,
    pack_below=64 * KIB,
    pack_minimum=64 * KIB,
    pack_average=128 * KIB,
    pack_maximum=256 * KIB,
)


class Chunker:
    """Cuts by one set of parameters.  Not to be shared by threads.

    Raises:
        UsageError: the compiled chunker is not installed.
    """

    def __init__(self, parameters: Parameters = TC1) -> None:
        if parameters.maximum > MAX_RAW or parameters.pack_maximum > MAX_RAW:
            raise ValueError("chunks of these parameters are larger than MAX_RAW")
        self.parameters = parameters
        self._fastcdc = _compiled_fastcdc()(
            avg_size=parameters.average, min_size=parameters.minimum, max_size=parameters.maximum
        )

    def split(self, buffer: bytes | bytearray | memoryview) -> Iterator[memoryview]:
        """The chunks of `buffer`, in order, as views of it; none of an empty one."""
        for cut in self._fastcdc.cut_buf(buffer):
            yield cut.data

    def split_stream(self, readinto: Callable[[memoryview], int]) -> Iterator[memoryview]:
        """The same cuts of a stream, in memory for two of the largest chunks.

        A view is valid until the next one is asked for.  `readinto` fills a view and returns how many
        bytes it filled, 0 at the end.
        """
        for cut in self._fastcdc.cut_stream(_Stream(readinto)):
            yield cut.data

    def pack_ends(self, pack: int, size: int, digest: Digest) -> bool:
        """Whether a pack of `pack` bytes ends after its last file, of `size` bytes with `digest`."""
        p = self.parameters
        if pack < p.pack_minimum:
            return False
        chance = int.from_bytes(digest[:4], "big")  # 32 even bits
        return chance * (p.pack_average - p.pack_minimum) < size << 32


def split(buffer: bytes | bytearray | memoryview) -> Iterator[memoryview]:
    """The chunks of `buffer` by the parameters of this release, in order, as views of it."""
    return Chunker().split(buffer)


class _Stream:
    """What pyfastcdc reads from."""

    def __init__(self, fill: Callable[[memoryview], int]) -> None:
        self._fill = fill

    def readinto(self, b: memoryview) -> int:
        """Fill `b`, as a raw stream does."""
        return self._fill(b)


def _compiled_fastcdc() -> type[FastCDC]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the fall-back warns; here it is an error
            import pyfastcdc  # noqa: PLC0415 - whoever only reads parameters needs no chunker
    except ImportError as error:
        raise _no_chunker("pyfastcdc is not installed") from error
    if not pyfastcdc.FastCDC.__module__.startswith("pyfastcdc.cy"):
        raise _no_chunker("pyfastcdc is installed without its compiled part")
    return pyfastcdc.FastCDC


def _no_chunker(what: str) -> UsageError:
    return UsageError(
        code="packager.no_chunker",
        what=f"{what}, so no package can be cut into chunks",
        todo="Install the packager with its compiled wheel: pip install --only-binary pyfastcdc 'tiercast[packager]'",
    )
