"""The demo: a package travels from a server over a repeater and two gateways to six endpoints, and it is proved.

Rules
- Ten daemons, each a process of its own; every step is a command that a person could type.
- Bytes are the kernel's, trees are compared by find and sha256sum: nothing of Tiercast vouches for Tiercast.
- Exit 0 only if every endpoint verifies after both installations.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from linkbytes import Meter
from region import Region, RegionError
from tree import change, copy_real_tree, difference, listing

GATEWAYS = ("north", "south")
PER_GATEWAY = 3
PACKAGE = "library"


def say(text: str) -> None:
    """A line for whoever watches."""
    print(text, flush=True)


class Sampling:
    """Reads the meter twice a second, so that a connection that closes early is counted too."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Meter:
        self.meter.restart()
        self._thread.start()
        return self.meter

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            self.meter.sample()


def build_region(region: Region) -> list[str]:
    """Server, repeater, two gateways, six endpoints; the endpoints' names."""
    say("Starting the server ...")
    region.add_server()
    say("Starting the repeater and two gateways below it ...")
    region.add_gateway("repeater")
    for gateway in GATEWAYS:
        region.add_gateway(gateway, "repeater")
    endpoints = []
    for gateway in GATEWAYS:
        names = [f"{gateway}-{number}" for number in range(1, PER_GATEWAY + 1)]
        say(f"Enrolling {', '.join(names)} below {gateway}, each with a one-time token ...")
        region.add_endpoints(names, gateway)
        endpoints += names
    region.cli("group", "create", "everybody", *endpoints)
    return endpoints


def install(region: Region, tree: Path, version: str) -> tuple[dict[str, int], dict[str, Any], float]:
    """Package `tree` as `version` and install it on everybody; bytes per link, the package, seconds."""
    say(f"\nPackaging {PACKAGE} {version} ...")
    package = region.cli("package", "build", str(tree), "--name", PACKAGE, "--version", version)["package"]
    say(
        f"{package['files']} files, {package['size']} bytes, {package['stored_bytes']} compressed; "
        f"{package['sent_bytes']} bytes of chunks were new to the server."
    )
    say(f"Installing {PACKAGE} {version} on the group everybody:\n")
    began = time.monotonic()
    with Sampling(region.meter()) as meter:
        region.show("job", "install", f"{PACKAGE}={version}", "--group", "everybody", "--watch")
        carried = meter.bytes()
    return carried, package, time.monotonic() - began


def verify(region: Region, endpoints: list[str], tree: Path) -> dict[str, str]:
    """Per endpoint "" when its tree equals the source, else the first difference."""
    expected = listing(tree)
    found: dict[str, str] = {}
    for name in endpoints:
        installed = region.apps(name) / PACKAGE
        found[name] = difference(expected, listing(installed.resolve())) if installed.exists() else "not installed"
    return found


def report(title: str, carried: dict[str, int], against: int) -> float:
    """Print a table of links; the largest ratio."""
    say(f"\n{title} (kernel's TCP counters, both directions; the package's chunks are {against} bytes)")
    say(f"{'link':<24}{'bytes':>14}{'ratio':>9}")
    for link, count in carried.items():
        say(f"{link:<24}{count:>14}{count / against:>9.4f}")
    return max(carried.values()) / against


def run(options: argparse.Namespace, folder: Path) -> int:
    """The whole demo in `folder`."""
    began = time.monotonic()
    source = folder / "source"
    files, size = copy_real_tree(source)
    with Region(folder / "r", broker=options.broker) as region:
        endpoints = build_region(region)
        carried, package, seconds = install(region, source, "1.0")
        first = verify(region, endpoints, source)
        changed = change(source, 0.05)
        say("\nChanged the tree: " + ", ".join(f"{count} {what}" for what, count in changed.items()))
        carried2, package2, seconds2 = install(region, source, "2.0")
        second = verify(region, endpoints, source)
        link_ratio = report(f"First installation, {seconds:.1f} s", carried, package["stored_bytes"])
        upgrade_ratio = report(f"Second installation, {seconds2:.1f} s", carried2, max(1, package2["sent_bytes"]))
        say(f"\n{'endpoint':<24}{'1.0':>14}{'2.0':>14}")
        for name in endpoints:
            words = ["DIFFERS" if differs else "equal" for differs in (first[name], second[name])]
            say(f"{name:<24}{words[0]:>14}{words[1]:>14}")
        bad = {n: first[n] or second[n] for n in endpoints if first[n] or second[n]}
        for name, why in bad.items():
            say(f"{name} does not verify: {why}")
        processes = len(region.daemons)
        seconds_in_all = time.monotonic() - began
        if options.keep:
            keep(region)
        else:
            say("\nStopping everything in order ...")
    if options.json:
        summary = {
            "endpoints": len(endpoints), "verified": len(endpoints) - len(bad), "processes": processes, "files": files,
            "bytes": size, "link_ratio_max": round(link_ratio, 4), "upgrade_ratio_max": round(upgrade_ratio, 4),
            "seconds": round(seconds_in_all, 1),
        }  # fmt: skip
        say(json.dumps(summary))
    return 1 if bad else 0


def keep(region: Region) -> None:
    """Leave the region running until Ctrl-C, and say what may be tried."""
    socket = region.daemons["server"].socket
    tiercast = Path(sys.executable).parent / "tiercast"
    say(f"\nThe region goes on until you press Ctrl-C.  In another terminal:\n\n  export TIERCAST_SOCKET={socket}")
    for command in (
        "node list",
        "job list",
        "depot show --node north",
        "link list --node repeater",
        f"job remove {PACKAGE} --on north-1 --watch",
        f"job install {PACKAGE}=1.0 --on north-1 --watch",
    ):
        say(f"  {tiercast} {command}")
    with suppress(KeyboardInterrupt):
        while True:  # short naps: a signal that another thread takes is seen at the next one
            time.sleep(0.5)
    say("\nStopping everything in order ...")


def interrupted(*_: object) -> None:
    """SIGTERM stops the demo as Ctrl-C does: nothing stays behind."""
    raise KeyboardInterrupt


def main() -> int:
    """Parse the options, find a folder, run, clean up."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description="A whole region on this machine, from nothing.")
    parser.add_argument("--broker", choices=("embedded", "mosquitto"), default="embedded", help="what every tier runs")
    parser.add_argument("--keep", action="store_true", help="leave the region running and say what to try")
    parser.add_argument("--json", action="store_true", help="a summary in JSON as the last line")
    parser.add_argument("--folder", type=Path, help="where to put everything (a new folder in the temporary one)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupted)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="tcd"))
    try:
        return run(options, folder)
    except RegionError as error:
        say(f"\nThe demo failed: {error}")
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted; everything was stopped.")
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
