"""What an agent is killed in the middle of, by class of atomicity: orders, and what may be there in the end.

Rules
- A story is made once, with an agent that has the version before; each kill works on a copy of its folder.
- Programs write down that they ran beside the agent's folder: the environment that they get names their tree alone.
- `whole` says whether what is there is all of one version and nothing else, and which.
"""

from __future__ import annotations

import pickle
import random
import stat
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.lives import BOOT_ID, OWN, REBOOT
from tests.endpoint.acting.site import act
from tests.endpoint.lab import Agent, Package, Region, agent_over, pack

from tiercast_protocol.content.jobs.order import Order
from tiercast_protocol.content.package.actions import argv_text
from tiercast_protocol.content.package.confirmed import Confirmation
from tiercast_protocol.content.package.programs import Program

BIG = random.Random(5).randbytes(700_000)
#: Where a program finds the folder of its story: four folders above its tree is the agent's.
LOG = '"$TIERCAST_TREE/../../../../../ran"'


def script(word: str, end: str = "") -> bytes:
    """A program that writes `word` down."""
    return f"#!/bin/sh\necho {word} >> {LOG}\n{end}\n".encode()


OLD = {"a": None, "a/big": BIG, "a/small": b"one", "l": "a/big"}
NEW = OLD | {
    "a/small": b"two",
    "a/more": BIG[:300_000],
    "b": None,
    "b/before.sh": script("before"),
    "b/after.sh": script("after"),
    "b/fails.sh": script("fails", "exit 3"),
}
ONE = pack("hello", "1.0", OLD)
TWO = pack(
    "hello",
    "2.0",
    NEW,
    run_before=Program(("./b/before.sh",), idempotent=True),
    run_after=Program(("./b/after.sh",)),
)
FAILS = pack(
    "hello",
    "3.0",
    NEW,
    run_before=Program(("./b/before.sh",)),
    run_after=Program(("./b/fails.sh",), idempotent=True),
)
KILLS = pack("hello", "8.0", {"k.sh": script("kills", "kill -9 $PPID; sleep 100")}, run_after=Program(("./k.sh",)))
PLAIN = pack("hello", "4.0", NEW | {f"c{number:02}": b"%d" % number for number in range(80)})


#: Placed files, and a program with an undo: what the version before does, the next one, and one that fails afterwards.
CONF = {"do.sh": script("did"), "undo.sh": script("undid"), "fails.sh": script("fails", "exit 3")}
CONF |= {"etc": None, "etc/app.conf": b"colour = red\n", "share": None, "share/a": b"A", "share/b": b"B" * 5000}
PLACED = pack(
    "hello",
    "5.0",
    CONF,
    action=(
        act("file", path="/etc/app/app.conf", source="etc/app.conf", mode="0640"),
        act("files", path="/usr/share/app", source="share"),
        act("ini", path="/etc/other.ini", set={"a.x": "2", "b.y": "3"}),
    ),
)
_NEXT = (
    act("directory", path="/var/lib/app", mode="0750"),
    act("file", path="/etc/app/app.conf", source="etc/app.conf"),
    act("link", path="/usr/bin/app", source="share/a"),
    act("program", name="setup", argv=["./do.sh"], undo=["./undo.sh"]),
)
PLACED_NEXT = pack(
    "hello",
    "6.0",
    CONF | {"etc/app.conf": b"colour = blue\n", "share/c": b"C"},
    action=_NEXT,
)
PLACED_FAILS = pack(
    "hello",
    "7.0",
    CONF | {"etc/app.conf": b"colour = green\n"},
    action=_NEXT,
    run_after=Program(("./fails.sh",), idempotent=True),
)


#: On trial: one that confirms when it was asked the third time, and one with placed files that never does.
WELL = script("asked", f"test $(grep -c asked {LOG}) -ge 3")
ON_TRIAL = Confirmation(("./well.sh",), within_s=60, every_s=10)
CONFIRMED = pack("hello", "12.0", NEW | {"well.sh": WELL}, run_after=Program(("./b/after.sh",)), confirm=ON_TRIAL)
UNCONFIRMED = pack(
    "hello",
    "12.1",
    CONF | {"etc/app.conf": b"colour = black\n", "ill.sh": script("ill", "exit 1")},
    action=_NEXT,
    confirm=Confirmation(("./ill.sh",), within_s=20, every_s=10),
)


#: The machine restarts between the installation and its end.
REBOOTS = pack("hello", "13.0", NEW, run_after=Program(("./b/after.sh",)), reboot="now")
RESTARTS = (
    '#!/bin/sh\ncat /proc/sys/kernel/random/uuid > "${0%/*}/boot_id.new"\nmv "${0%/*}/boot_id.new" "${0%/*}/boot_id"\n'
)

