"""Packages through real daemons: checked, tested, chosen by machine, with what they need, replaced by their rule."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from cluster import asked, running, until

HERE = platform.machine()
EDITOR = """
name = "editor"
version = "{version}"
replace = "newer"
requires = ["runtime >= 2.0"]
[variables]
port = "80"
site = {{ fact = "labels.site", default = "none" }}
[files.here]
platform = 'architecture == "{here}"'
[files.elsewhere]
platform = 'architecture == "vax"'
[run_after]
argv = ["./bin/say", "${{port}}", "${{site}}", "${{group}}"]
"""


def tree(folder: Path, version: str) -> Path:
    """A package of two file groups; what is for others is large, so that it would be seen on a link."""
    for group, script in (("here", '#!/bin/sh\necho "$@" > said\n'), ("elsewhere", "#!/bin/sh\nexit 9\n")):
        (folder / group / "bin").mkdir(parents=True)
        (folder / group / "bin/say").write_text(script)
        (folder / group / "bin/say").chmod(0o755)
    (folder / "elsewhere/large").write_bytes(os.urandom(2_000_000))
    (folder / "readme").write_text(version)
    (folder / "package.toml").write_text(EDITOR.format(version=version, here=HERE))
    return folder


def test_from_a_definition_with_mistakes_to_a_machine(tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    (runtime / "lib").write_text("lib")
    with running() as region:
        region.add_server()
        region.add_gateway("mid")
        region.add_endpoints(["pc-1", "pc-2"], "mid")
        config = region.daemons["pc-1"].folder / "endpoint.toml"
        text = config.read_text()
        config.write_text(text.replace("variables = {}", 'variables = {"editor.port" = "8080"}', 1))
        assert config.read_text() != text
        region.kill("pc-1")
        region.restart("pc-1")

        region.cli("package", "init", str(runtime), "--version", "2.0rc1")
        definition = runtime / "package.toml"
        good = definition.read_text() + 'version_order = "packaging"\n'
        definition.write_text(good + 'colour = "red"\nrequires = ["nobody"]\n')
        found = region.cli("package", "check", str(runtime), check=False)["mistakes"]
        assert [one["key"] for one in found] == ["colour", "requires"]
        definition.write_text(good)
        region.cli("package", "build", str(runtime))
        editor = tree(tmp_path / "editor", "2.0")
        (mistake,) = region.cli("package", "check", str(editor), check=False)["mistakes"]
        assert "no version satisfies runtime >= 2.0 (packaging); there are: 2.0rc1" in mistake["problem"]
        definition.write_text(good.replace("2.0rc1", "2.0"))
        region.cli("package", "build", str(runtime))
        assert region.cli("package", "check", str(editor))["mistakes"] == []
        region.cli("package", "build", str(editor))
        assert region.cli("package", "build", str(editor))["package"]["sent_chunks"] == 0

        rows = region.cli("package", "show", "editor", "--on", "pc-1", "--on", "pc-2")["values"]
        assert [row["values"]["port"]["source"] for row in rows] == ["setting editor.port", "default"]
        assert {row["group"] for row in rows} == {"here"}

        tested = region.cli("package", "test", "editor", "--on", "pc-1")
        assert tested["installed"]["state"] == tested["undone"]["state"] == "done"
        assert not (region.apps("pc-1") / "editor").exists()
        assert not (region.apps("pc-1") / "runtime").exists(), "what it needed went with it"
        assert region.cli("package", "show", "editor")["package"]["tested"]["node"] == "pc-1"

        region.cli("job", "preload", "editor", "--on", "mid", "--watch")
        assert region.cli("depot", "show", "--node", "mid")["depot"]["bytes"] < 1_500_000, "nothing of others came"
        shown = region.cli("job", "install", "editor", "--on", "pc-1", "--on", "pc-2", "--dry-run")["dry_run"]
        assert [(need["package"], need["nodes"]) for need in shown["needs"]] == [("runtime=2.0", ["pc-1", "pc-2"])]
        assert shown["takes"] == rows
        region.cli("job", "install", "editor", "--on", "pc-1", "--on", "pc-2", "--watch")
        for name, port in (("pc-1", "8080"), ("pc-2", "80")):
            top = (region.apps(name) / "editor").resolve()
            assert sorted(path.name for path in top.iterdir()) == ["bin", "readme", "said"]
            assert (top / "said").read_text() == f"{port} none here\n"
            staged = (region.daemons[name].folder / "staging").rglob("*")
            assert sum(path.stat().st_size for path in staged if path.is_file()) < 1_500_000, "nothing of others came"
        refused = region.cli("job", "remove", "runtime", "--on", "pc-1", check=False)["error"]
        assert refused["code"] == "dependency.needed"
        older = tree(tmp_path / "older", "1.9")
        region.cli("package", "build", str(older))
        dry = region.cli("job", "install", "editor=1.9", "--on", "pc-1", "--dry-run")["dry_run"]
        assert [row["node"] for row in dry["refused"]] == ["pc-1"]
        job = region.cli("job", "install", "editor=1.9", "--on", "pc-1")["job"]
        until(lambda: asked(region, "job.show", job=job)["state"] != "open", "it is refused there", 20)
        (row,) = asked(region, "job.show", job=job)["targets"]
        assert (row["state"], row["code"]) == ("rejected", "replace.refused")
        diff = region.cli("package", "diff", "editor=1.9", "editor=2.0")["diff"]
        assert [one["path"] for one in diff["paths"]["changed"]] == ["elsewhere/large", "readme"]

        (older / "readme").write_text("mended")
        text = (older / "package.toml").read_text()
        (older / "package.toml").write_text(text.replace('"1.9"', '"2.0"\nrevision = 2'))
        region.cli("package", "build", str(older))
        tested = region.cli("package", "test", "editor", "--on", "pc-1")
        assert (tested["package"], tested["before"]) == ("editor=2.0/2", "editor=2.0/1")
        assert tested["test"]["node"] == "pc-1"
        assert (region.apps("pc-1") / "editor/readme").read_text() == "2.0", "what was mended, and then what was there"
