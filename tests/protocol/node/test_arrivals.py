"""The child's side of the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.arrivals import Arrivals, KernelBytes
from tiercast_protocol.node.kernel import TcpInfo
from tiercast_protocol.node.ledger import Key, Ledger, open_ledger
from tiercast_protocol.transfer.counters import ReceiverCounters


@dataclass
class FakeUpstream:
    me: str = "pc"
    parent: str = "top"
    session: int = 10
    counters: ReceiverCounters = field(default_factory=ReceiverCounters)
    info: TcpInfo | None = None
    on_leaving: Any = None

    @property
    def hop(self) -> Any:
        return SimpleNamespace(bulk=SimpleNamespace(tcp_info=lambda: self.info))


def info(sent: int, received: int) -> TcpInfo:
    return TcpInfo(acked=0, received=received, sent=sent, sent_again=0, segments_out=0, segments_in=0, rtt=0.0)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with open_ledger(tmp_path) as ledger:
        yield ledger


async def test_what_came_is_booked_by_what_became_of_it_and_the_jobs(ledger: Ledger) -> None:
    upstream = FakeUpstream()
    arrivals = Arrivals(ledger, upstream)  # type: ignore[arg-type]
    counters = upstream.counters
    counters.useful, counters.repeated, counters.frames, counters.corrupt = 100, 20, 3, 40
    counters.jobs["j1"] = 60
    assert (await arrivals.side("top"))["sessions"]["a"] == {
        "useful": 100, "repeated": 20, "frames": 3, "corrupt": 40,
    }  # fmt: skip
    counters.useful, counters.lost, counters.frames = 150, 7, 4
    counters.jobs["j1"], counters.jobs["j2"] = 70, 1
    side = await arrivals.side("top")
    assert side["present"] == "a"
    assert side["sessions"]["a"] == {"useful": 150, "repeated": 20, "lost": 7, "frames": 4, "corrupt": 40}
    shown = await arrivals.show({"job": "j1"})
    assert [(row["reason"], row["bytes"]) for row in shown["rows"]] == [("stored", 70)]
    assert (await arrivals.show({"since": 1 << 50}))["rows"] == []
    assert (await arrivals.show({"job": "j1", "link": "another"}))["rows"] == []


async def test_a_job_of_the_ledger_is_named_by_its_number(ledger: Ledger) -> None:
    ledger.add(Key("came", "top", "stored", job="j17-a0b1"), 9)
    arrivals = Arrivals(ledger, FakeUpstream())  # type: ignore[arg-type]
    for called in ("17", "j-17", "j17-a0b1"):
        assert [row["job"] for row in (await arrivals.show({"job": called}))["rows"]] == ["j17-a0b1"]
    assert (await arrivals.show({"job": "j-18"}))["rows"] == []
    with pytest.raises(UsageError):
        await arrivals.show({"since": "yesterday"})


async def test_each_parent_is_told_of_its_own(ledger: Ledger) -> None:
    upstream = FakeUpstream()
    arrivals = Arrivals(ledger, upstream)  # type: ignore[arg-type]
    upstream.counters.useful = 100
    upstream.on_leaving()
    upstream.parent = "other"
    upstream.counters.useful = 130
    assert (await arrivals.side("top"))["sessions"] == {"a": {"useful": 100}}
    assert (await arrivals.asked({}))["sessions"] == {"a": {"useful": 30}}
    assert (await arrivals.asked({"parent": "top"}))["sessions"] == {"a": {"useful": 100}}


async def test_the_kernels_bytes_go_on_over_connections(ledger: Ledger) -> None:
    kernel = KernelBytes()
    for seen in (info(10, 100), info(15, 150), None, info(1, 20), info(0, 5)):
        kernel.book(ledger, "top", seen)
    await ledger.write()
    totals = {row.key: row.bytes for row in await ledger.totals()}
    assert totals == {Key("kernel", "top", "sent"): 16, Key("kernel", "top", "received"): 175}
