"""The command line's tests share one kind of daemon."""

from cli_daemon import daemon

__all__ = ["daemon"]
