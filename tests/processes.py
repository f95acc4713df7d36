"""API, worker and whatever else a deployment starts, as real processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from jobs.queue import WORKER_COMMAND
from jobs.settings import Settings


class Processes:
    """Starts what a deployment starts, and ends it again."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings = settings
        self._log = log
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self._settings.environment()}
        with self._log.open("ab") as log:
            process = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=log, stderr=log)
        self._running.append(process)
        return process

    def start_worker(self) -> subprocess.Popen[bytes]:
        return self.start(*WORKER_COMMAND)

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def running_in(workspace: Path) -> list[int]:
    """Return the pids of processes that were given a directory of the workspace."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(workspace).encode() in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
