"""What `tiercast-endpoint join` does: enrol, and write the first settings.

Rules
- What would keep the agent from starting is said before the token is used.
- Settings that are there already are left as they are: a machine may join again, or be given its settings beforehand.
"""

from __future__ import annotations

from pathlib import Path

from tiercast_endpoint.settings import TITLE, Settings, default_root
from tiercast_endpoint.trees.root_folder import RootFolder
from tiercast_endpoint.trees.tree import TreeError
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node import enrol, joined, settings_file
from tiercast_protocol.node.address import TlsFiles
from tiercast_protocol.node.places import Place


async def join(
    token: str, place: Place, *, install_root: Path | None, name: str, tls: TlsFiles | None = None
) -> joined.Enrolled:
    """What `tiercast-endpoint join` does: enrol, and write the settings unless there are some."""
    settings = _first_settings(place, install_root, tls or TlsFiles())
    if not place.config.exists():
        _check_root(settings.install_root)
    return await enrol.join(
        token,
        role="endpoint",
        folder=place.folder,
        name=name,
        tls=settings.tls,
        before_saved=lambda: _write_settings(place, settings),
    )


def _check_root(path: Path) -> None:
    """What would keep the agent from starting is said before the token is used.  Raises UsageError."""
    try:
        RootFolder(path).check()
    except (OSError, TreeError) as error:
        reason = error.detail if isinstance(error, TreeError) else error.strerror
        raise UsageError(
            code="root.invalid",
            what=f"It can't be the install root: {reason}.",
            where=str(path),
            todo="Name another folder with --install-root; the token is still good.",
        ) from error


def _first_settings(place: Place, install_root: Path | None, tls: TlsFiles) -> Settings:
    root = (install_root or default_root(place.folder)).absolute()
    return Settings(install_root=root, tls=tls)


def _write_settings(place: Place, settings: Settings) -> None:
    if not place.config.exists():
        settings_file.write(place.config, settings, title=TITLE)
