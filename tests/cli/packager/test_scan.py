"""What a package can't hold is refused by path, before a byte is read."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tiercast_cli.packager.scan import scan
from tiercast_protocol.content.sealed.manifest import Kind
from tiercast_protocol.errors import UsageError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "a").mkdir(parents=True)
    (top / "a" / "x").write_text("x")
    (top / "a-b").write_text("")
    (top / ".hidden").write_text("h")
    (top / "a" / "link").symlink_to("../a-b")
    (top / "empty").mkdir(mode=0o700)
    os.link(top / "a" / "x", top / "hard")
    (top / "é.txt").write_text("é")
    return top


def test_everything_in_order(tree: Path) -> None:
    (tree / "a" / "x").chmod(0o750)
    found = scan(tree)
    assert [entry.path for entry in found] == [".hidden", "a", "a/link", "a/x", "a-b", "empty", "hard", "é.txt"]
    by_path = {entry.path: entry for entry in found}
    assert by_path["a/link"].kind is Kind.LINK
    assert by_path["a/link"].target == "../a-b"
    assert by_path["a/x"].mode == by_path["hard"].mode == 0o750
    assert by_path["empty"].kind is Kind.FOLDER
    assert by_path["empty"].mode == 0o700
    assert by_path["hard"].kind is Kind.FILE


def test_excluded(tree: Path) -> None:
    assert [entry.path for entry in scan(tree, exclude={"a", ".hidden"})] == ["a-b", "empty", "hard", "é.txt"]


def test_links_are_not_followed(tree: Path) -> None:
    (tree / "round").symlink_to(".")
    (tree / "nowhere").symlink_to("not/there")
    kinds = {entry.path: entry.kind for entry in scan(tree)}
    assert kinds["round"] is kinds["nowhere"] is Kind.LINK
    assert len(kinds) == 10


def fifo(path: Path) -> None:
    os.mkfifo(path)


def sock(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        before = Path.cwd()
        os.chdir(path.parent)  # the path may be longer than a socket's name can be
        try:
            unix.bind(path.name)
        finally:
            os.chdir(before)


def leaving(path: Path) -> None:
    path.symlink_to("../outside")


def absolute(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def setuid(path: Path) -> None:
    path.write_text("x")
    path.chmod(0o4755)


def setgid(path: Path) -> None:
    path.write_text("x")
    path.chmod(0o2755)


def not_utf8(path: Path) -> None:
    (path.parent / os.fsdecode(b"bad-\xff")).write_text("x")


def case(path: Path) -> None:
    (path.parent / "EMPTY").write_text("x")


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (fifo, "tree.special", "named pipe"),
        (sock, "tree.special", "socket"),
        (leaving, "tree.link", "leaves the tree"),
        (absolute, "tree.link", "absolute"),
        (setuid, "tree.setuid", "setuid"),
        (setgid, "tree.setuid", "setgid"),
        (not_utf8, "tree.name", "UTF-8"),
        (case, "tree.case", "EMPTY and empty"),
    ],
)
def test_refused(tree: Path, make: Callable[[Path], None], code: str, says: str) -> None:
    make(tree / "made")
    with pytest.raises(UsageError, match=says) as caught:
        scan(tree)
    assert caught.value.code == code
    assert str(tree) in caught.value.where
    assert caught.value.todo
    str(caught.value).encode()  # can be shown, whatever the name was


def test_devices(tree: Path) -> None:
    try:
        os.mknod(tree / "null", 0o020666, os.makedev(1, 3))
    except PermissionError:
        # without the right to make one, the one that every system has stands in
        tree = Path("/dev")
    with pytest.raises(UsageError, match=r"device|pipe|socket|absolute|leaves") as caught:
        scan(tree)
    assert caught.value.code in {"tree.special", "tree.link"}


def test_setuid_when_the_definition_allows_it(tree: Path) -> None:
    setuid(tree / "made")
    assert {entry.path: entry.mode for entry in scan(tree, allow_setuid=True)}["made"] == 0o4755


def test_setgid_of_folders_goes(tree: Path) -> None:
    (tree / "a").chmod(0o2755)
    assert {entry.path: entry.mode for entry in scan(tree)}["a"] == 0o755
    assert {entry.path: entry.mode for entry in scan(tree, allow_setuid=True)}["a"] == 0o2755


def test_case_when_the_definition_allows_it(tree: Path) -> None:
    case(tree / "made")
    assert "EMPTY" in {entry.path for entry in scan(tree, allow_case_collisions=True)}


def test_case_in_other_folders_is_no_collision(tree: Path) -> None:
    (tree / "a" / "EMPTY").write_text("")
    scan(tree)


def test_long_paths(tree: Path) -> None:
    deep = tree
    descriptor = os.open(tree, os.O_RDONLY)
    try:
        for _ in range(20):
            os.mkdir("d" * 250, dir_fd=descriptor)
            inner = os.open("d" * 250, os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
    finally:
        os.close(descriptor)
    with pytest.raises(UsageError) as caught:
        scan(deep)
    assert caught.value.code in {"tree.name", "tree.unreadable"}
    # pytest can't remove what is deeper than a path can say
    os.system(f"rm -rf '{tree}'")  # noqa: S605 - our own folder


def test_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(UsageError, match="no folder") as caught:
            scan(path)
        assert caught.value.code == "tree.missing"


def test_unreadable(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tiercast_cli.packager.scan.os.scandir", refuse)
    with pytest.raises(UsageError, match="Permission denied"):
        scan(tree)
