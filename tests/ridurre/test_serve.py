"""`ridurre serve` as people run it: one command up, one signal down."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from ridurre.errors import EmbeddedServiceError
from ridurre.serve import ServeSettings, is_loopback, serve

Served = tuple[subprocess.Popen[str], str]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A running service and its URL."""
    monkeypatch.delenv("RIDURRE_REDIS_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    command = [sys.executable, "-m", "ridurre", "serve", "--port", "0", "--data-directory", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        found = re.search(r"ready at (\S+)", first)
        try:
            assert found, first + process.stdout.read()
            yield process, found[1]
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def still_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(processes, timeout=30)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_all_of_it(served: Served, number: signal.Signals) -> None:
    process, url = served
    assert httpx.get(f"{url}/healthz").status_code == 200
    children = descendants(process)
    names = " ".join(" ".join(child.cmdline()) for child in children)
    assert all(part in names for part in ("redis", "uvicorn", "celery"))
    process.send_signal(number)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert "Stopping" in output
    assert still_running(children) == []


@pytest.mark.e2e
def test_a_process_that_dies_ends_the_others(served: Served) -> None:
    process, _ = served
    children = descendants(process)
    next(child for child in children if "uvicorn" in child.cmdline()).kill()
    output = process.communicate()[0]
    assert process.returncode == 3
    assert "The API stopped unexpectedly (SIGKILL)" in output
    assert still_running(children) == []


@pytest.mark.e2e
def test_killed_hard_it_leaves_no_orphans(served: Served) -> None:
    process, _ = served
    children = descendants(process)
    process.kill()
    process.wait()
    assert still_running(children) == []


@pytest.mark.e2e
def test_the_data_directory_is_taken(served: Served, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServiceError, match=r"Another .* uses this data directory"):
        serve(ServeSettings("127.0.0.1", 0, tmp_path / "data"), lambda _: None)


@pytest.mark.fast
def test_an_address_that_is_taken(tmp_path: Path) -> None:
    refused = pytest.raises(EmbeddedServiceError, match=r"(?s)cannot listen on this address.*--port 0")
    with socket.create_server(("127.0.0.1", 0)) as taken, refused:
        serve(ServeSettings("127.0.0.1", taken.getsockname()[1], tmp_path), lambda _: None)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_what_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