AGENT = {"lib": None, "lib/tiercast_endpoint": None, "lib/tiercast_endpoint/version": b"1"}
OWN_ONE = pack("hello", "9.0", AGENT)
OWN_TWO = pack(
    "hello",
    "9.1",
    AGENT | {"lib/tiercast_endpoint/version": b"2", "looks.sh": script("looks")},
    run_after=Program(("./looks.sh",), idempotent=True),
)


def deb(version: str) -> bytes:
    """A real package without scripts."""
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder) / "build"
        (build / "DEBIAN").mkdir(parents=True)
        (build / "DEBIAN/control").write_text(
            f"Package: hello-tc\nVersion: {version}\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: x\n"
        )
        (build / "usr/share/hello-tc").mkdir(parents=True)
        for name in ("version", f"only-{version}"):
            (build / "usr/share/hello-tc" / name).write_text(version)
        made = Path(folder) / "hello.deb"
        command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(build), str(made)]
        subprocess.run(command, check=True, capture_output=True)
        return made.read_bytes()


HELLO = (act("deb", name="hello-tc", source="hello.deb"),)
DEB_ONE = pack("hello", "10.0", {"hello.deb": deb("1.0")}, action=HELLO)
DEB_TWO = pack("hello", "10.1", {"hello.deb": deb("2.0")}, action=HELLO)
DEB_FAILS = pack(
    "hello",
    "10.2",
    {"hello.deb": deb("3.0"), "fails.sh": script("fails", "exit 3")},
    action=HELLO,
    run_after=Program(("./fails.sh",), idempotent=True),
)


@dataclass(frozen=True)
class Story:
    """One of them.

    Attributes:
        kind: class of atomicity.
        before: what is installed when it begins.
        orders: what is ordered, made with a region.
        ends: for the last job, what the name may show by the state that its receipt says.
        own: the package is the agent's own.
        once: words of programs that may not run again, with the states in which they have run exactly once.
        says: by state, the one code that its receipt may have, where it is not an undo that is not known.
    """

    name: str
    kind: str
    before: Package | None
    orders: Callable[[Region, Path], list[Order]]
    ends: dict[str, list[Package | None]]
    once: dict[str, set[str]] = field(default_factory=dict)
    own: bool = False
    says: dict[str, str] = field(default_factory=dict)

    async def prepare(self, folder: Path, region: Region, work: Path) -> None:
        """The agent's folder and the orders, in `folder`, of which `work` is to be a copy."""
        folder.mkdir()
        (folder / BOOT_ID).write_text("first")
        (folder / REBOOT).write_text(RESTARTS)
        (folder / REBOOT).chmod(0o755)
        prefix = folder / "agent/prefix"
        (prefix / "etc").mkdir(parents=True)
        for name in ("info", "updates", "triggers"):
            (prefix / DPKG / name).mkdir(parents=True)
        for name in ("status", "available"):
            (prefix / DPKG / name).touch()
        (prefix / "etc/other.ini").write_text("# mine\n[a]\nx=1\n")
        async with agent_over(folder / "agent", region) as agent:
            if self.before is not None:
                agent.offer(self.before)
                assert (await agent.do("before", "install", self.before)).state == "done"
        chunks = {digest: stored for package in PACKAGES for digest, stored in package.chunks.items()}
        if self.own:
            (folder / OWN).touch()
        (folder / "orders.pickle").write_bytes(pickle.dumps((region, chunks, self.orders(region, work))))

    def orders_in(self, folder: Path) -> tuple[list[Order], dict[bytes, bytes]]:
        """What was made by `prepare`: the orders, and all chunks."""
        _, chunks, orders = pickle.loads((folder / "orders.pickle").read_bytes())  # noqa: S301 - our own
        return orders, chunks

    def ran(self, folder: Path) -> list[str]:
        """What programs wrote down."""
        log = folder / "ran"
        return log.read_text().split() if log.exists() else []


def shown(agent: Agent, among: list[Package | None]) -> bool:
    """Whether the name shows one of these, whole, and nothing else."""
    there = agent.tree("hello")
    return any(there == (None if package is None else package.files) for package in among)


def program(region: Region, work: Path) -> Order:
    """To run a program that writes down that it ran."""
    return region.order("j", "run", None, options={"argv": argv_text(("sh", "-c", f"echo ran >> '{work}/ran'"))})


def in_steps(region: Region, package: Package, *steps: str) -> list[Order]:
    """To go as far as each of these steps, one after the other."""
    return [
        region.order("j", "install", package, revision=number, options={"two_phase": True, "step": step})
        for number, step in enumerate(steps, 1)
    ]


