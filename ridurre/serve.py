"""`ridurre serve`: Redis, the API and one worker in one process tree."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx

import ridurre
from jobs.errors import SettingError
from jobs.queue import WORKER_COMMAND
from jobs.settings import settings_of_environment
from ridurre.embedded import EmbeddedRedis, configured_url
from ridurre.errors import EmbeddedServiceError, RidurreError
from ridurre.process import Process

# Without the limit an open stream of events would hold the API up for ever.
API_COMMAND = ("-m", "uvicorn", "api.app:app", "--timeout-graceful-shutdown", "5")
START_SECONDS = 120.0
API_STOP_SECONDS = 15.0
# A worker is given the time to interrupt its job, so that it can be resumed, and to hand it back.
WORKER_STOP_SECONDS = 60.0
POLL_SECONDS = 0.2
# The packages `api` and `worker` lie beside ours, whether installed or in a checkout.
PACKAGES = Path(ridurre.__file__).resolve().parents[1]

Say = Callable[[str], None]


@dataclass(frozen=True)
class ServeSettings:
    """Where to listen and where to keep things; port 0 stands for any free one."""

    host: str
    port: int
    data_directory: Path


def serve(settings: ServeSettings, say: Say) -> None:
    """Run the service until SIGINT or SIGTERM, then end all of it: the API first, the worker, Redis last.

    A second signal ends everything at once.

    Args:
        settings: Where to listen and to keep things.
        say: Takes messages for people, among them the URL once the service is ready.

    Raises:
        RidurreError: A variable of the environment is not what a setting can be.
        EmbeddedServiceError: The address or the data directory is taken, or a process cannot start or died.
    """
    check_settings()
    data_directory = settings.data_directory.absolute()
    (data_directory / "logs").mkdir(parents=True, exist_ok=True, mode=0o700)
    port = _checked_port(settings.host, settings.port)
    with ExitStack() as stack:
        stack.enter_context(_lock(data_directory))
        signals = stack.enter_context(_Signals())
        redis_url = configured_url()
        if redis_url is None:
            embedded = stack.enter_context(EmbeddedRedis(data_directory / "redis"))
            redis_url = embedded.url
            if embedded.process is not None:
                signals.processes.append(embedded.process)
        environment = os.environ | {
            "RIDURRE_REDIS_URL": redis_url,
            "RIDURRE_DATA_DIRECTORY": str(data_directory),
            "PYTHONUNBUFFERED": "1",
        }
        worker = Process(
            "The worker",
            [sys.executable, *WORKER_COMMAND],
            log=data_directory / "logs" / "worker.log",
            environment=environment,
            directory=PACKAGES,
        )
        stack.callback(worker.stop, WORKER_STOP_SECONDS)
        api = Process(
            "The API",
            [sys.executable, *API_COMMAND, "--host", settings.host, "--port", str(port)],
            log=data_directory / "logs" / "api.log",
            environment=environment,
            directory=PACKAGES,
        )
        stack.callback(api.stop, API_STOP_SECONDS)
        signals.processes += [worker, api]
        _run(_url(settings.host, port), signals, data_directory, say)
        say("Stopping the API, the worker and Redis. Press Ctrl-C again to force it.")


def check_settings() -> None:
    """Do nothing if API and worker can use the environment, which would be hard to tell from their logs.

    Raises:
        RidurreError: A variable is not what its setting can be; the error names it.
    """
    try:
        settings_of_environment()
    except SettingError as error:
        raise RidurreError.like(error) from error


def _run(url: str, signals: _Signals, data_directory: Path, say: Say) -> None:
    deadline = time.monotonic() + START_SECONDS
    ready = False
    with httpx.Client(timeout=5) as client:
        while not signals.stop.wait(POLL_SECONDS):
            for process in signals.processes:
                process.check()
            if ready:
                continue
            ready = _answers(client, url)
            if ready:
                say(f"Ridurre is ready at {url}\nAPI documentation: {url}/docs  Logs: {data_directory / 'logs'}")
            elif time.monotonic() > deadline:
                raise EmbeddedServiceError(
                    f"The API is not ready after {START_SECONDS:.0f} seconds.",
                    received=signals.processes[-1].log_end() or None,
                    hint=f"See the log: {signals.processes[-1].log}",
                )


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False  # not yet listening


class _Signals:
    """SIGINT and SIGTERM, while in use: the first asks to stop, the second kills."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.processes: list[Process] = []
        self._before: dict[signal.Signals, signal.Handlers] = {}

    def __enter__(self) -> _Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._received)  # type: ignore[assignment]
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self.stop.is_set():
            for process in self.processes:
                process.send(signal.SIGKILL)
        self.stop.set()


@contextmanager
def _lock(data_directory: Path) -> Iterator[None]:
    """Hold the data directory: two Redis processes on one append-only file would destroy it."""
    with (data_directory / "serve.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EmbeddedServiceError(
                "Another `ridurre serve` uses this data directory.",
                field="--data-directory",
                received=str(data_directory),
                hint="Stop it, or use another directory.",
            ) from error
        yield


def _checked_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0, having made sure that it can be listened on."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            chosen: int = probe.getsockname()[1]
    except OSError as error:
        raise EmbeddedServiceError(
            f"The service cannot listen on this address: {error.strerror}.",
            field="--host, --port",
            received=f"{host}:{port}",
            hint="Choose another --port, or --port 0 for any free one.",
        ) from error
    return chosen


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _url(host: str, port: int) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
