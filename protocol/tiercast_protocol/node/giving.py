"""Chunks in answers: how a node gives back upward what its parent, or the server, lost (docs/protocol.md, section 4).

Rules
- Asked by digest, as the question `chunks.give`; answered with stored forms, a bounded number of bytes at a time.
  What one answer could not hold is asked for again from where it ended.
- The asker believes nothing: an answer that says nothing new ends the asking, and every chunk is proved by its
  digest when it is put.
- It is for repair, chunk by chunk at a small rate; packages travel down the tree as frames.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from tiercast_protocol.content.sealed.chunk import MAX_STORED
from tiercast_protocol.content.sealed.digest import DIGEST_SIZE, Digest
from tiercast_protocol.errors import ChunkCorrupt, ChunkMissing, MessageInvalid, UsageError

VERB = "chunks.give"
#: Most bytes of chunks in one answer, and digests in one question.
ANSWER_BYTES = 384 << 10
MOST_DIGESTS = 256


class Given(msgspec.Struct, frozen=True):
    """An answer: `pieces` are (place in the question, stored size, offset, bytes); all before (`place`, `offset`) of
    the question is settled: it was given, here or before, or is not held.
    """

    pieces: list[tuple[int, int, int, bytes]]
    place: int
    offset: int


async def give(asked: object, offset: object, read: Callable[[Digest], Awaitable[bytes]]) -> dict[str, object]:
    """The answer to a question for the joined digests `asked`, the first of them from `offset` on.

    Raises:
        UsageError: argument.invalid.
    """
    if not isinstance(asked, bytes) or len(asked) % DIGEST_SIZE or not len(asked) <= MOST_DIGESTS * DIGEST_SIZE:
        raise UsageError("argument.invalid", f"digests must be at most {MOST_DIGESTS} of {DIGEST_SIZE} bytes.", VERB)
    if type(offset) is not int or not 0 <= offset <= MAX_STORED:
        raise UsageError("argument.invalid", f"offset must be from 0 to {MAX_STORED}.", VERB)
    digests = [asked[at : at + DIGEST_SIZE] for at in range(0, len(asked), DIGEST_SIZE)]
    pieces: list[tuple[int, int, int, bytes]] = []
    room, start = ANSWER_BYTES, offset
    for place, digest in enumerate(digests):
        try:
            stored = await read(digest)
        except (ChunkMissing, ChunkCorrupt):
            start = 0
            continue
        data = stored[start : start + room]
        if data:
            pieces.append((place, len(stored), start, data))
        room -= len(data)
        if start + len(data) < len(stored):
            return {"pieces": pieces, "place": place, "offset": start + len(data)}
        start = 0
    return {"pieces": pieces, "place": len(digests), "offset": 0}


@dataclass(slots=True)
class Taking:
    """What is asked of one node, and what came of it: a pure machine."""

    digests: Sequence[Digest]
    place: int = 0
    offset: int = 0
    _begun: bytes = b""
    _size: int = 0

    def question(self) -> dict[str, object] | None:
        """The arguments of the next question; None when everything is settled."""
        rest = self.digests[self.place : self.place + MOST_DIGESTS]
        return {"digests": b"".join(rest), "offset": self.offset} if rest else None

    def answered(self, answer: object) -> list[tuple[Digest, bytes]]:
        """The chunks that became whole with this answer to the last question, not proved yet.

        Raises:
            MessageInvalid: it is no answer to it, or no progress.
        """
        try:
            given = msgspec.convert(answer, Given)
        except msgspec.ValidationError as error:
            raise MessageInvalid(str(error), VERB) from error
        asked = len(self.digests[self.place : self.place + MOST_DIGESTS])
        if not (0, self.offset) < (given.place, given.offset) or given.place > asked or given.offset < 0:
            raise MessageInvalid("an answer that settles nothing", VERB)
        whole: list[tuple[Digest, bytes]] = []
        for place, size, offset, data in given.pieces:
            begun = self._begun if place == 0 and offset else b""
            if not 0 <= place < asked or offset != len(begun) or not 0 < offset + len(data) <= size <= MAX_STORED:
                raise MessageInvalid("a piece that was not asked for", VERB)
            stored = begun + data
            if len(stored) == size:
                whole.append((self.digests[self.place + place], stored))
                stored = b""
            self._begun = stored
        if given.offset != len(self._begun):
            raise MessageInvalid("an answer that ends elsewhere than its pieces", VERB)
        self.place += given.place
        self.offset = given.offset
        return whole