DPKG = "var/lib/dpkg"
PACKAGES = (
    OWN_ONE,
    OWN_TWO,
    DEB_ONE,
    DEB_TWO,
    DEB_FAILS,
    ONE,
    TWO,
    FAILS,
    KILLS,
    PLAIN,
    PLACED,
    PLACED_NEXT,
    PLACED_FAILS,
    CONFIRMED,
    UNCONFIRMED,
    REBOOTS,
)
STORIES = (
    Story(
        "upgrade with programs",
        "owned tree",
        ONE,
        lambda region, _: [region.order("j", "install", TWO)],
        {"done": [TWO], "interrupted": [ONE]},
        {"after": {"done"}},
    ),
    Story(
        "undo",
        "owned tree",
        ONE,
        lambda region, _: [region.order("j", "install", FAILS)],
        {"failed": [ONE], "interrupted": [ONE]},
        {"before": {"failed"}},
    ),
    Story(
        "first installation",
        "owned tree",
        None,
        lambda region, _: [region.order("j", "install", PLAIN)],
        {"done": [PLAIN]},
    ),
    Story(
        "upgrade and removal",
        "owned tree",
        ONE,
        lambda region, _: [region.order("i", "install", PLAIN), region.order("j", "remove", PLAIN)],
        {"done": [None]},
    ),
    Story(
        "program",
        "program",
        None,
        lambda region, work: [program(region, work)],
        {"done": [None], "interrupted": [None]},
        {"ran": {"done"}},
    ),
    Story(
        "placed upgrade",
        "placed files",
        PLACED,
        lambda region, _: [region.order("j", "install", PLACED_NEXT)],
        {"done": [PLACED_NEXT], "interrupted": [PLACED]},
        {"did": {"done"}, "undid": set()},
    ),
    Story(
        "placed undo",
        "placed files",
        PLACED,
        lambda region, _: [region.order("j", "install", PLACED_FAILS)],
        {"failed": [PLACED], "interrupted": [PLACED]},
        {"did": {"failed"}, "undid": {"failed"}},
    ),
    Story(
        "two phases",
        "two phases",
        ONE,
        lambda region, _: in_steps(region, TWO, "prepare", "commit", "accept"),
        {"done": [TWO], "interrupted": [ONE]},
        {"after": {"done"}},
    ),
    Story(
        "two phases and back",
        "two phases",
        PLACED,
        lambda region, _: in_steps(region, PLACED_NEXT, "prepare", "commit", "undo"),
        {"cancelled": [PLACED], "interrupted": [PLACED], "failed": [PLACED]},
        {"did": {"cancelled"}, "undid": {"cancelled"}},
    ),
    Story(
        "a new agent",
        "self-update",
        OWN_ONE,
        lambda region, _: [region.order("j", "install", OWN_TWO)],
        {"done": [OWN_TWO], "failed": [OWN_ONE]},
        own=True,
    ),
    Story(
        "a .deb",
        "native",
        DEB_ONE,
        lambda region, _: [region.order("j", "install", DEB_TWO)],
        {"done": [DEB_TWO], "interrupted": [DEB_ONE]},
    ),
    Story(
        "a .deb and back",
        "native",
        DEB_ONE,
        lambda region, _: [region.order("j", "install", DEB_FAILS)],
        {"failed": [DEB_ONE], "interrupted": [DEB_ONE]},
    ),
    Story(
        "placed removal",
        "placed files",
        PLACED_NEXT,
        lambda region, _: [region.order("j", "remove", PLACED_NEXT)],
        {"done": [None], "interrupted": [PLACED_NEXT]},
        {"did": set(), "undid": {"done"}},
    ),
    Story(
        "a trial that is passed",
        "dead man",
        ONE,
        lambda region, _: [region.order("j", "install", CONFIRMED)],
        {"done": [CONFIRMED], "failed": [ONE], "interrupted": [ONE]},
        {"after": {"done", "failed"}},
        says={"failed": "confirm.timeout"},
    ),
    Story(
        "a trial that is failed",
        "dead man",
        PLACED,
        lambda region, _: [region.order("j", "install", UNCONFIRMED)],
        {"failed": [PLACED], "interrupted": [PLACED]},
        {"did": {"failed"}, "undid": {"failed"}},
        says={"failed": "confirm.timeout"},
    ),
    Story(
        "a restart of the machine",
        "restart",
        ONE,
        lambda region, _: [region.order("j", "install", REBOOTS)],
        {"done": [REBOOTS], "interrupted": [ONE]},
        {"after": {"done"}},
    ),
)

assert len({story.name for story in STORIES}) == len(STORIES)

#: Its program kills whoever started it.
MURDERER = Story(
    "an installer that kills the agent",
    "owned tree",
    ONE,
    lambda region, _: [region.order("j", "install", KILLS)],
    {"interrupted": [ONE]},
    {"kills": {"interrupted"}},
)


def machine(folder: Path) -> dict[str, tuple[object, ...]]:
    """What stands below the prefix of the agent in `folder`: kinds, modes and content; of dpkg what it says."""
    top = folder / "agent/prefix"
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if name.startswith((f"{DPKG}/", "var/log")):
            continue
        mode = stat.S_IMODE(path.lstat().st_mode)
        what = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[name] = (mode, what)
    if (status := top / DPKG / "status").exists():
        found["dpkg"] = tuple(
            line for line in status.read_text().splitlines() if line.startswith(("Status", "Version"))
        )
    return found
