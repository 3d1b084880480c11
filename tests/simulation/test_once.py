"""Without faults nothing travels twice: frames wait for a slow broker, and who comes late is invited meanwhile."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
from tests.simulation import site
from tests.simulation.site import Site

from tiercast_protocol.transfer import events as e

#: Seconds that the way to the broker takes for each frame: more than an invitation and its answer by another way.
PER_FRAME = 0.02


class Behind(site.Parent):
    """Frames, marks and invitations wait in one line for the broker, as in the adapter."""

    kinds: tuple[type, ...] = (e.PublishFrame, e.PublishMark, e.InviteToGroup)
    free_at: float = 0.0

    def _do_sent(self, command: e.SenderCommand) -> None:
        if isinstance(command, self.kinds):
            self.free_at = max(self.free_at, self.world.now) + (PER_FRAME if isinstance(command, e.PublishFrame) else 0)
            self.world.at(self.free_at, partial(self._alive, self.life, partial(super()._do_sent, command)))
        else:
            super()._do_sent(command)


class Overtaken(Behind):
    """Invitations go another way, and pass the frames before them."""

    kinds = (e.PublishFrame, e.PublishMark)


def most_copies(monkeypatch: pytest.MonkeyPatch, parent: type[site.Parent], late: float) -> tuple[int, int]:
    """How often a chunk went to one child at the most, when one of four comes `late`; how many frames were shared."""
    monkeypatch.setattr(site, "Parent", parent)
    told = Site(["e1", "e2", "e3", "late"])
    wanted = told.content(600)
    for child in ("e1", "e2", "e3"):
        told.want(child, wanted)
    told.want("late", wanted, at=late)
    told.run()
    assert all(set(wanted) <= node.store.keys() for node in told.nodes.values())
    copies = Counter((sent.child, digest) for sent in told.record for digest in sent.digests)
    return max(copies.values()), sum(sent.shared for sent in told.record)


@pytest.mark.parametrize("late", [0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8])
def test_no_chunk_goes_twice_to_one_child(late: float, monkeypatch: pytest.MonkeyPatch) -> None:
    copies, shared = most_copies(monkeypatch, Behind, late)
    assert copies == 1
    assert shared > 0


def test_an_invitation_that_passes_frames_would_bring_some_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(most_copies(monkeypatch, Overtaken, late)[0] for late in (0.1, 0.2, 0.3, 0.45, 0.6)) > 1
