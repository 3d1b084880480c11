"""The results of actions: how an installation can fail outside its own tree (docs/actions.md, docs/result-codes.md).

Rules
- As for `results`, of which these rows are a part.  All of them mean that what was done before was taken back.
"""

from __future__ import annotations

ACTION_RESULTS: dict[str, tuple[str, str]] = {
    "archive.bomb": (
        "An archive unpacks to far more than it may.",
        "Say a higher limit in the action, if that is meant.",
    ),
    "archive.device": ("An archive holds a device or a pipe.", "Pack it without."),
    "archive.invalid": ("An archive of the package is damaged, or none of a kind that is known.", "Pack it again."),
    "archive.link": ("A link in an archive leads out of its folder.", "Pack it without."),
    "archive.many": ("An archive has more entries than it may.", "Say a higher limit in the action, if that is meant."),
    "archive.path": ("A path in an archive leads out of its folder.", "Pack it again."),
    "archive.setuid": ("An archive holds a set-user-id file.", "Pack it without."),
    "archive.sparse": ("An archive holds a sparse file.", "Pack it without."),
    "archive.twice": ("Two names in an archive are one on this file system.", "Rename one."),
    "deb.invalid": ("A .deb of the package can't be read.", "Build it again."),
    "deb.missing": (
        "The installer ended well, and the .deb's package is not there.",
        "tiercast job receipt JOB NODE shows what it said.",
    ),
    "deb.name": ("A .deb is another package than the action says.", "Mend the name in the action."),
    "file.long": ("A file that is to be merged or set is longer than is read.", "Place it whole, with no merge."),
    "handler.absent": (
        "The handler that an action names is not installed on the machine.",
        "Install the handler's package first.",
    ),
    "handler.missing": (
        "The handler ended well, and by its own word the thing is not there.",
        "tiercast job receipt JOB NODE shows what it said.",
    ),
    "handler.none": ("The package that an action names is no handler.", "Name one whose definition has [handler]."),
    "msi.system": (
        "An .msi can be installed on Windows only.",
        "Take the machine out, or give the action a file group of its own.",
    ),
    "path.link": ("A link stands on the way to the path of an action.", "Name the real path."),
    "path.mount": ("Something is mounted on the path of an action.", "Unmount it, or name another path."),
    "path.taken": (
        "The path, or the key of settings, of an action is another package's.",
        "Remove that one first, or name another path.",
    ),
    "program.left": (
        "A program of the package ended and left others running; they were killed.",
        "Let it wait for them, or start a service by a unit.",
    ),
    "rpm.invalid": ("The file is no .rpm.", "Build the package again."),
    "rpm.name": ("The .rpm is another package than the action says.", "Mend the name in the action."),
    "rpm.missing": (
        "The installer ended well, and the .rpm's package is not there.",
        "tiercast job receipt JOB NODE shows what it said.",
    ),
    "settings.form": (
        "A file of settings is not of the form that the action says.",
        "Mend the file on the machine, or the action.",
    ),
    "settings.key": (
        "A key of settings can't be set where the file has something else.",
        "Mend the file on the machine, or the action.",
    ),
    "source.missing": (
        "The package's tree has no such file or folder for an action.",
        "tiercast package check, and build it again.",
    ),
    "unit.failed": (
        "A systemd unit did not start, or did not stay.",
        "tiercast job receipt JOB NODE shows what it said.",
    ),
    "user.differs": (
        "The machine has a user of that name that is not as the action says; it was left as it is.",
        "Say of the user what is so, take what differs out of the action, or choose another name.",
    ),
    "user.missing": (
        "A user or group was made, and is not there.",
        "tiercast job receipt JOB NODE shows what was said.",
    ),
    "user.unknown": ("The machine has no such user or group.", "Make it by an action before this one."),
    "wheel.invalid": ("A wheel of the package can't be installed.", "Build it again."),
    "wheel.python": (
        "The interpreter that wheels are to be installed for is not on the machine.",
        "Install it first, or name another one with python.",
    ),
    "wheel.twice": ("Two wheels bring the same file.", "Take one out."),
}
