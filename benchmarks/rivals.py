"""What a user would set up instead: nginx and curl from the system's packages, synced and with a digest checked.

Rules
- Every command line is told to whoever repeats it.
- A rival's file is durable (`sync FILE`) and verified (`openssl dgst -sha256`) before its time ends, as ours is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness import note
from region import RegionError

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def need(program: str, package: str) -> str:
    """The path of a program, installed when it may be. Raises RegionError."""
    if shutil.which(program, path=PATH) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        note(f"installing {package} ...")
        policy = Path("/usr/sbin/policy-rc.d")  # no service is meant to start with the package
        ours = not policy.exists()
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        try:
            for words in (["update", "-qq"], ["install", "-y", "-qq", package]):
                subprocess.run(
                    ["apt-get", *words], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                )  # fmt: skip
        finally:
            if ours:
                policy.unlink()
    found = shutil.which(program, path=PATH)
    if found is None:
        raise RegionError(f"{program} is missing: install the package {package}")
    return found


def inside(space: str) -> list[str]:
    """What runs a program in a namespace; nothing for ""."""
    return [need("ip", "iproute2"), "netns", "exec", space] if space else []


@contextmanager
def nginx(folder: Path, server: str, *, space: str = "", cache: bool = False) -> Iterator[None]:
    """An nginx with this `server { }` body; with a cold cache of its own when asked."""
    folder.mkdir(parents=True, exist_ok=True)
    program = need("nginx", "nginx-light")
    zone = f"proxy_cache_path {folder}/cache keys_zone=site:1m max_size=4g use_temp_path=off;" if cache else ""
    config = folder / "nginx.conf"
    config.write_text(
        f"user root; worker_processes auto; daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events { worker_connections 256; }\n"
        f"http {{ access_log off; sendfile on; tcp_nopush on; proxy_temp_path {folder}/temp; {zone}\n"
        f" client_body_temp_path {folder}/body; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;"
        f" scgi_temp_path {folder}/s;\n server {{ {server} }}\n}}\n"
    )
    process = subprocess.Popen([*inside(space), program, "-c", str(config), "-p", str(folder)])
    try:
        deadline = time.monotonic() + 10
        while not (folder / "pid").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RegionError(f"nginx does not start: see {folder}/error.log")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(10)


def fetch_command(url: str, file: Path, digest: str) -> str:
    """What one machine runs."""
    check = f"openssl dgst -sha256 -r {file} | grep -q ^{digest}"
    return f"curl -sS -f -o {file} {url} && sync {file} && {check}"


def fetched(jobs: Sequence[tuple[str, str]]) -> float:
    """Run (namespace, command) side by side; seconds until the last has ended. Raises RegionError."""
    began = time.monotonic()
    running = [subprocess.Popen([*inside(space), "sh", "-c", command]) for space, command in jobs]
    codes = [process.wait() for process in running]
    if any(codes):
        raise RegionError(f"a rival's command failed: {codes}")
    return time.monotonic() - began
