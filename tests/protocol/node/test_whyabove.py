"""Asking those above why: side by side, bounded in time, and nothing of what they say is believed to be sound."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.content.jobs.reason import because, shown
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node import whyabove
from tiercast_protocol.node.whyabove import WhyAbove, asked, more, told
from tiercast_protocol.wire.envelope import wrap
from tiercast_protocol.wire.messages import Answer, Message, Query

GATE = shown(because("gate.shut", node="server", peer="pc", wave=2, rollout="r1"))
AWAY = shown(because("away", node="mid", peer="pc"))


class Way:
    """A parent "mid" below "server", who answer what stands in `says`."""

    def __init__(self, says: dict[str, Any], *, connected: bool = True) -> None:
        self.parent, self.connected, self.says = "mid", connected, says
        self.asked: list[tuple[str, dict[str, object]]] = []
        self.above = WhyAbove(self, lambda: ("server", "top"), self.send)

    async def send(self, to: str, message: Message, expires: int) -> bytes:
        assert isinstance(message, Query)
        assert message.verb == whyabove.VERB
        self.asked.append((to, message.args))
        query = wrap("query.v1", message, sender="pc", to=to, expires=expires).id
        answer = self.says.get(to or "mid")
        if isinstance(answer, dict):
            body = (
                Answer(query=query, error=answer["error"]) if "error" in answer else Answer(query=query, result=answer)
            )
            self.above.answered(wrap("answer.v1", body, sender=to or "mid"))
        return query


async def test_parent_and_server_are_asked_and_the_nearest_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    way = Way({"mid": {"chain": [AWAY], "result": {}}, "server": {"chain": [GATE]}})
    found = await way.above.ask("r1", "pc")
    assert [(one["node"], one["chain"][0]["code"]) for one in found] == [("mid", "away"), ("server", "gate.shut")]
    assert found[1]["chain"][0]["says"] == GATE["says"]
    assert way.asked == [("", {"job": "r1", "target": "pc"}), ("server", {"job": "r1", "target": "pc"})]
    monkeypatch.setattr(whyabove, "PATIENCE_S", 0.01)
    silent = Way({"mid": {"error": {"code": "job.unknown", "what": "no"}}})
    assert await silent.above.ask("r1", "pc") == [], "who refuses or is silent is left out"


async def test_cut_off_nobody_is_asked() -> None:
    way = Way({"mid": {"chain": [AWAY]}}, connected=False)
    assert await way.above.ask("r1", "pc") == []
    assert way.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        {"chain": "x"},
        {"chain": [7, {"code": 3}]},
        {"chain": [{"code": "away", "facts": 3, "node": 4, "since": "x", "peer": None}], "result": []},
        {"chain": [{"code": "of.later", "facts": {"text": "what a later version says"}}], "result": {"state": 3}},
        {"chain": [AWAY] * 1000},
    ],
)
async def test_what_is_told_is_read_as_far_as_it_can_be(answer: dict[str, Any]) -> None:
    for one in await Way({"mid": answer, "server": answer}).above.ask("r1", "pc"):
        assert len(one["chain"]) <= 32
        assert all(isinstance(reason["says"], str) and reason["says"] for reason in one["chain"])


def test_each_reason_is_told_once() -> None:
    above = [{"node": "mid", "chain": [AWAY], "result": {}}, {"node": "server", "chain": [AWAY, GATE], "result": {}}]
    assert [(one["node"], [reason["code"] for reason in one["chain"]]) for one in more([], above)] == [
        ("mid", ["away"]),
        ("server", ["gate.shut"]),
    ]
    assert more([AWAY, GATE], above) == []


def test_questions_and_answers() -> None:
    assert asked({"job": "j1", "target": "pc"}) == ("j1", "pc")
    for args in ({}, {"job": "j1"}, {"job": 1, "target": "pc"}, {"job": "", "target": "pc"}):
        with pytest.raises(UsageError):
            asked(args)
    assert told({"job": "j1", "chain": [AWAY], "way": ["x"]}) == {"job": "j1", "chain": [AWAY], "result": {}}
