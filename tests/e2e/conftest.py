"""One whole service for the folder: real Redis, API, worker, and real jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis

import ridurre
from jobs.settings import Settings
from tests.processes import Processes, free_port, is_ready
from tests.worker.conftest import wait_until

STATE_DB, BROKER_DB = 12, 13


@dataclass
class Service:
    """A running service and the means to hurt it."""

    settings: Settings
    processes: Processes

    @property
    def url(self) -> str:
        """Where the API listens."""
        return f"http://127.0.0.1:{self.settings.port}"

    def start_api(self) -> None:
        """Start the API and wait until it answers."""
        self.api = self.processes.start(
            "-m", "uvicorn", "api.app:app", "--port", str(self.settings.port), "--log-level", "warning"
        )
        with httpx.Client(base_url=self.url) as client:
            wait_until(lambda: is_ready(client))

    def client(self) -> ridurre.Client:
        """Return a client of one's own."""
        return ridurre.Client(self.url)


@pytest.fixture(scope="module")
def service(redis_socket: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("service")
    for database in (STATE_DB, BROKER_DB):
        with redis.Redis(unix_socket_path=str(redis_socket), db=database) as client:
            client.flushdb()
    settings = Settings(
        redis_url=f"unix://{redis_socket}?db={STATE_DB}",
        broker_db=BROKER_DB,
        data_directory=directory / "data",
        port=free_port(),
    )
    service = Service(settings, Processes(settings, directory / "log.txt"))
    try:
        service.start_api()
        service.processes.start_worker()
        yield service
    finally:
        service.processes.end()
        sys.stdout.write((directory / "log.txt").read_text())


@pytest.fixture
def client(service: Service) -> Iterator[ridurre.Client]:
    with service.client() as client:
        yield client
