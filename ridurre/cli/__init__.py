"""The command `ridurre`."""

from ridurre.cli.app import app

__all__ = ["app"]
