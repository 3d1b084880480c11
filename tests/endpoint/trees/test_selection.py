"""A machine takes its own file group, with its variables filled in, and fetches nothing of the others."""

from __future__ import annotations

from pathlib import Path

from tests.endpoint.acting.site import act
from tests.endpoint.lab import Agent, Region, agent_over, pack

from tiercast_protocol.content.package.filegroups import FileGroup
from tiercast_protocol.content.package.programs import Program
from tiercast_protocol.content.package.variables import Variable

ARM = FileGroup("arm", "arm", 'architecture == "aarch64"')
PC = FileGroup("pc", "amd64", 'architecture == "x86_64"')
TREE: dict[str, bytes | str | None] = {
    "amd64": None,
    "amd64/bin": None,
    "amd64/bin/run.sh": b'#!/bin/sh\necho pc > "$0.ran"\n' + b"#" * 300,
    "amd64/lib": b"p" * 300_000,
    "arm": None,
    "arm/bin": None,
    "arm/bin/run.sh": b"#!/bin/sh\necho arm\n" + b"#" * 300,
    "arm/lib": b"a" * 300_000,
    "bin": None,
    "bin/common": b"c" * 100,
}  # fmt: skip
BOTH = pack("editor", "2.0", TREE, files=(ARM, PC), run_after=Program(("./bin/run.sh",)))


def standing(agent: Agent, package: str) -> Path:
    return agent.folder / "root" / package


async def test_only_the_own_group_is_fetched_and_stands_without_its_folder(agent: Agent) -> None:
    agent.offer(BOTH)
    record = await agent.do("j1", "install", BOTH)
    assert (record.state, record.code) == ("done", "")
    tree = standing(agent, "editor")
    names = sorted(str(path.relative_to(tree.resolve())) for path in tree.resolve().rglob("*"))
    assert names == ["bin", "bin/common", "bin/run.sh", "bin/run.sh.ran", "lib"]
    assert (tree / "lib").read_bytes() == b"p" * 300_000
    fetched = set(agent.fetcher.fetched)
    other = pack("other", "1", {"lib": b"a" * 300_000})
    assert not fetched & other.data, "nothing of the other group came over the link"


async def test_a_machine_without_a_group_fetches_no_file(agent: Agent) -> None:
    agent.offer(BOTH)
    agent.facts["architecture"] = "riscv64"
    record = await agent.do("j1", "install", BOTH)
    assert (record.state, record.code) == ("failed", "platform.none")
    assert not set(agent.fetcher.fetched) & BOTH.data
    agent.facts["architecture"] = "aarch64"
    assert (await agent.do("j2", "install", BOTH)).state == "done"
    tree = standing(agent, "editor")
    assert (tree / "lib").read_bytes() == b"a" * 300_000


VARIABLES = (Variable("port", "80"), Variable("site", None, "labels.site"), Variable("flavour", "plain"))
FILLED = pack(
    "server", "1.0",
    {"conf": None, "conf/plain": b"plain", "conf/rich": b"rich", "current": "conf/${flavour}",
     "say.sh": b'#!/bin/sh\nprintf "%s|" "$@" > said\n'},
    variables=VARIABLES, run_after=Program(("./say.sh", "--port=${port}", "${site}", "$${port}", "${node}")),
)  # fmt: skip


async def test_variables_are_filled_in_arguments_and_links(tmp_path: Path, region: Region) -> None:
    settings = {"server.port": "8080; rm -rf", "port": "1", "flavour": "rich"}
    async with agent_over(tmp_path / "agent", region, variables=settings) as agent:
        agent.offer(FILLED)
        agent.facts["labels"] = {"site": "berlin mitte"}
        assert (await agent.do("j1", "install", FILLED)).state == "done"
        tree = standing(agent, "server")
        assert (tree / "said").read_text() == "--port=8080; rm -rf|berlin mitte|${port}|pc1|"
        assert (tree / "current").readlink() == Path("conf/rich")


async def test_a_variable_without_a_value_fails_before_anything_is_fetched(agent: Agent) -> None:
    agent.offer(FILLED)
    record = await agent.do("j1", "install", FILLED)
    assert (record.state, record.code) == ("failed", "variable.unset")
    assert "site has no value; the fact labels.site is not known here" in agent.receipt(record).detail
    assert not set(agent.fetcher.fetched) & FILLED.data


async def test_no_value_leads_a_link_out_of_the_tree(tmp_path: Path, region: Region) -> None:
    async with agent_over(tmp_path / "agent", region, variables={"flavour": "../../../etc"}) as agent:
        agent.offer(FILLED)
        agent.facts["labels"] = {"site": "x"}
        record = await agent.do("j1", "install", FILLED)
        assert (record.state, record.code) == ("failed", "package.invalid")
        assert agent.tree("server") is None


async def test_actions_are_filled_in_too(agent: Agent) -> None:
    package = pack(
        "app",
        "1",
        {"a": b"a"},
        variables=(Variable("port", "80"),),
        action=(act("ini", path="/etc/app.ini", set={"net.port": "${port}", "net.note": "$${port}"}),),
    )
    agent.offer(package)
    assert (await agent.do("j1", "install", package)).state == "done"
    said = (agent.folder / "prefix/etc/app.ini").read_text()
    assert "80" in said
    assert "${port}" in said
