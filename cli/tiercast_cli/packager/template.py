"""The `package.toml` that `tiercast package init` writes: every key with a comment, what is not needed commented out.

Rules
- What stands uncommented is a definition that can be built at once; every commented line is right once its "# " is gone
  (a test takes all of them).
- Editors that know JSON Schema for TOML find it by the first line.
"""

from __future__ import annotations

from tiercast_protocol.content.package.reader import quoted

SCHEMA_FILE = "package.schema.json"

_TEXT = """\
#:schema ./{schema}
# What this folder is as a package.  Check it: tiercast package check.  Build it: tiercast package build .
# Every key: docs/packages.md.  This file and its schema do not go into the package.

name = {name}
version = {version}
# revision = 2                      # the same version, packaged again
# description = "What it is for."
# version_order = "plain"           # how versions compare: plain, debian or packaging (PEP 440)
# replace = "any"                   # over what it may be installed: newer, equal, any, never

# Only where this is true; tested on the machine.
# condition = 'os == "linux" && memory >= 4000000000'
# requires = ["runtime >= 2", "fonts"]
# conflicts = ["rival < 3"]
# before = ["editor-help"]          # where both are ordered these go after it
# reboot = "no"                     # whether the machine restarts before it goes on: no, now, later, ask
# allow_setuid = false
# allow_case_collisions = false

# What each machine fills in: ${{port}} in arguments of programs and in targets of links.
# [variables]
# port = "8080"
# site = {{ fact = "labels.site", default = "none", note = "where the machine stands" }}

# Files for one kind of machine each: a folder at the top of the tree, taken without its name.
# [files.pc]
# folder = "amd64"
# platform = 'architecture == "x86_64"'

# Programs: argument lists, inside the tree ("./...") or absolute; no shell.
# [run_before]
# argv = ["./hooks/before.sh"]
# timeout = "60s"

# [run_after]
# argv = ["./hooks/after.sh", "--port", "${{port}}"]
# timeout = "5m"
# idempotent = true                 # may be run again after a crash
# output_limit = "64KiB"

# A program that says whether it may be installed: exit code 0 is yes.
# [check]
# argv = ["./hooks/check.sh"]
# needs = "tree"                    # or "machine": nothing of this package, so that it is asked before the fetch

# A program that has to say in time that all is well; else the machine goes back to what stood there.
# [confirm]
# argv = ["./hooks/healthy.sh"]
# within = "10m"

# What else is done on the machine, in this order; undone by itself.  Every type: docs/actions.md.
# [[action]]
# type = "file"
# path = "/etc/editor.conf"
# source = "etc/editor.conf"        # in this folder
# config = "merge"                  # what its owner changed there is kept: keep, merge, replace

# Only in a package that installs things of a kind of its own, for others that name it.
# [handler]
# install = ["./handler/install.sh"]
# remove = ["./handler/remove.sh"]
# query = ["./handler/query.sh"]
"""


def template(name: str, version: str) -> str:
    """The file for a package of this name and version."""
    return _TEXT.format(schema=SCHEMA_FILE, name=quoted(name), version=quoted(version))
