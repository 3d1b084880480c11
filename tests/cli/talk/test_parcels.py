"""What a daemon lacks is asked once, and comes in messages that it takes."""

from __future__ import annotations

from typing import Any

from tiercast_cli.talk.parcels import MESSAGE_BYTES, lacking, parcels


class Daemon:
    """Has none of what it is asked for but what begins with a zero."""

    def __init__(self) -> None:
        self.asked = 0

    async def call(self, verb: str, **args: Any) -> Any:
        assert verb == "package.missing"
        self.asked += 1
        digests = [args["digests"][at : at + 32] for at in range(0, len(args["digests"]), 32)]
        return {"missing": b"".join(digest for digest in digests if digest[0])}


async def test_what_is_lacking_is_told_in_order_and_nothing_is_asked_for_nothing() -> None:
    daemon, digests = Daemon(), [bytes([n]) * 32 for n in (3, 0, 1, 2)]
    assert await lacking(daemon, digests) == [digests[0], digests[2], digests[3]]
    assert await lacking(daemon, []) == []
    assert daemon.asked == 1


def test_a_message_is_full_before_the_next_and_what_is_too_large_goes_alone() -> None:
    sizes = [MESSAGE_BYTES // 2, MESSAGE_BYTES // 2, 1, MESSAGE_BYTES + 1, 5, 6]
    chunks = [(bytes([n]) * 32, bytes(size)) for n, size in enumerate(sizes)]
    made = list(parcels(chunks))
    assert [[len(stored) for _, stored in parcel] for parcel in made] == [sizes[:2], [1], [MESSAGE_BYTES + 1], [5, 6]]
    assert [chunk for parcel in made for chunk in parcel] == chunks
    assert list(parcels([])) == []
