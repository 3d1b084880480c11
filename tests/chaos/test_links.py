"""Bad links on both sides of a gateway, in the middle of a transfer; each story ends with every endpoint verified
and the books of every link even.

Rules
- One region for all stories; each moves a new package over both links while they do what the story says.
- A story counts only if its fault was made while bytes were missing: the proxies count what they did.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster import assert_balanced, assert_installed, build, random_tree, running, until
from faultproxy import FaultyLink
from region import Region

BOTH = ["pc-1", "pc-2"]
SIZE = 2_500_000
RATE = 2_000_000
#: Of what there is to carry, what comes over each link before the fault.
PARTS = 0.4, 0.2


@dataclass
class Site:
    """server - (bad link) - gateway - (bad link) - pc-1; pc-2 beside it on a good one."""

    region: Region
    links: tuple[FaultyLink, FaultyLink]
    number: int = 0

    def tell(self, **order: Any) -> list[dict[str, Any]]:
        """Both links do this; their counters."""
        return [link.tell(**order) for link in self.links]

    def heal(self) -> None:
        """Good links again, of their speed."""
        self.tell(heal=True, down={"rate": RATE})


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running() as region:
        region.add_server()
        first = region.link_to("server")
        region.add_gateway("gateway", via=first)
        second = region.link_to("gateway", seed=2)
        region.add_endpoint("pc-1", "gateway", via=second)
        region.add_endpoint("pc-2", "gateway")
        yield Site(region, (first, second))


def hold(seconds: float, condition: Callable[[], bool] = lambda: True) -> None:
    """Keep the fault up for so long and until `condition`."""
    ends = time.monotonic() + seconds
    until(lambda: time.monotonic() >= ends and condition(), "the end of the fault", seconds + 30)


def story(
    site: Site, folder: Path, fault: dict[str, Any], seconds: float, proof: Callable[[dict[str, Any]], int]
) -> None:
    """Order; let a part come through and no more; make the fault for a while on both links; see everybody end well."""
    site.number += 1
    site.heal()
    region, name = site.region, f"app{site.number}"
    source = random_tree(folder / name, seed=site.number, files=80, size=SIZE)
    stored = build(region, source, name, "1")["stored_bytes"]
    # Each link stops by itself with much left to carry, the upper one later: the fault hits both, however late we are.
    stops = [told["down"].get("delivered", 0) + share * stored for told, share in zip(site.tell(), PARTS, strict=True)]
    for link, stop in zip(site.links, stops, strict=True):
        link.tell(down={"stop": stop})
    job = region.cli("job", "install", name, "--on", "pc-1", "--on", "pc-2")["job"]

    def parts_came() -> bool:
        return all(told["down"]["delivered"] >= stop for told, stop in zip(site.tell(), stops, strict=True))

    until(parts_came, "a part came through")
    made_before = [proof(told) for told in site.tell()]
    site.tell(**fault)
    site.tell(down={"stop": 0})

    def on_both() -> bool:
        return all(proof(told) > old for told, old in zip(site.tell(), made_before, strict=True))

    hold(seconds, on_both)
    made = [proof(told) - old for told, old in zip(site.tell(), made_before, strict=True)]
    site.heal()
    until(lambda: region.cli("job", "show", job)["job"]["state"] != "open", "the job ends", 60)
    ended = region.cli("job", "show", job)["job"]
    assert ended["counts"] == {"done": 2}, ended
    assert min(made) > 0, made
    assert_installed(region, BOTH, name, source)
    assert_balanced(region)


def _one(_: dict[str, Any]) -> int:
    """What is silent or slow leaves nothing to count: that bytes were missing was seen."""
    return int(time.monotonic() * 1e3)


STORIES: dict[str, tuple[dict[str, Any], float, Callable[[dict[str, Any]], int]]] = {
    "cut for a second": ({"reset": True, "resetting": True}, 1, lambda told: int(told.get("resets", 0))),
    "silent downwards": ({"down": {"hole": True}}, 2, _one),
    "silent upwards": ({"up": {"hole": True}}, 2, _one),
    "silent for longer than keepalive allows": ({"both": {"hole": True}}, 4, _one),
    "flapping at 1 Hz": ({"every": [1, "hole", 0.5]}, 4.2, lambda told: int(told.get("cuts", 0))),
    "flapping at 1 Hz with resets": ({"every": [1, "reset", 0.5]}, 4.2, lambda told: int(told.get("cuts", 0))),
    "resetting every 200 ms": ({"every": [0.2, "reset", 0]}, 3, lambda told: int(told.get("cuts", 0))),
    "trickling at 1 KiB/s": ({"both": {"rate": 1024}}, 4, _one),
    "bits flipped in frames": ({"both": {"flip": 0.3}}, 1.5, lambda told: int(told["down"].get("flipped", 0))),
    "bits flipped anywhere": ({"both": {"noise": 0.05}}, 1.5, lambda told: int(told["down"].get("noise", 0))),
    "frames lost": ({"both": {"lose": 0.5}}, 1.5, lambda told: int(told["down"].get("lost", 0))),
    "frames doubled": ({"both": {"double": 0.5}}, 1, lambda told: int(told["down"].get("doubled", 0))),
    "frames out of order": ({"both": {"swap": 0.5}}, 1, lambda told: int(told["down"].get("swapped", 0))),
}  # fmt: skip


def test_server_and_gateway_stopped_and_continued(site: Site, tmp_path: Path) -> None:
    """Stopped in turn, each for a while and in the middle: nobody is told, and nobody is lost."""
    site.number += 1
    site.heal()
    region, name = site.region, f"app{site.number}"
    source = random_tree(tmp_path / name, seed=site.number, files=80, size=SIZE)
    stored = build(region, source, name, "1")["stored_bytes"]
    before = site.links[1].tell()["down"]["delivered"]
    job = region.cli("job", "install", name, "--on", "pc-1", "--on", "pc-2")["job"]
    for share, victim in ((0.15, "gateway"), (0.4, "server")):
        until(
            lambda share=share: site.links[1].tell()["down"]["delivered"] - before > share * stored, f"{share:.0%} came"
        )
        region.kill(victim, signal.SIGSTOP)
        hold(1.5)
        region.kill(victim, signal.SIGCONT)
    until(lambda: region.cli("job", "show", job)["job"]["state"] != "open", "the job ends", 60)
    ended = region.cli("job", "show", job)["job"]
    assert ended["counts"] == {"done": 2}, ended
    assert_installed(region, BOTH, name, source)
    assert_balanced(region)


@pytest.mark.parametrize("name", STORIES)
def test_a_bad_link_in_the_middle_of_a_transfer(site: Site, tmp_path: Path, name: str) -> None:
    fault, seconds, proof = STORIES[name]
    story(site, tmp_path, fault, seconds, proof)
