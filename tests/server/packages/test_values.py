"""What machines would take of a package: asked, else reckoned by what they said, and problems told as such."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_protocol.content.package.filegroups import FileGroup
from tiercast_protocol.content.package.variables import Variable
from tiercast_protocol.errors import UsageError
from tiercast_server.packages.values import MOST_NODES, Values

DEFINITION = canonical(
    Definition(
        "app", "1",
        variables=(Variable("site", None, "labels.site"),),
        files=(FileGroup("pc", "pc", 'architecture == "x86_64"'),),
    )
)  # fmt: skip


class Machines:
    """Answers for the machines that are there."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    async def ask(self, node: str, verb: str, args: dict[str, Any], *, deadline: float) -> Any:
        del deadline
        assert (verb, args) == ("package.values", {"definition": DEFINITION})
        answer = self._answers.get(node, UsageError("node.silent", "nothing came"))
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_asked_and_reckoned(world: Any) -> None:
    await world.join("pc2")
    await world.says("pc2", architecture="x86_64", labels={"site": "berlin"})
    there = {"group": "pc", "values": {"site": {"text": "x", "source": "setting site"}}}
    machines = Machines(pc1=there, pc4=UsageError("variable.unset", "site has no value"))
    rows = await Values(world.region, machines).of(DEFINITION, ["pc1", "pc2", "pc3", "pc4"])
    assert [(row["node"], row["asked"], row["group"]) for row in rows] == [
        ("pc1", True, "pc"),
        ("pc2", False, "pc"),
        ("pc3", False, ""),
        ("pc4", True, ""),
    ]
    assert rows[0]["values"] == there["values"]
    assert rows[1]["values"]["site"] == {"text": "berlin", "source": "fact labels.site"}
    assert "said nothing of itself" in rows[2]["problem"]
    assert rows[3]["problem"] == "site has no value"


async def test_problems_by_what_was_said(world: Any) -> None:
    await world.join("pc1")
    await world.says("pc1", architecture="riscv64")
    (row,) = await Values(world.region, None).of(DEFINITION, ["pc1"])
    assert "no files for this machine" in row["problem"]


async def test_too_many(world: Any) -> None:
    with pytest.raises(UsageError, match="too many"):
        await Values(world.region, None).of(DEFINITION, ["x"] * (MOST_NODES + 1))


async def test_many_are_counted_by_group(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiercast_server.packages.values.MOST_NODES", 1)
    await world.package("app", "1", definition=DEFINITION)
    await world.package("plain", "1")
    for name in ("pc1", "pc2", "pc3"):
        await world.join(name)
    await world.says("pc2", architecture="x86_64", labels={"site": "berlin"})
    there = {"group": "pc", "values": {"site": {"text": "x", "source": "setting site"}}}
    values = Values(world.region, Machines(pc1=there))
    found = await values.foreseen("app", ["pc1", "pc2", "pc3"])
    assert [(row["node"], row["group"]) for row in found["takes"]] == [("pc1", "pc")]
    assert found["takes_more"] == {"pc": 1, "": 1}
    assert await values.foreseen("plain", ["pc1"]) == {}
