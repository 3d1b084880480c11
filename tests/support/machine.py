"""A throw-away machine: this one's files under an overlay, with a real systemd as process 1 of namespaces of its own.

Rules
- What is written in it goes to memory, and is gone with it; nothing of this machine is changed.  Processes, mounts,
  host name and control groups are its own; the network is shared, so that a test can reach its daemons.
- The kernel's settings are read-only in it, it can load nothing and set no clock, and units that would touch the kernel
  are masked.
- When the test ends it is killed with all that runs in it, and its control groups are taken away.
- What it takes is root, overlayfs, unshare and systemd; `missing` says what is not there, so that a test can skip
  itself with that reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tiercast_protocol.node.child import tied

_SYSTEMD = Path("/lib/systemd/systemd")
_CGROUPS = Path("/sys/fs/cgroup")
#: Units of this machine that have no business in a namespace.
_MASKED = (
    "systemd-sysctl.service systemd-modules-load.service systemd-remount-fs.service systemd-journald-audit.socket "
    "systemd-udevd.service systemd-random-seed.service systemd-update-utmp.service sys-kernel-debug.mount "
    "sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount dev-hugepages.mount timers.target "
    "systemd-journal-flush.service ssh.service ssh.socket getty.target"
)
_DROPPED = "-sys_module,-sys_time,-sys_rawio,-sys_boot,-wake_alarm,-syslog"
_BOOT = r"""
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$top"
mkdir "$top/up" "$top/work" "$top/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$top/up,workdir=$top/work" "$top/root"
root=$top/root
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for one in null zero full random urandom tty; do touch "$root/dev/$one"; mount --bind "/dev/$one" "$root/dev/$one"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
fi
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=700 tmpfs "$root/root"
for one in $masked; do ln -sfn /dev/null "$root/etc/systemd/system/$one"; done
hostname throwaway
rm -f "$root/etc/machine-id"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
cd "$root"
mkdir old
pivot_root . old
umount -l /old
rmdir /old
exec setpriv --bounding-set="$dropped" --inh-caps="$dropped" \
    env -i container=tiercast PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=basic.target --show-status=no
"""


def missing() -> str:
    """Why there can't be such a machine here; "" where there can."""
    if os.geteuid() != 0:
        return "only root can make a machine of namespaces"
    for program in ("unshare", "nsenter", "setpriv", "systemctl"):
        if shutil.which(program) is None:
            return f"there is no {program} here"
    if not _SYSTEMD.exists():
        return "there is no systemd here (apt-get install systemd)"
    if "overlay" not in Path("/proc/filesystems").read_text("ascii"):
        return "the kernel has no overlayfs"
    if not _groups("probe"):
        return "there are no control groups here for a systemd"
    return ""


class Machine:
    """One throw-away machine, for a `with`.

    Args:
        folder: an empty place of the test's own.
        copied: files and folders of this machine that are copied to a path in it.
    """

    def __init__(self, folder: Path, copied: Mapping[Path, str] | None = None) -> None:
        self._folder, self._copied = folder, copied or {}
        self._group = f"tiercast-test-{os.getpid()}-{folder.name}"
        self._process: subprocess.Popen[bytes] | None = None
        self.pid = 0

    def __enter__(self) -> Self:
        """Boot it: its basic.target is reached."""
        top = self._folder / "machine"
        top.mkdir(parents=True)
        groups = _groups(self._group)
        for group in groups:
            group.mkdir()
        environment = {**os.environ, "top": str(top), "masked": _MASKED, "dropped": _DROPPED}
        command = ["unshare", "-m", "-p", "-f", "-u", "-i", "-C", "--kill-child", "sh", "-c", _BOOT]
        entered = " && ".join([*(f"echo $$ > {group}/cgroup.procs" for group in groups), 'exec "$@"'])
        log = (self._folder / "machine.log").open("wb")
        try:
            self._process = subprocess.Popen(
                tied(["/bin/sh", "-c", entered, "sh", *command]),  # not even a killed run of tests leaves it
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        finally:
            log.close()
        try:
            self._wait_for_start()
            for path, to in self._copied.items():
                self.copy(path, to)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and all that runs in it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for group in _groups(self._group):
            deadline = time.monotonic() + 20
            while group.exists() and time.monotonic() < deadline:
                for inner in sorted(group.rglob("*"), reverse=True):
                    if inner.is_dir():
                        with suppress(OSError):
                            inner.rmdir()
                with suppress(OSError):
                    group.rmdir()
                time.sleep(0.02)
        (self._folder / "machine").rmdir()

    @property
    def root(self) -> Path:
        """Its file system, as this machine sees it."""
        return Path(f"/proc/{self.pid}/root")

    def entered(self, *argv: str) -> list[str]:
        """The command line that runs `argv` in it."""
        return ["nsenter", "-t", str(self.pid), "-a", "--", *argv]

    def run(self, *argv: str, check: bool = True, stdin: str = "", limit_s: float = 120) -> str:
        """What `argv` prints in it."""
        done = subprocess.run(
            self.entered("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", *argv),
            input=stdin, capture_output=True, text=True, check=False, timeout=limit_s,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout + ("" if done.returncode == 0 else done.stderr)

    def copy(self, path: Path, to: str) -> None:
        """Copy a file or folder of this machine to `to` in it."""
        target = self.root / to.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copyfile(path, target)

    def _wait_for_start(self) -> None:
        process, deadline = self._process, time.monotonic() + 60
        while process is not None and process.poll() is None and time.monotonic() < deadline:
            if not self.pid and (found := _child_of(process.pid)):
                self.pid = found
            if self.pid and (self.root / "run/systemd/private").exists():
                state = self.run("systemctl", "is-system-running", check=False).strip()
                if state.startswith(("running", "degraded")):
                    return
            time.sleep(0.05)
        raise AssertionError((self._folder / "machine.log").read_text("utf-8", "replace") or "systemd did not come up")


def _groups(name: str) -> Sequence[Path]:
    """Where its control groups would be; none where systemd would find no place."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS / name]
    both = (_CGROUPS / "systemd", _CGROUPS / "unified")
    return [one / name for one in both] if all(one.is_dir() for one in both) else []


def _child_of(pid: int) -> int:
    """The process 1 below this one, once it is systemd and not what prepares its place."""
    with suppress(OSError):
        for found in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split():
            if Path(f"/proc/{found}/comm").read_text("ascii").strip() == "systemd":
                return int(found)
    return 0
